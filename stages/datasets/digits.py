"""The demo's images: the 1,797 handwritten digits that scikit-learn's wheel carries, as files in class folders.

They are written as they are, 8 x 8 pixels with grey values 0 to 16 spread over 0 to 255: enlarging them here would be a choice of
resampling filter, which is the encoder's to make. No torch here, and scikit-learn is imported only when the digits are written.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from xmap.store.disk.files import make_folder, write_bytes
from xmap.store.errors import InputError
from xmap.store.formats.tables import Array

CLASSES = tuple(str(digit) for digit in range(10))
LEVELS = 16


def write_digits(root: Path) -> int:
    """Write `root/{class}/{index:04d}.png`, `index` numbering all digits, and return how many there are.

    The bytes are the same every time. A file that already holds them is left as it is, so that its times do not change.
    Raises `InputError` without scikit-learn, and where `root` holds other folders, which would be classes too.
    """
    images, labels = _load()
    _require_own(root)
    for name in CLASSES:
        make_folder(root / name, "`xmap demo DIR`")
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = root / str(label) / f"{index:04d}.png"
        data = png(image)
        if not path.is_file() or path.read_bytes() != data:
            write_bytes(path, data)
    return len(images)


def png(image: Array) -> bytes:
    """An (8, 8) image of grey values 0 to 16 as an 8-bit grey PNG."""
    pixels = np.rint(np.asarray(image, np.float64) * (255 / LEVELS)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png", compress_level=9)
    return buffer.getvalue()


def _require_own(root: Path) -> None:
    others = sorted(path.name for path in root.iterdir() if path.name not in CLASSES) if root.is_dir() else []
    if others:
        raise InputError(f"{root} already holds {others[0]!r}; give `xmap demo` another folder.")


def _load() -> tuple[Array, Array]:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise InputError("the demo's digits come with scikit-learn, which is not installed; run `pip install 'xmap[demo]'`.") from error
    found = load_digits()
    return found.images, found.target
