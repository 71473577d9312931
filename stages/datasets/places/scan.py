"""A walk over folders of images, which remembers what it left out."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from xmap.stages.datasets.places.images import Classes, Images, Inside
from xmap.stages.datasets.places.pictures import IMAGE_SUFFIXES, PICTURE_SUFFIXES, is_left_behind, is_text, suffix_of, unread
from xmap.stages.datasets.places.place import Location
from xmap.store.disk.plain import named
from xmap.store.errors import InputError

# The suffixes of pictures that are read, as most files have them.
PLAIN = frozenset((*IMAGE_SUFFIXES, *(suffix.upper() for suffix in IMAGE_SUFFIXES)))


class Scan:
    """A walk over folders that remembers what it left out."""

    def __init__(self, root: Location) -> None:
        self.root = root
        self.ignored: Counter[str] = Counter()
        self.left_behind: Counter[str] = Counter()
        # What folders of classes hold that have no image, by class.
        self.imageless: dict[str, Counter[str]] = {}
        self.strays: set[Location] = set()
        self.nameless: set[str] = set()
        self.loops: set[str] = set()

    def again(self) -> Scan:
        """Another walk over the same folders."""
        return Scan(self.root)

    def entries(self, folder: Location) -> tuple[list[Location], Inside]:
        """The folders and the would-be images directly in `folder`, sorted. Raises `InputError` where it cannot be listed."""
        folders: list[Location] = []
        images: list[str] = []
        others: list[os.DirEntry[str]] = []
        try:
            with os.scandir(str(folder)) as listing:
                for entry in listing:
                    name = entry.name
                    # Most names by far end so, and nothing that systems leave behind does.
                    if name[name.rfind(".") :] in PLAIN and name.isascii() and name[0] != "." and entry.is_file(follow_symlinks=False):
                        images.append(name)
                    else:
                        others.append(entry)
        except OSError as error:
            raise InputError(f"cannot list {folder}: {error.strerror}; make it readable or move it out of the data.") from error
        for entry in sorted(others, key=lambda entry: entry.name):
            if self._leave(entry.name):
                continue
            if not is_text(entry.name):
                self.nameless.add(repr(os.fsencode(os.path.relpath(entry.path, str(self.root)))))
            elif _is_folder(entry):
                folders.append(Path(entry.path))
            elif suffix_of(entry.name) in PICTURE_SUFFIXES:
                images.append(entry.name)
            else:
                self.ignored[suffix_of(entry.name) or "no suffix"] += 1
        return folders, Inside(folder, self._without_doubles(sorted(images), [entry.name for entry in others]))

    def _without_doubles(self, images: list[str], odd: Sequence[str]) -> list[str]:
        """The images of a folder, without those of the `odd` ones that are not read and lie beside a readable one of their name."""
        if not any(map(unread, odd)):
            return images
        readable = {_stem(name) for name in images if not unread(name)}
        doubles = {name for name in images if unread(name) and _stem(name) in readable}
        self.ignored.update(map(suffix_of, doubles))
        return [name for name in images if name not in doubles]

    def _leave(self, name: str) -> bool:
        """Whether a name is none of the user's own; those that are not hidden are counted."""
        leave = is_left_behind(name)
        self.left_behind[name] += leave and not name.startswith(".")
        return leave

    def classes(self, folder: Location) -> Classes:
        """The class folders in `folder`, NFC, each with the images anywhere below it."""
        by_class: dict[str, Images] = {}
        folders, stray = self.entries(folder)
        self.strays.update(stray)
        for path in folders:
            name = unicodedata.normalize("NFC", path.name)
            if name in by_class:
                raise InputError(f"two folders in {folder} are both {name!r} after Unicode normalisation; rename or merge them.")
            before = self._files_left_out()
            by_class[name] = self.below(path)
            held = self._files_left_out() - before
            if held and not by_class[name]:
                self.imageless[name] = held
        return by_class

    def _files_left_out(self) -> Counter[str]:
        return self.ignored + Counter({"of names that are not UTF-8": len(self.nameless)})

    def below(self, folder: Location) -> Images:
        """The images anywhere below `folder`; links to folders are followed, but never into a folder they lie in."""
        found: list[Inside] = []
        waiting = [(folder, frozenset[tuple[int, int]]())]
        while waiting:
            path, above = waiting.pop()
            status = os.stat(str(path))
            here = (status.st_dev, status.st_ino)
            if here in above:
                self.loops.add(os.path.relpath(str(path), str(self.root)))
                continue
            folders, inside = self.entries(path)
            found += [inside] if inside else []
            waiting += [(inner, above | {here}) for inner in folders]
        return Images(found)

    def found(self) -> str:
        """What was found instead of images, in words."""
        parts = [f"{count} {suffix}" for suffix, count in sorted(self.ignored.items())]
        parts += [f"{len(self.strays)} images outside class folders"] * bool(self.strays)
        return ", ".join(parts) or "no files"

    def remarks(self) -> tuple[str, ...]:
        """One sentence for each way in which something was left out."""
        lines = []
        if self.ignored:
            listed = ", ".join(f"{count} {suffix}" for suffix, count in sorted(self.ignored.items()))
            total = self.ignored.total()
            what = "file that is no image was" if total == 1 else "files that are not images were"
            lines.append(f"{total} {what} left out: {listed}")
        if +self.left_behind:
            lines.append(f"what systems leave behind was left out: {named(sorted(+self.left_behind))}")
        if self.strays:
            lines.append(f"{len(self.strays)} images that lie in no class folder were left out")
        if self.nameless:
            lines.append(f"{len(self.nameless)} names that are not UTF-8 were left out: {', '.join(sorted(self.nameless)[:5])}")
        if self.loops:
            lines.append(f"{len(self.loops)} links back to a folder they lie in were left out: {named(sorted(self.loops))}")
        return tuple(lines)


def _stem(name: str) -> str:
    return PurePosixPath(name).stem


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link that leads round in a circle is no folder; with an image's suffix extraction names it.
        return False
