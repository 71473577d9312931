"""Class folders: `root/class/*.jpg`, or `root/{train,val,test}/class/*`; images may lie deeper inside a class.

Identity never depends on the file system: ids and class names are NFC, in an order of their own, while the name on disk opens the
file. What looks like an image by its suffix stays a sample even when it is a broken link or a pipe: extraction lists it.
"""

from __future__ import annotations

import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from stages.config import DataConfig
from stages.datasets.assemble import Item, assemble
from stages.datasets.dataset import SPLITS, TRAIN, Dataset
from stages.datasets.order import in_order
from stages.datasets.pictures import IMAGE_SUFFIXES, PICTURE_SUFFIXES, is_left_behind, suffix_of, unread
from stages.datasets.places import Location, relative
from stages.datasets.splits import named
from store.errors import EmptyInput, InputError
from store.notes import Notes

UNDIVIDED = ""

Classes = Mapping[str, list[Location]]


class FolderSource:
    """The entry for folders of class folders."""

    def matches(self, data: Location) -> bool:
        return isinstance(data, Path) and data.is_dir()

    def read(self, config: DataConfig, data: Location, name: str, notes: Notes) -> Dataset:
        """The dataset under `data`.

        Raises `EmptyInput` without images, and `InputError` for folders that cannot be listed, splits of different classes,
        a class without training images, and names that are one after Unicode normalisation.
        """
        scan = self.scan(data)
        folders, stray = scan.entries(data)
        splits = _split_folders(scan, folders)
        found = {split: scan.classes(data / split) for split in splits} if splits else {UNDIVIDED: scan.classes(data)}
        if not any(images for classes in found.values() for images in classes.values()):
            raise EmptyInput(str(data), " ".join(IMAGE_SUFFIXES), scan.found(stray))
        if splits:
            _refuse_mixed(scan, [folder for folder in folders if folder.name not in SPLITS])
        keys, remarks = _check(found)
        items = _items(data, found)
        return assemble(name, items, keys, config, (*remarks, *scan.remarks()))

    def scan(self, root: Location) -> Scan:
        """A walk over the folders in `root`."""
        return Scan(root)


class Scan:
    """A walk over folders that remembers what it left out."""

    def __init__(self, root: Location) -> None:
        self.root = root
        self.ignored: Counter[str] = Counter()
        self.left_behind: Counter[str] = Counter()
        self.strays: set[Location] = set()
        self.nameless: set[str] = set()
        self.loops: set[str] = set()

    def again(self) -> Scan:
        """Another walk over the same folders."""
        return Scan(self.root)

    def entries(self, folder: Location) -> tuple[list[Location], list[Location]]:
        """The folders and the would-be images directly in `folder`, sorted. Raises `InputError` where it cannot be listed."""
        try:
            with os.scandir(str(folder)) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            raise InputError(f"cannot list {folder}: {error.strerror}; make it readable or move it out of the data.") from error
        folders: list[Location] = []
        images: list[Location] = []
        for entry in entries:
            if self._leave(entry.name):
                continue
            if not _decodable(entry.name):
                self.nameless.add(repr(os.fsencode(os.path.relpath(entry.path, str(self.root)))))
            elif _is_folder(entry):
                folders.append(Path(entry.path))
            elif suffix_of(entry.name) in PICTURE_SUFFIXES:
                images.append(Path(entry.path))
            else:
                self.ignored[suffix_of(entry.name) or "no suffix"] += 1
        return folders, self._without_doubles(images)

    def _without_doubles(self, images: Sequence[Location]) -> list[Location]:
        """The images of a folder, without pictures that are not read and lie beside a readable one of their name."""
        readable = {image.stem for image in images if not unread(image.name)}
        doubles = [image for image in images if unread(image.name) and image.stem in readable]
        self.ignored.update(suffix_of(image.name) for image in doubles)
        return [image for image in images if image not in doubles] if doubles else list(images)

    def _leave(self, name: str) -> bool:
        """Whether a name is none of the user's own; those that are not hidden are counted."""
        leave = is_left_behind(name)
        self.left_behind[name] += leave and not name.startswith(".")
        return leave

    def classes(self, folder: Location) -> Classes:
        """The class folders in `folder`, NFC, each with the images anywhere below it."""
        found: dict[str, list[Location]] = {}
        folders, stray = self.entries(folder)
        self.strays.update(stray)
        for path in folders:
            name = unicodedata.normalize("NFC", path.name)
            if name in found:
                raise InputError(f"two folders in {folder} are both {name!r} after Unicode normalisation; rename or merge them.")
            found[name] = self.below(path)
        return found

    def below(self, folder: Location) -> list[Location]:
        """The images anywhere below `folder`; links to folders are followed, but never into a folder they lie in."""
        images: list[Location] = []
        waiting = [(folder, frozenset[tuple[int, int]]())]
        while waiting:
            path, above = waiting.pop()
            status = os.stat(str(path))
            here = (status.st_dev, status.st_ino)
            if here in above:
                self.loops.add(os.path.relpath(str(path), str(self.root)))
                continue
            folders, inside = self.entries(path)
            images += inside
            waiting += [(inner, above | {here}) for inner in folders]
        return images

    def found(self, stray: Sequence[Location]) -> str:
        """What was found instead of images, in words."""
        parts = [f"{count} {suffix}" for suffix, count in sorted(self.ignored.items())]
        parts += [f"{len(stray)} images outside class folders"] * bool(stray)
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


def _decodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link that leads round in a circle is no folder; with an image's suffix extraction names it.
        return False


def _split_folders(scan: Scan, folders: Sequence[Location]) -> list[str]:
    """The splits among `folders`, empty where these are classes. A class may be called "train": it then has no folders in it."""
    present = [folder for folder in folders if folder.name in SPLITS]
    inner = scan.again()
    if any(inner.entries(folder)[0] for folder in present):
        return [split for split in SPLITS if any(folder.name == split for folder in present)]
    if present and len(present) == len(folders) and any(inner.entries(folder)[1] for folder in present):
        raise InputError(f"{present[0]} holds images but no class folders; put them in {present[0].name}/CLASS/ or give a CSV table.")
    return []


def _refuse_mixed(scan: Scan, others: Sequence[Location]) -> None:
    """A folder of images beside train/ is either a forgotten class or not data: guessing would be wrong half the time."""
    inner = scan.again()
    holding = [folder.name for folder in others if inner.below(folder)]
    if holding:
        raise InputError(f"{scan.root} has split folders and beside them {named(holding)} with images; move these out, or into the splits.")


def _check(found: Mapping[str, Classes]) -> tuple[list[str], tuple[str, ...]]:
    """The class keys in label order, and remarks. Raises `InputError` where splits differ in their classes."""
    names = {name for classes in found.values() for name in classes}
    filled = in_order({name for classes in found.values() for name, images in classes.items() if images})
    empty = sorted(names - set(filled))
    remarks = [f"{len(empty)} empty class folders were left out: {named(empty)}"] * bool(empty)
    lacking = {split: [name for name in filled if name not in classes] for split, classes in found.items()}
    if any(lacking.values()):
        listed = "; ".join(f"{split} lacks {named(missing)}" for split, missing in lacking.items() if missing)
        raise InputError(f"the splits differ in their classes: {listed}; give every split the same class folders.")
    if UNDIVIDED not in found:
        _require_training(found, filled)
        for split, classes in found.items():
            bare = [name for name in filled if not classes[name]]
            remarks += [f"{split} has no image of {named(bare)}"] * bool(bare)
    same = defaultdict(list)
    for name in filled:
        same[name.casefold()].append(name)
    remarks += [f"classes that differ by case alone: {named(alike)}" for alike in same.values() if len(alike) > 1]
    return filled, tuple(remarks)


def _require_training(found: Mapping[str, Classes], filled: Sequence[str]) -> None:
    if TRAIN not in found:
        raise InputError(f"there are folders {', '.join(found)} but no train folder; add one, or give the folder of classes itself.")
    untrained = [name for name in filled if not found[TRAIN][name]]
    if untrained:
        raise InputError(f"no training image of {named(untrained)}, which other splits have; add some, or remove the class.")


def _items(root: Location, found: Mapping[str, Classes]) -> list[Item]:
    items: dict[str, Item] = {}
    for split, classes in found.items():
        for key, images in classes.items():
            for path in images:
                sample_id = unicodedata.normalize("NFC", relative(root, path))
                if sample_id in items:
                    raise InputError(f"two files are both {sample_id!r} after Unicode normalisation; rename one of them.")
                items[sample_id] = Item(sample_id, path, key, split)
    return list(items.values())
