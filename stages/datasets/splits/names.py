"""The splits under the names that people and tools give them: folders, files, and the values of a table's column."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from xmap.stages.datasets.dataset import SPLITS, TEST, TRAIN, VAL, Item
from xmap.store.disk.plain import named
from xmap.store.errors import InputError

USUAL: Mapping[str, str] = {
    **dict.fromkeys(("train", "training", "trainset"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "validate", "valset", "dev"), VAL),
    **dict.fromkeys(("test", "testing", "testset"), TEST),
}
# The images to test on, but for data that has others for this.
EITHER = ("eval", "evaluation")
# `PetsTrain_000` is Pets, Train.
PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def is_split(text: str) -> bool:
    """Whether a text is a usual name of a split, in any case."""
    word = text.strip().casefold()
    return word in USUAL or word in EITHER


def says_splits(column: str, values: Iterable[object]) -> bool:
    """Whether a table's column says splits: it is called so, or holds nothing but names of splits, a train split among them."""
    if column.strip().casefold() == "split":
        return True
    # An empty cell is no other word: its row is refused later, with its number.
    words = {split_inside(str(value)).casefold() for value in values if value is not None and str(value).strip()}
    return bool(words) and "" not in words and any(USUAL.get(word) == TRAIN for word in words)


def split_inside(name: str) -> str:
    """The part of a name that says a split: its beginning, or the only part that does; empty where none is said or several are."""
    parts = PARTS.findall(name)
    found = {part.casefold(): part for part in parts if is_split(part)}
    if parts and is_split(parts[0]):
        return str(parts[0])
    return next(iter(found.values())) if len(found) == 1 else ""


def meanings(names: Iterable[str]) -> dict[str, str]:
    """The split that each of the usual names means in data that has them all."""
    words = {name: name.strip().casefold() for name in names}
    tested = any(USUAL.get(word) == TEST for word in words.values())
    return {name: USUAL.get(word, VAL if tested else TEST) for name, word in words.items()}


def meanings_inside(names: Iterable[str]) -> dict[str, str]:
    """The split that each name means by a part of it, such as `train2017`; none unless they are a train split and others together."""
    words = {name: split_inside(name) for name in names}
    meant = meanings(set(words.values())) if all(words.values()) else {}
    together = len(set(meant.values())) > 1 and TRAIN in meant.values()
    return {name: meant[word] for name, word in words.items()} if together else {}


def read_as(pairs: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """A remark on names that were read as splits, from (name, split) pairs; none where all are called as xmap calls them."""
    others: dict[str, list[str]] = {split: [] for split in SPLITS}
    for name, split in dict.fromkeys(pairs):
        if name != split:
            others[split].append(name)
    said = ", ".join(f"{named(names)} as {split}" for split, names in others.items() if names)
    return (f"read {said}",) if said else ()


def with_splits(items: Sequence[Item]) -> tuple[list[Item], tuple[str, ...]]:
    """The items with the splits that are meant by theirs, which are any usual names so far, else by folders in their ids; and remarks.

    Raises `InputError` where the ids of some lie in folders of splits, and those of others do not.
    """
    if any(item.split for item in items):
        meant = meanings({item.split for item in items if item.split})
        return [replace(item, split=meant.get(item.split, "")) for item in items], read_as(sorted(meant.items()))
    return _by_folders(items)


def _by_folders(items: Sequence[Item]) -> tuple[list[Item], tuple[str, ...]]:
    """As `with_splits`, by folders such as `train/` and `test/` below what all ids have in common; one of them alone says nothing."""
    ways = [item.sample_id.split("/")[:-1] for item in items]
    # What the first and the last have in common in sorted order, all have.
    common = next((depth for depth, (one, other) in enumerate(zip(min(ways), max(ways), strict=False)) if one != other), len(min(ways)))
    words = [next(filter(is_split, way[common:]), "") for way in ways]
    meant = meanings(set(filter(None, words)))
    if len(set(meant.values())) < 2:
        words = [next(filter(split_inside, way[common:]), "") for way in ways]
        meant = meanings_inside(words) if all(words) else {}
    if not meant:
        return list(items), ()
    lost = next((item.sample_id for item, word in zip(items, words, strict=True) if not word), None)
    listed = named(sorted(meant))
    if lost:
        raise InputError(f"some paths lie in the split folders {listed} and {lost!r} in none; put every image of each class into a split.")
    divided = [replace(item, split=meant[word]) for item, word in zip(items, words, strict=True)]
    return divided, (f"read the folders {listed} in the paths as splits", *read_as(sorted(meant.items())))
