"""Images sorted by their answers: a folder a class, with links to files of this machine, and the bytes of what lies in other files.

Names come from file systems, tables and strangers: each is made one that stays inside its folder, whatever it says.
"""

from __future__ import annotations

import os
import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xmap.stages.datasets.places.pictures import PICTURE_SUFFIXES, suffix_of
from xmap.stages.images.read import Given, read_again
from xmap.stages.predict.answers import Answers
from xmap.stages.workplace.progress import Progress
from xmap.store.artifacts.identity import safe_name
from xmap.store.disk.files import make_folder, system_errors
from xmap.store.disk.new_folder import NewFolder
from xmap.store.disk.plain import plain
from xmap.store.errors import InputError

FLAG = "--into DIR"
REJECTED = "none-of-these"
# Bytes of a name that every file system takes, with room for a number; of an image's name its last part stays.
LONGEST = 160
# How files begin, for images whose names say nothing.
BEGINNINGS: Mapping[str, tuple[bytes, ...]] = {
    ".jpg": (b"\xff\xd8\xff",),
    ".png": (b"\x89PNG",),
    ".gif": (b"GIF8",),
    ".bmp": (b"BM",),
    ".webp": (b"RIFF",),
    ".tif": (b"II*\0", b"MM\0*"),
}


def sorted_into(answers: Iterable[Answers], target: NewFolder, copy: bool, progress: Progress) -> Iterator[Answers]:
    """The same answers, each image put into the folder of its class in `target`, which is there whole once they end.

    Images without a class lie in `none-of-these`, those that cannot be read in no folder. Files are linked to, or copied with `copy`.
    Raises `InputError` for answers without places, for an image that is gone and for a file system without links.
    """
    with target.open() as folder:
        sorting: _Sorting | None = None
        for batch in answers:
            if batch.places is None:
                raise InputError(f"{FLAG}: these answers are of features, and where their images are is not known; give the images.")
            sorting = sorting or _Sorting(folder, folder_names(batch.classes), copy)
            sorting.add(batch)
            yield batch
        if sorting:
            progress.say(f"{target.path}: {sorting}")


def folder_names(classes: Sequence[str]) -> tuple[str, ...]:
    """A folder's name for each class and, at the end, for images of none of them: the class's own where that can be one."""
    taken, names = {REJECTED}, []
    for name in classes:
        own = name if _is_name(name) else safe_name(name)
        number = 1
        # Some file systems know no case.
        while (found := own if number == 1 else f"{own}-{number}").casefold() in taken:
            number += 1
        taken.add(found.casefold())
        names.append(found)
    return (*names, REJECTED)


def _is_name(name: str) -> bool:
    """Whether a name is one for a folder everywhere, that readers of class folders do not pass over."""
    usual = plain(name) == name == name.strip(" .") and not any(sign in name for sign in '/\\:*?"<>|')
    return usual and 0 < len(name.encode()) <= LONGEST


@dataclass
class _Sorting:
    """Class folders being filled: `found` counts what lies in each, `left` the images that cannot be read."""

    folder: Path
    names: tuple[str, ...]
    copy: bool
    found: Counter[str] = field(default_factory=Counter)
    left: int = 0
    seen: int = 0

    def add(self, batch: Answers) -> None:
        labels = batch.best(1)[:, 0]
        if batch.rejected is not None:
            labels[batch.rejected] = len(self.names) - 1
        for row, label in enumerate(labels.tolist()):
            self.seen += 1
            if row in batch.bad:
                self.left += 1
            else:
                self._put(batch.places[row], self.names[label])  # type: ignore[index]

    def _put(self, place: Given, name: str) -> None:
        inside = self.folder / name
        if not self.found[name]:
            make_folder(inside, FLAG)
        self.found[name] += 1
        linked = isinstance(place, Path) and not self.copy
        data = b"" if linked else read_again(place)
        path = inside / self._free(inside, file_name(place.name, data))
        if linked:
            _link(Path(place), path)  # type: ignore[arg-type]
            return
        with system_errors(path), open(path, "xb") as file:
            file.write(data)

    def _free(self, inside: Path, name: str) -> str:
        """The name, with the number of the image where another image has it."""
        stem, suffix = posixpath.splitext(name)
        while os.path.lexists(inside / name):
            stem = f"{stem}-{self.seen}"
            name = stem + suffix
        return name

    def __str__(self) -> str:
        said = [f"{count:,} {name}" for name, count in self.found.most_common()]
        return ", ".join(said) + (f"; left out {self.left:,} that cannot be read" if self.left else "")


def file_name(name: str, data: bytes = b"") -> str:
    """The last part of a name as one for a file in any folder, with the suffix of a picture where `data` begin as one does."""
    last = plain(posixpath.basename(name.replace("\\", "/"))).lstrip(".").replace(":", "-") or "image"
    suffix = suffix_of(last)
    if suffix not in PICTURE_SUFFIXES:
        last, suffix = last + _suffix(data), _suffix(data)
    stem = last[: len(last) - len(suffix)].encode(errors="replace")[-LONGEST:].decode(errors="ignore")
    return stem + last[len(last) - len(suffix) :]


def _suffix(data: bytes) -> str:
    return next((suffix for suffix, begin in BEGINNINGS.items() if data.startswith(begin)), "")


def _link(place: Path, path: Path) -> None:
    try:
        path.symlink_to(os.path.abspath(place))
    except OSError as error:
        raise InputError(f"{FLAG}: {path.name} cannot be a link there ({error.strerror}); give --copy for copies.") from error
