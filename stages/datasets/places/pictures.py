"""What the name of a file or folder says: a picture, a picture that is not read here, or what a system leaves behind."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping

HEIC = (".heic", ".heif", ".hif")
# The one format of Pillow's behind each suffix. Whatever a file is called, no others are opened: some of them start programs.
FORMATS: Mapping[str, str] = {
    ".avif": "AVIF",
    ".bmp": "BMP",
    ".dib": "DIB",
    ".gif": "GIF",
    **dict.fromkeys(HEIC, "HEIF"),
    **dict.fromkeys((".jfif", ".jpe", ".jpeg", ".jpg"), "JPEG"),
    ".jp2": "JPEG2000",
    **dict.fromkeys((".pbm", ".pgm", ".pnm", ".ppm"), "PPM"),
    ".png": "PNG",
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
    ".webp": "WEBP",
}
IMAGE_SUFFIXES = tuple(FORMATS)
# Many are TIFF inside, whose first picture is a thumbnail: they are known by their names.
RAW = (
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".kdc", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf",
    ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
)  # fmt: skip
CONVERT = "convert it to JPEG or PNG"
# Pictures that people take for images: each is a sample with an error, never left out without a word.
UNREAD: Mapping[str, str] = {
    **dict.fromkeys(RAW, "raw files of cameras are not read; develop it to JPEG, PNG or TIFF"),
    ".dcm": f"DICOM is not read; {CONVERT}",
    ".dicom": f"DICOM is not read; {CONVERT}",
    ".exr": f"OpenEXR is not read; {CONVERT}",
    ".j2k": f"JPEG 2000 without its frame is not read; {CONVERT}",
    ".jxl": f"JPEG XL is not read; {CONVERT}",
    ".psd": f"Photoshop files are not read; {CONVERT}",
    ".svg": f"SVG is not read; {CONVERT}",
    ".tga": f"TGA is not read; {CONVERT}",
}
PICTURE_SUFFIXES = (*IMAGE_SUFFIXES, *UNREAD)

# Of Synology and QNAP, Windows, macOS and its file servers, Linux, Android; casefolded. Hidden names need no entry.
LEFT_BEHIND = (
    r"@eadir|@syno\w+|@tmp|@recycle|@recently-snapshot|@transcode|@sharebin|@quarantine|~snapshot|#recycle|#snapshot|"
    r"\$?recycle\.bin|recycler|system volume information|found\.\d{3}|thumbs\.db|ehthumbs(_vista)?\.db|desktop\.ini|"
    r"__macosx|network trash folder|temporary items|"
    r"thevolumesettingsfolder|thefindbycontentfolder|resource\.frk|icon\r|lost\+found|lost\.dir|_gsdata_|wpsystem|__pycache__"
)


def suffix_of(name: str) -> str:
    """The lower-case suffix of a path or URL."""
    return posixpath.splitext(name)[1].lower()


def unread(name: str) -> str:
    """Why a file of this name is not read, with what to do; empty for all others."""
    return UNREAD.get(suffix_of(name), "")


def is_text(name: str) -> bool:
    """Whether a name is UTF-8 text."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_left_behind(name: str) -> bool:
    """Whether a file or folder of this name is hidden or what a system leaves beside the user's own."""
    return name.startswith(".") or re.fullmatch(LEFT_BEHIND, name.casefold()) is not None


def lies_in_leftovers(parts: Iterable[str]) -> bool:
    """Whether any part of a path is left behind."""
    return any(map(is_left_behind, parts))
