"""How benchmarks lie on disk in CoOp's layout, and how each layout is read.

A `Benchmark` is an entry of the table in `stages.datasets.benchmarks.table`; its `reader` is one of the functions here.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from xmap.stages.datasets.dataset import SPLITS, TEST, TRAIN, Item
from xmap.stages.datasets.places.images import Images
from xmap.stages.datasets.places.place import relative
from xmap.stages.datasets.places.scan import Scan
from xmap.store.disk.files import read_plain
from xmap.store.disk.plain import named
from xmap.store.errors import InputError

CLASSNAMES = "classnames.txt"
IMAGENET = "imagenet"


@dataclass(frozen=True)
class Listing:
    """What a reader found: items with their splits, class keys in label order, and the names that prompts use."""

    items: tuple[Item, ...]
    keys: tuple[str, ...]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Benchmark:
    """One benchmark: `folder` under the root holds `files` and the folders `images`.

    `sizes` are the published (train, val, test) images and `classes` the published classes. `target` says that it only tests
    a model adapted on ImageNet. `train_per_class` is what `xmap bench` keeps of a training set too large to encode whole.
    """

    name: str
    title: str
    folder: str
    images: tuple[str, ...]
    files: tuple[str, ...]
    reader: Callable[[Benchmark, Path], Listing]
    templates: tuple[str, ...]
    classes: int
    sizes: tuple[int, int, int]
    inside: str
    target: bool = False
    train_per_class: int | None = None
    optional: tuple[str, ...] = ()

    def at(self, root: Path) -> Path:
        """Its folder under the root of all benchmarks."""
        return root / self.folder


def read_split(entry: Benchmark, root: Path) -> Listing:
    """A benchmark with a `split_zhou` file: rows of [path below the image folder, label, class name] for each split."""
    file = entry.at(root) / entry.files[0]
    splits = _json(file)
    if not isinstance(splits, dict) or not all(isinstance(splits.get(split), list) for split in SPLITS):
        raise InputError(f"{file} is not a split file: it needs lists of rows under {', '.join(SPLITS)}; download it again.")
    images = entry.at(root) / entry.images[0] if len(entry.images) == 1 else entry.at(root)
    names: dict[int, str] = {}
    found: list[tuple[str, int, str]] = []
    for split in SPLITS:
        for number, row in enumerate(splits[split], 1):
            path, label, name = _row(file, split, number, row)
            if names.setdefault(label, name) != name:
                raise InputError(f"{file}, {split} row {number}: label {label} is {name!r} here and {names[label]!r} before.")
            found.append((path, label, split))
    if sorted(names) != list(range(len(names))):
        raise InputError(f"{file}: the labels are not 0 to {len(names) - 1}; download it again.")
    items = _distinct(file, (Item(path, images / path, str(label), split) for path, label, split in found))
    return Listing(items, tuple(map(str, range(len(names)))), tuple(_spoken(names[label]) for label in range(len(names))))


def read_aircraft(entry: Benchmark, root: Path) -> Listing:
    """FGVC-Aircraft: `variants.txt` in label order, and one text file of `image variant` lines for each split."""
    folder = entry.at(root)
    variants = tuple(line for line in _lines(folder / entry.files[0]) if line)
    items: list[Item] = []
    for split, name in zip(SPLITS, entry.files[1:], strict=True):
        for number, line in enumerate(_lines(folder / name), 1):
            image, _, variant = line.partition(" ")
            if variant not in variants:
                raise InputError(f"{folder / name} line {number}: {variant!r} is not in {entry.files[0]}; download both again.")
            path = _inside(folder / name, f"line {number}", f"{image}.jpg")
            items.append(Item(path, folder / entry.images[0] / path, variant, split))
    return Listing(_distinct(folder, items), variants, tuple(_spoken(variant) for variant in variants))


def read_imagenet(entry: Benchmark, root: Path) -> Listing:
    """ImageNet: classes and their order from `classnames.txt`; its validation images are the test split, there is no other."""
    keys, names = read_classnames(entry.at(root) / CLASSNAMES)
    items: list[Item] = []
    for split, part in ((TRAIN, entry.images[0]), (TEST, entry.images[1])):
        folder = entry.at(root) / part
        found = _class_folders(folder, {key: key for key in keys})
        missing = [key for key in keys if not found.get(key)]
        if missing:
            raise InputError(f"{folder} has no images of {len(missing)} of {len(keys)} classes: {named(missing)}.")
        items += _items(entry.at(root), found, split)
    return Listing(tuple(items), keys, names)


def read_target(entry: Benchmark, root: Path) -> Listing:
    """Test images in folders named by ImageNet's class ids; the classes are ImageNet's, of which the target may have some."""
    keys, names = read_classnames(_target_classnames(entry, root))
    return Listing(_target(entry, root, {key: key for key in keys}), keys, names)


def read_numbered_target(entry: Benchmark, root: Path) -> Listing:
    """As `read_target`, with folders named by the number of the class: ImageNet-V2's."""
    keys, names = read_classnames(_target_classnames(entry, root))
    return Listing(_target(entry, root, {str(label): key for label, key in enumerate(keys)}), keys, names)


def read_classnames(file: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Class ids and names from lines of `n01440764 tench`."""
    pairs = [line.partition(" ")[::2] for line in _lines(file) if line]
    keys = tuple(key for key, _ in pairs)
    if not pairs or not all(name.strip() for _, name in pairs) or len(set(keys)) < len(keys):
        raise InputError(f"{file} needs one line a class, its id and its name, such as `n01440764 tench`, no id twice.")
    return keys, tuple(_spoken(name.strip()) for _, name in pairs)


def _target_classnames(entry: Benchmark, root: Path) -> Path:
    """ImageNet's own file, so that source and target agree; without ImageNet beside it, the copy CoOp puts into the target."""
    source = root / IMAGENET / CLASSNAMES
    return source if source.is_file() else entry.at(root) / CLASSNAMES


def _target(entry: Benchmark, root: Path, folders: dict[str, str]) -> tuple[Item, ...]:
    found = _class_folders(entry.at(root) / entry.images[0], folders)
    items = _items(entry.at(root), found, TEST)
    if not items:
        raise InputError(f"{entry.at(root) / entry.images[0]} holds no images in class folders; run `xmap datasets check {entry.name}`.")
    return items


def _class_folders(folder: Path, keys: dict[str, str]) -> dict[str, Images]:
    """The images of each class of `keys` (folder name: class key). Raises `InputError` for a class that is not among them."""
    found = Scan(folder).classes(folder)
    unknown = sorted(name for name, images in found.items() if images and name not in keys)
    if unknown:
        raise InputError(f"{folder} has folders that {CLASSNAMES} does not name: {named(unknown)}; remove them, or complete the file.")
    return {keys[name]: images for name, images in found.items() if images}


def _items(base: Path, found: dict[str, Images], split: str) -> tuple[Item, ...]:
    listed = ((key, path) for key, paths in found.items() for path in paths)
    items = (Item(unicodedata.normalize("NFC", relative(base, path)), path, key, split) for key, path in listed)
    return _distinct(base, items)


def _row(file: Path, split: str, number: int, row: Any) -> tuple[str, int, str]:
    fits = isinstance(row, list) and len(row) == 3 and isinstance(row[0], str) and type(row[1]) is int and isinstance(row[2], str)
    if not fits or not row[2].strip() or row[1] < 0:
        raise InputError(f"{file}, {split} row {number} is not [path, label, class name] but {str(row)[:80]}; download it again.")
    return _inside(file, f"{split} row {number}", row[0]), row[1], row[2]


def _inside(file: Path, place: str, written: str) -> str:
    """A path of a split file as an id. One that climbs out of the image folder would read any file of this machine: refused."""
    path = PurePosixPath(written)
    if not written or path.is_absolute() or ".." in path.parts or "\\" in written or "\0" in written or not path.name:
        raise InputError(f"{file}, {place}: the path {written!r} does not stay inside the image folder; use a split file you trust.")
    return unicodedata.normalize("NFC", path.as_posix())


def _distinct(place: Path, items: Iterable[Item]) -> tuple[Item, ...]:
    found: dict[str, Item] = {}
    for item in items:
        if item.sample_id in found:
            raise InputError(f"{place} lists {item.sample_id!r} twice; give each image one row in one split.")
        found[item.sample_id] = item
    return tuple(found.values())


def _spoken(name: str) -> str:
    """A class name as CoOp puts it into prompts."""
    return unicodedata.normalize("NFC", name.replace("_", " ").strip())


def _lines(file: Path) -> Sequence[str]:
    return [line.strip() for line in _text(file).splitlines() if line.strip()]


def _json(file: Path) -> Any:
    try:
        return json.loads(_text(file))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is not JSON ({error}); download it again.") from error


def _text(file: Path) -> str:
    try:
        return read_plain(file).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(f"cannot read {file}: {reason}; `xmap datasets check NAME --root DIR` shows what belongs where.") from error
