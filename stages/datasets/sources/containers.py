"""Files that hold many images each: which ones `--data` names, and which split each is of.

`--data` may be one such file, a folder of them (also in train/, val/, test/ or data/ inside it), or a pattern: `*`, `?`, `[0-9]`,
`{000..127}` or `{a,b}`. A file's split is the folder it lies in, else what its name says: `train-000.tar`, `pets_valid_000.tar`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from xmap.stages.datasets.places.files import as_file, contents, everything_below
from xmap.stages.datasets.places.pictures import IMAGE_SUFFIXES, is_left_behind
from xmap.stages.datasets.places.place import Location, relative
from xmap.stages.datasets.places.remote import fitting
from xmap.stages.datasets.splits.names import meanings, read_as, split_inside
from xmap.store.disk.plain import named
from xmap.store.errors import InputError

DATA = "data"
BRACES = re.compile(r"\{([^{}]*(?:,[^{}]*)+|\d+\.\.\d+)\}")
WILD = re.compile(r"[*?\[]")
MOST = 1 << 17


@dataclass(frozen=True)
class Found:
    """A file that holds images: its path below the data, where it is, and its split, with what says it (both empty where nothing does)."""

    name: str
    where: Location
    split: str = ""
    said: str = ""


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
    return sorted(_divided(names, files), key=lambda found: found.name)


def is_pattern(data: Location) -> bool:
    """Whether `data` names files by a pattern: a name with such characters that exists is only a name."""
    text = str(data)
    return bool(BRACES.search(text) or WILD.search(text)) and not (isinstance(data, Path) and data.exists())


def expand(pattern: str) -> Iterator[str]:
    """A pattern with each choice of its braces; numbers keep their width."""
    braces = BRACES.search(pattern)
    if braces is None:
        yield pattern
        return
    first, dots, last = braces[1].partition("..")
    if dots and first.isdigit() and last.isdigit():
        numbers = range(int(first), int(last) + 1)
        if len(numbers) > MOST:
            raise InputError(f"{pattern} names {len(numbers):,} files, the limit is {MOST:,}; use `*`, or give the folder.")
        choices: Sequence[str] = [f"{number:0{len(first)}}" for number in numbers]
    else:
        choices = braces[1].split(",")
    for choice in choices:
        yield from expand(pattern[: braces.start()] + choice + pattern[braces.end() :])


def _matching(data: Location) -> tuple[Location, list[Location]]:
    """The folder in which a pattern begins to be one, and the files that fit."""
    root = data.parent
    while is_pattern(root):
        root = root.parent
    files: dict[str, Location] = {}
    for part in expand(relative(root, data)):
        found = _fitting(root, part)
        if not found:
            raise InputError(f"{data} names {root / part}, where no file is; correct the pattern, or complete the files.")
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
            raise InputError(f"{root / part} is no pattern ({error}); write `**` as a folder of its own: `**/*.tar`.") from error
    return [file for file in fitting(root, part) if not is_left_behind(file.name)]


def beside(data: Location, *endings: str) -> int:
    """How many files of other `endings` lie where `find_containers` looks in a folder."""
    return 0 if is_pattern(data) else len(_ending(data, endings)[1])


def _ending(folder: Location, endings: tuple[str, ...]) -> tuple[list[Location], list[Location]]:
    """The folders in a folder, and the files with one of the `endings` in it and in its folders of splits."""
    folders, files = contents(folder)
    inside = [file for inner in folders if inner.name.casefold() == DATA or split_inside(inner.name) for file in contents(inner)[1]]
    return folders, [file for file in (*files, *inside) if file.name.lower().endswith(endings)]


def _in_folder(folder: Location, endings: tuple[str, ...]) -> list[Location]:
    folders, found = _ending(folder, endings)
    has_images = found and any(file.suffix.lower() in IMAGE_SUFFIXES for inner in folders for file in everything_below(inner))
    return [] if has_images else found


def _divided(names: Sequence[str], files: Sequence[Location]) -> Iterator[Found]:
    """Each file with its split. Where all say the same one by their name alone, the data has no splits."""
    folders = [next(filter(split_inside, PurePosixPath(name).parts[:-1]), "") for name in names]
    words = [split_inside(folder or PurePosixPath(name).name) for folder, name in zip(folders, names, strict=True)]
    meant = meanings(filter(None, words))
    if not any(folders) and len(meant) == len(set(words)) and len(set(meant.values())) == 1:
        words = [""] * len(names)
    silent = [name for name, word in zip(names, words, strict=True) if not word]
    if silent and any(words):
        raise InputError(f"some files say a split and others do not, such as {named(silent[:1])}; put each into train/, val/ or test/.")
    for name, where, folder, word in zip(names, files, folders, words, strict=True):
        # A word in the middle of a name is no plain word of its own: then the name is shown.
        shown = folder or PurePosixPath(name).name
        yield Found(name, where, meant.get(word, ""), word if not folder and shown.startswith(word) else shown)


def splits_said(found: Sequence[Found]) -> tuple[str, ...]:
    """A remark on the splits of files that are called otherwise."""
    return read_as((one.said, one.split) for one in found if one.split)
