"""Images as people hand them over: paths, folders, Pillow images, arrays, tensors, the bytes of image files, and lists of these.

What lies in memory goes the way of files: it becomes an image file's bytes without loss, and is decoded as such.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xmap.pipeline.adapters.given_arrays import is_batch, is_tensor, pixels_of
from xmap.stages.workplace.progress import Progress, Silent
from xmap.store.errors import EmptyInput, InputError

if TYPE_CHECKING:
    from PIL.Image import Image

    from xmap.stages.images.read import Given

TAKEN = "paths, folders, Pillow images, NumPy arrays, torch tensors, bytes of image files, and lists of these"
NAMED = 5
WILD = "*?["


def given_images(images: Any) -> list[Given]:
    """The images handed over, in order, folders walked. Raises `InputError` for a path that is not there, and for other things."""
    several = list(images) if isinstance(images, Iterable) and not _is_one(images) else [images]
    listed = [one for entry in several for one in (entry if is_batch(entry) else [entry])]
    require_there([entry for entry in listed if isinstance(entry, str | os.PathLike)])
    found: list[Given] = []
    for number, entry in enumerate(listed):
        found += image_paths([Path(entry)]) if isinstance(entry, str | os.PathLike) else [_held(entry, f"image {number}")]
    return found or list(image_paths([]))


def require_there(paths: Sequence[str | os.PathLike[str]]) -> None:
    """Raise `InputError` naming the paths that are not there: better before a model is loaded."""
    missing = [os.fspath(path) for path in paths if not os.path.exists(path)]
    if not missing:
        return
    more = f" and {len(missing) - NAMED:,} more" if len(missing) > NAMED else ""
    hint = (
        "; patterns of images are not expanded, give the folder or the files"
        if any(sign in path for path in missing for sign in WILD)
        else ""
    )
    raise InputError(f"there is no image or folder {', '.join(missing[:NAMED])}{more}; give paths that exist{hint}.")


def _is_one(images: Any) -> bool:
    alone = isinstance(images, str | os.PathLike | bytes | bytearray | memoryview | np.ndarray | dict | io.IOBase)
    return alone or is_tensor(images) or _is_pillow(images)


def _is_pillow(entry: Any) -> bool:
    from PIL.Image import Image

    return isinstance(entry, Image)


def _held(entry: Any, name: str) -> Given:
    from xmap.stages.images.read import Held

    if isinstance(entry, bytes | bytearray | memoryview):
        return Held(name, bytes(entry))
    if isinstance(entry, np.ndarray) or is_tensor(entry):
        from PIL.Image import fromarray

        return Held(name, _file(fromarray(pixels_of(entry, name)), name))
    if _is_pillow(entry):
        return Held(name, _file(entry, name))
    kind = type(entry)
    raise InputError(f"{name} is of type {kind.__module__}.{kind.__qualname__}; taken are {TAKEN}.".replace("type builtins.", "type "))


def _file(image: Image, name: str) -> bytes:
    """A Pillow image as the bytes of a file: PNG where that holds its mode, else TIFF."""
    from PIL import ImageOps

    file = io.BytesIO()
    try:
        # Turned as its file would be, while its metadata is at hand.
        upright = ImageOps.exif_transpose(image)
        if upright.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
            upright.save(file, "PNG", compress_level=0)
        elif upright.mode in ("I", "I;16B", "F", "CMYK", "YCbCr", "LAB"):
            upright.save(file, "TIFF")
        else:
            upright.convert("RGBA" if upright.mode.endswith("a") else "RGB").save(file, "PNG", compress_level=0)
    # Pillow opens lazily: the pixels are read from their file here, by decoders that raise what they like.
    except Exception as error:
        raise InputError(f"{name} cannot be read ({error}); give an image that Pillow can load.") from error
    return file.getvalue()


def image_paths(given: Sequence[Path | str], progress: Progress | None = None) -> list[Path]:
    """The image files named: files as they are, folders walked for pictures, sorted; `progress` hears what was left out.

    Raises `InputError` where there is none.
    """
    from xmap.stages.datasets.places.pictures import IMAGE_SUFFIXES
    from xmap.stages.datasets.places.scan import Scan

    found: list[Path] = []
    said = progress or Silent()
    for entry in map(Path, given):
        if os.path.isdir(entry):
            scan = Scan(entry)
            below = sorted(path for path in scan.below(entry) if isinstance(path, Path))
            for remark in scan.remarks():
                said.say(f"{entry}: {remark}")
            if not below:
                raise EmptyInput(entry, " ".join(IMAGE_SUFFIXES), scan.found())
            found += below
        else:
            found.append(entry)
    if not found:
        raise InputError("no images are named; give some, or the files or folders that hold them.")
    return found
