"""Where splits lie in folders: above the classes, inside each class, or nowhere. What is no clear case is refused.

`train/cat/1.jpg` and `cat/train/1.jpg` are read, under any usual name of a split. New splits are never drawn across folders that look
like splits: images that somebody kept for the test would be trained on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from xmap.stages.datasets.dataset import SPLITS, TRAIN
from xmap.stages.datasets.places.images import Classes, Images, Inside
from xmap.stages.datasets.places.place import Location
from xmap.stages.datasets.places.scan import Scan
from xmap.stages.datasets.splits.names import is_split, meanings, meanings_inside, read_as, split_inside
from xmap.store.disk.plain import named
from xmap.store.errors import InputError

UNDIVIDED = ""


def divide(scan: Scan) -> tuple[Mapping[str, Classes], tuple[str, ...]]:
    """The classes with their images, by split or under `UNDIVIDED`, and remarks.

    Raises `InputError` for split folders beside other images, of one meaning, and without class folders.
    """
    looking = scan.again()
    above = _splits_above(looking, looking.entries(scan.root)[0])
    if above:
        scan.strays.update(scan.entries(scan.root)[1])
        said = read_as((folder.name, split) for split, folder in above.items())
        return {split: scan.classes(folder) for split, folder in above.items()}, said
    classes = scan.classes(scan.root)
    inside = _splits_inside(scan.root, classes)
    if not inside:
        return {UNDIVIDED: classes}, ()
    found: dict[str, dict[str, list[Inside]]] = {split: {name: [] for name in classes} for split in SPLITS if split in inside.values()}
    for name, images in classes.items():
        for part, way in zip(images.parts, images.ways(scan.root), strict=True):
            found[inside[way[1]]][name].append(part)
    listed = named(sorted(inside))
    by_split = {split: {name: Images(parts) for name, parts in classes.items()} for split, classes in found.items()}
    return by_split, (f"read the folders {listed} inside the classes as splits", *read_as(sorted(inside.items())))


def _splits_above(scan: Scan, folders: Sequence[Location]) -> dict[str, Location]:
    """The folder of each split, in order; none where the folders are classes. A class may be called "train": it has no folders in it."""
    words = {folder: folder.name for folder in folders if is_split(folder.name)}
    if not _any_divided(scan, words):
        # Such as train_images and test_images, which are splits only together.
        other = {folder: word for folder in folders if (word := split_inside(folder.name))}
        meant = set(meanings(other.values()).values())
        words = other if len(meant) > 1 and TRAIN in meant else words
    if _any_divided(scan, words):
        _refuse_mixed(scan, list(words), [folder for folder in folders if folder not in words])
        _refuse_flat(scan, words)
        return _one_each(scan.root, words)
    # Another walk: this one counts what it leaves out once.
    others = [folder for folder in folders if folder not in words]
    if any(scan.entries(folder)[1] for folder in words) and not any(scan.again().below(folder) for folder in others):
        first = next(iter(words))
        raise InputError(f"{first} holds images but no class folders; put them in {first.name}/CLASS/ or give a CSV table.")
    return {}


def _any_divided(scan: Scan, folders: Iterable[Location]) -> bool:
    return any(scan.entries(folder)[0] for folder in folders)


def _refuse_flat(scan: Scan, folders: Iterable[Location]) -> None:
    for folder in folders:
        inside, images = scan.entries(folder)
        if images and not inside:
            raise InputError(
                f"{folder} holds images but no class folders; put them in {folder.name}/CLASS/, or move it out of the data if nobody knows "
                "their classes."
            )


def _one_each(root: Location, words: Mapping[Location, str]) -> dict[str, Location]:
    found = meanings(words.values())
    splits: dict[str, Location] = {}
    for folder, word in words.items():
        other = splits.setdefault(found[word], folder)
        if other is not folder:
            raise InputError(f"{root} has {other.name!r} and {folder.name!r}, which both mean {found[word]}; merge them, or rename one.")
    return {split: splits[split] for split in SPLITS if split in splits}


def _refuse_mixed(scan: Scan, splits: Sequence[Location], others: Sequence[Location]) -> None:
    """A folder of images beside train/ is either a forgotten class or not data: guessing would be wrong half the time."""
    holding = [folder.name for folder in others if scan.below(folder)]
    if holding:
        listed = named([folder.name for folder in splits])
        raise InputError(
            f"{scan.root} has split folders {listed} and beside them {named(holding)} with images; move these out, or into the splits."
        )


def _splits_inside(root: Location, classes: Classes) -> dict[str, str]:
    """What the folders inside class folders mean, where some class has several that are splits."""
    ways = {name: images.ways(root) for name, images in classes.items() if images}
    words = {name: {way[1] for way in inside if len(way) > 2 and is_split(way[1])} for name, inside in ways.items()}
    meant = meanings({word for inside in words.values() for word in inside})
    if len(ways) < 2:
        return {}
    if not any(len({meant[word] for word in inside}) > 1 for inside in words.values()):
        _refuse_deeper(root, ways)
        return meanings_inside({way[1] if len(way) > 2 else "" for inside in ways.values() for way in inside})
    for name, inside in ways.items():
        for way in inside:
            if way[1] not in words[name]:
                raise InputError(
                    f"{root} has classes with the split folders {named(sorted(meant))} inside, and {'/'.join(way)!r} lies in none of them; "
                    "put every image of each class into a split."
                )
            if len(way) > 3:
                raise InputError(f"{root / name} is a data set of its own, with folders such as {way[1]}/{way[2]}; point --data at it.")
    return meant


def _refuse_deeper(root: Location, ways: Mapping[str, list[list[str]]]) -> None:
    """Raise `InputError` for splits further inside the classes, as in `cat/images/train/1.jpg`."""
    for inside in ways.values():
        deep = {word: way for way in inside if (word := next(filter(is_split, way[2:-1]), ""))}
        if len(set(meanings(deep).values())) > 1:
            shown = sorted("/".join(way[: way.index(word) + 1]) for word, way in deep.items())
            raise InputError(f"{root} has split folders deep inside its classes, such as {named(shown)}; move them up, to CLASS/SPLIT/.")
