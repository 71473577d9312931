"""HEIC, the pictures of telephones: read by a library of its own, where the extra `heic` is installed."""

from __future__ import annotations

from importlib.util import find_spec

EXTRA = "pip install 'xmap[heic]'"
# The brands by which an ISO media file says that it is HEIF.
BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")


def has_heif() -> bool:
    """Whether the library is installed. It is not imported."""
    return find_spec("pillow_heif") is not None


def register_heif() -> None:
    """Let Pillow open HEIF where the library is installed."""
    if has_heif():
        from pillow_heif import register_heif_opener

        register_heif_opener(thumbnails=False)


def is_heif(data: bytes) -> bool:
    """Whether a file's bytes say that they are HEIF. AVIF, its sister, is Pillow's own."""
    return data[4:8] == b"ftyp" and data[8:12] in BRANDS
