"""The last step of every reader: from the items it found to a `Dataset`, with labels, display names and splits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from stages.config import DataConfig
from stages.datasets.dataset import SPLITS, TRAIN, Dataset, Sample
from stages.datasets.files import text_of
from stages.datasets.pictures import unread
from stages.datasets.places import Location, Place, location
from stages.datasets.splits import draw_splits, keep_few, named
from store.errors import InputError


@dataclass(frozen=True)
class Item:
    """One image as a reader found it: `key` is its class before display names, `split` is empty where the data has none."""

    sample_id: str
    place: Place
    key: str
    split: str
    extra: Mapping[str, str] = field(default_factory=dict)


def assemble(name: str, items: Sequence[Item], keys: Sequence[str], config: DataConfig, remarks: Sequence[str]) -> Dataset:
    """The dataset of `items`, whose classes are `keys` in label order unless the names file orders them otherwise.

    Either all items have a split or none has. Raises `InputError` for a names file that does not fit the classes, and for a class
    of pictures alone that are not read.
    """
    _require_readable(items)
    keys, names = _names(location(config.classes), keys) if config.classes else (keys, keys)
    labels = {key: label for label, key in enumerate(keys)}
    splits = {item.sample_id: item.split for item in items}
    drawn: tuple[str, ...] = ()
    if not all(splits.values()):
        pairs = [(item.sample_id, item.key) for item in items]
        found, drawn = draw_splits(pairs, config.split_seed, config.val_share, config.test_share)
        splits = dict(found)
    if config.train_per_class is not None:
        train = [(item.sample_id, item.key) for item in items if splits[item.sample_id] == TRAIN]
        left_out, kept = keep_few(train, config.split_seed, config.train_per_class)
        items, drawn = [item for item in items if item.sample_id not in left_out], (*drawn, *kept)
    samples = [Sample(item.sample_id, item.place, labels[item.key], splits[item.sample_id], item.extra) for item in items]
    samples.sort(key=lambda sample: (SPLITS.index(sample.split), sample.sample_id))
    return Dataset(name, tuple(samples), tuple(names), config.templates, (*remarks, *drawn))


def _require_readable(items: Iterable[Item]) -> None:
    found: dict[str, list[Item]] = {}
    for item in items:
        found.setdefault(item.key, []).append(item)
    for key, inside in found.items():
        if all(unread(item.sample_id) for item in inside):
            first = inside[0].sample_id
            raise InputError(
                f"class {key!r} has {len(inside):,} pictures and none that is read: {first!r}: {unread(first)}, or remove the class."
            )


def _names(path: Location, keys: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Class keys in label order and their display names, from a file of names or of `key<TAB>name` lines."""
    try:
        text = text_of(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(f"cannot read the class names in {path}: {reason}; give --classes a UTF-8 text file.") from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if any("\t" in line for line in lines):
        ordered, names = _pairs(path, lines)
        _same(path, ordered, keys)
    else:
        ordered, names = list(keys), lines
        if len(names) != len(keys):
            raise InputError(f"{path} names {len(names)} classes, the data has {len(keys)}; give one name a line, in class order.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{path} gives several classes one name: {named(twice)}; make them different.")
    return ordered, names


def _pairs(path: Location, lines: Sequence[str]) -> tuple[list[str], list[str]]:
    pairs = [tuple(part.strip() for part in line.split("\t", 1)) for line in lines]
    for number, pair in enumerate(pairs, 1):
        if len(pair) != 2 or not all(pair):
            raise InputError(f"{path} mixes lines with and without a tab (name {number} has none); write `class<TAB>name` on every line.")
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _same(path: Location, ordered: Sequence[str], keys: Sequence[str]) -> None:
    missing, unknown = sorted(set(keys) - set(ordered)), sorted(set(ordered) - set(keys))
    problems = [f"lacks {named(missing)}"] * bool(missing) + [f"names {named(unknown)}, which the data has not"] * bool(unknown)
    if not problems and len(ordered) != len(set(ordered)):
        problems = ["names a class twice"]
    if problems:
        raise InputError(f"{path} {' and '.join(problems)}; give each class of the data one line.")
