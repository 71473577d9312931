"""Real tars, made by `tarfile`: sound ones of samples, and ones with any header at all."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from PIL import Image

from tests.worlds.pictures import picture

Members = Iterable[tuple[str, bytes]]


def encoded(image: Image.Image, suffix: str = ".png") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, Image.registered_extensions()[suffix])
    return buffer.getvalue()


def write_tar(path: Path, members: Members, kind: int = tarfile.USTAR_FORMAT) -> Path:
    """A tar of files, in the given order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=kind) as tar:
        for name, data in members:
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    return path


def samples(labels: Mapping[str, str], start: int = 0) -> list[tuple[str, bytes]]:
    """For each key a picture and its label, as WebDataset writes them; `start` chooses the pictures."""
    found = []
    for number, (key, label) in enumerate(labels.items(), start):
        found += [(f"{key}.png", encoded(picture(number))), (f"{key}.cls", label.encode())]
    return found


def header(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, **fields: object) -> bytes:
    """One header block, of a member of any kind, in GNU's form."""
    made = tarfile.TarInfo(name)
    made.type, made.size = kind, size
    for field, value in fields.items():
        setattr(made, field, value)
    return made.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")[-512:]


def extension(kind: bytes, data: bytes) -> bytes:
    """An extension header with its data."""
    return header("././@LongLink", kind, len(data)) + padded(data)


def pax(**records: str) -> bytes:
    """The data of a pax header."""
    return b"".join(_record(key.replace("__", ".") + "=" + value) for key, value in records.items())


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def _record(text: str) -> bytes:
    body = f" {text}\n".encode()
    length = len(body) + 1
    while len(str(length)) + len(body) != length:
        length += 1
    return str(length).encode() + body


END = bytes(1024)


def write_shards(root: Path) -> Path:
    """Two training tars of three samples, one tar for each other split."""
    write_tar(root / "train/a.tar", samples({"1": "cat", "2": "dog", "3": "cat"}))
    write_tar(root / "train/b.tar", samples({"1": "dog", "2": "dog", "3": "cat"}, 3))
    write_tar(root / "val/a.tar", samples({"1": "dog", "2": "cat"}, 6))
    write_tar(root / "test/a.tar", samples({"1": "dog", "2": "cat"}, 8))
    return root
