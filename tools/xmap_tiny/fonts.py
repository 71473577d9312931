"""Which fonts the characters are printed in, and which of them are held out.

The list of Debian packages beside this file is the whole source of shapes. Families, not
files, are split into training and validation: the bold of a face that was trained on would
say little about faces never seen.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from PIL import ImageFont

PACKAGE_LIST = Path(__file__).with_name("fonts.txt")
DPKG_LISTS = Path("/var/lib/dpkg/info")
MAX_PER_FAMILY = 12
HELD_OUT_IN = 10

# Faces published under several names; a name's first word maps to one shared design, so
# that a held-out family has no twin among the trained ones.
_SAME_DESIGN = {
    "arimo": "liberation",
    "tinos": "liberation",
    "cousine": "liberation",
    "carlito": "lato",
    "cmu": "latin",
    "lm": "latin",
    "lmroman10": "latin",
    "nimbus": "urw",
    "texgyre": "urw",
    "tex": "urw",
    "freesans": "urw",
    "freeserif": "urw",
    "freemono": "urw",
    "c059": "urw",
    "p052": "urw",
    "z003": "urw",
    "new": "gillius",
    "pt": "paratype",
    "ptserif": "paratype",
}
# Fonts that map plain characters to pictures, Greek or box patterns: wrong labels.
_NOT_LATIN = ("symbol", "dingbat", "d050000l", "math", "initials", "icons")


@dataclass(frozen=True)
class FontFile:
    """One usable font file; `family` is the group it is split by."""

    path: Path
    family: str

    @property
    def held_out(self) -> bool:
        """Whether the family is kept for validation: a hash decides, not an order."""
        digest = hashlib.sha256(self.family.encode()).digest()
        return digest[0] % HELD_OUT_IN == 0


def package_names(path: Path = PACKAGE_LIST) -> list[str]:
    """The packages to install, in the order of the list."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _package_files(package: str) -> list[Path]:
    """The font files that dpkg installed for a package, from dpkg's own list of them."""
    listing = DPKG_LISTS / f"{package}.list"
    if not listing.exists():
        raise SystemExit(f"font package {package} is not installed: see tools/xmap_tiny/fonts.txt")
    paths = [Path(line) for line in listing.read_text(encoding="utf-8").splitlines()]
    return [path for path in paths if path.suffix.lower() in {".ttf", ".otf"}]


def _family(path: Path) -> str | None:
    """The design group of a font file, or None for one that cannot be read as text type."""
    try:
        name = ImageFont.truetype(str(path), 32).getname()[0] or path.stem
    except OSError:
        return None
    lowered = name.lower()
    if any(word in lowered or word in path.stem.lower() for word in _NOT_LATIN):
        return None
    first = lowered.replace("-", " ").split()[0]
    return next((to for prefix, to in _SAME_DESIGN.items() if first == prefix), first)


def _spread(files: list[Path], limit: int) -> list[Path]:
    """At most `limit` of the files, evenly over their sorted names (weights and slants)."""
    if len(files) <= limit:
        return files
    return [files[index * len(files) // limit] for index in range(limit)]


def _real_files(packages: Iterable[str]) -> list[Path]:
    seen: dict[Path, None] = {}
    for package in packages:
        for path in _package_files(package):
            if path.exists():
                seen.setdefault(path.resolve())
    return sorted(seen)


def discover(packages: Iterable[str] | None = None) -> list[FontFile]:
    """The font files of the packages, no family with more than `MAX_PER_FAMILY`."""
    families: dict[str, list[Path]] = defaultdict(list)
    for path in _real_files(package_names() if packages is None else packages):
        family = _family(path)
        if family is not None:
            families[family].append(path)
    return [FontFile(path, family) for family in sorted(families) for path in _spread(families[family], MAX_PER_FAMILY)]
