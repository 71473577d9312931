"""Files that hold many images each: which ones `--data` names, and which split each is of.

`--data` may be one such file, a folder of them (also in train/, val/, test/ or data/ inside it), or a pattern: `*`, `?`, `[0-9]`,
`{000..127}` or `{a,b}`. A file's split is the folder it lies in, else the word its name begins with.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from stages.datasets.files import as_file, contents, everything_below
from stages.datasets.pictures import IMAGE_SUFFIXES, is_left_behind
from stages.datasets.places import Location, relative
from stages.datasets.remote import fitting
from stages.datasets.splits import named
from store.errors import InputError

# The words by which folders and files say their split.
WORDS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val", "test": "test"}
INSIDE = (*WORDS, "data")
BRACES = re.compile(r"\{([^{}]*(?:,[^{}]*)+|\d+\.\.\d+)\}")
WILD = re.compile(r"[*?\[]")
BEGINS = re.compile(r"([a-z]+)(?=[-_.]|$)")
MOST = 1 << 17


@dataclass(frozen=True)
class Found:
    """A file that holds images: its path below the data, where it is, and its split (empty where none is said)."""

    name: str
    where: Location
    split: str = ""


def find_containers(data: Location, *endings: str) -> list[Found]:
    """The files whose names have one of the `endings` that `data` names, by path; none where it names something else.

    A folder that has images in folders is a folder of images, whatever lies beside them. Raises `InputError` for a pattern that
    fits nothing, and where some files say a split and others do not.
    """
    if is_pattern(data):
        root, files = _matching(data) if str(data).lower().endswith(endings) else (data, [])
    elif str(data).lower().endswith(endings) and (one := as_file(data)):
        root, files = data.parent, [one]
    else:
        root, files = data, _in_folder(data, endings)
    names = [relative(root, file) for file in files]
    splits = _splits(names)
    return sorted((Found(*found) for found in zip(names, files, splits, strict=True)), key=lambda found: found.name)


def is_pattern(data: Location) -> bool:
    """Whether `data` names files by a pattern: a name with such characters that exists is only a name."""
    text = str(data)
    return bool(BRACES.search(text) or WILD.search(text)) and not (isinstance(data, Path) and data.exists())


def expand(pattern: str) -> Iterator[str]:
    """A pattern with each choice of its braces; numbers keep their width."""
    found = BRACES.search(pattern)
    if found is None:
        yield pattern
        return
    first, dots, last = found[1].partition("..")
    if dots and first.isdigit() and last.isdigit():
        numbers = range(int(first), int(last) + 1)
        if len(numbers) > MOST:
            raise InputError(f"--data {pattern} names {len(numbers):,} files, the limit is {MOST:,}; use `*`, or give the folder.")
        choices: Sequence[str] = [f"{number:0{len(first)}}" for number in numbers]
    else:
        choices = found[1].split(",")
    for choice in choices:
        yield from expand(pattern[: found.start()] + choice + pattern[found.end() :])


def _matching(data: Location) -> tuple[Location, list[Location]]:
    """The folder in which a pattern begins to be one, and the files that fit."""
    root = data.parent
    while is_pattern(root):
        root = root.parent
    files: dict[str, Location] = {}
    for part in expand(relative(root, data)):
        found = _fitting(root, part)
        if not found:
            raise InputError(f"--data {data} names {root / part}, where no file is; correct the pattern, or complete the files.")
        files.update({str(file): file for file in found})
    return root, list(files.values())


def _fitting(root: Location, part: str) -> list[Location]:
    if not WILD.search(part):
        one = as_file(root / part)
        return [one] if one else []
    if isinstance(root, Path):
        try:
            return [path for path in sorted(root.glob(part)) if path.is_file() and not is_left_behind(path.name)]
        except ValueError as error:
            raise InputError(f"--data {root / part} is no pattern ({error}); write `**` as a folder of its own: `**/*.tar`.") from error
    return [file for file in fitting(root, part) if not is_left_behind(file.name)]


def beside(data: Location, *endings: str) -> int:
    """How many files of other `endings` lie where `find_containers` looks in a folder."""
    return 0 if is_pattern(data) else len(_ending(data, endings)[1])


def _ending(folder: Location, endings: tuple[str, ...]) -> tuple[list[Location], list[Location]]:
    """The folders in a folder, and the files with one of the `endings` in it and in its folders of splits."""
    folders, files = contents(folder)
    inside = [file for inner in folders if inner.name in INSIDE for file in contents(inner)[1]]
    return folders, [file for file in (*files, *inside) if file.name.lower().endswith(endings)]


def _in_folder(folder: Location, endings: tuple[str, ...]) -> list[Location]:
    folders, found = _ending(folder, endings)
    has_images = found and any(file.suffix.lower() in IMAGE_SUFFIXES for inner in folders for file in everything_below(inner))
    return [] if has_images else found


def _splits(names: Sequence[str]) -> list[str]:
    """The split of each file. Where all say the same one by their name alone, the data has no splits."""
    folders = [next((WORDS[part] for part in PurePosixPath(name).parts[:-1] if part in WORDS), "") for name in names]
    words = [found or _word(name) for found, name in zip(folders, names, strict=True)]
    if not any(folders) and len(set(words)) == 1:
        return [""] * len(names)
    silent = [name for name, word in zip(names, words, strict=True) if not word]
    if silent and any(words):
        raise InputError(f"some files say a split and others do not, such as {named(silent[:1])}; put each into train/, val/ or test/.")
    return words


def _word(name: str) -> str:
    found = BEGINS.match(PurePosixPath(name).name.lower())
    return WORDS.get(found[1], "") if found else ""
