"""Splits for a data set that has none, drawn by content, and few training images where few are wanted.

What is ranked is the content of a file, not its name: a renamed or moved image stays where it was. Files of one content are one in a
draw, so that none is on two sides of a split, and so are groups, which are ranked by one of their contents. Where a content is not
known, as of a file that cannot be read, the sample id stands for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from xmap.stages.config import DataConfig
from xmap.stages.datasets.classes.shared_names import told_apart
from xmap.stages.datasets.content.repeats import NOTHING
from xmap.stages.datasets.dataset import TEST, TRAIN, Dataset, Sample, order
from xmap.stages.datasets.places.place import Place
from xmap.stages.datasets.splits.draw import Labelled, draw_splits, keep_few
from xmap.stages.datasets.splits.groups import joined
from xmap.store.errors import InputError

# The blake3 of what lies at places, of those that can be read.
Contents = Callable[[Iterable[Place]], Mapping[Place, str]]


def divide(dataset: Dataset, config: DataConfig, contents: Contents) -> Dataset:
    """The data set with a split for each sample. Raises `InputError` where the shares leave nothing to train on."""
    if all(sample.split for sample in dataset.samples):
        return dataset
    known = contents(sample.place for sample in dataset.samples)
    labelled = _labelled(dataset, dataset.samples, _together(dataset.samples, known))
    grouped = any(sample.group for sample in dataset.samples)
    splits, remarks = draw_splits(labelled, config.split_seed, config.val_share, config.test_share, grouped)
    if grouped:
        _require_tests(splits.values())
    samples = [replace(sample, split=splits[sample.sample_id]) for sample in dataset.samples]
    samples.sort(key=lambda sample: (order(sample.split), sample.sample_id))
    return _with(dataset, samples, remarks)


def keep(dataset: Dataset, config: DataConfig, known: Mapping[Place, str]) -> Dataset:
    """The data set with no more than `config.train_per_class` training images of a class, ranked by those contents that are `known`.

    Of files with splits of their own none is: all would be read to keep a few, so names are ranked.
    """
    if config.train_per_class is None:
        return dataset
    trained = dataset.split(TRAIN)
    units = [_unit(sample, known) for sample in trained]
    left_out, remarks = keep_few(_labelled(dataset, trained, units), config.split_seed, config.train_per_class)
    return _with(dataset, [sample for sample in dataset.samples if sample.sample_id not in left_out], remarks)


def _labelled(dataset: Dataset, samples: Sequence[Sample], units: Sequence[str]) -> list[Labelled]:
    # Two classes of one name are two.
    classes = told_apart(dataset.classes)
    return [(sample.sample_id, classes[sample.label], unit) for sample, unit in zip(samples, units, strict=True)]


def _together(samples: Sequence[Sample], contents: Mapping[Place, str]) -> list[str]:
    """What each sample is drawn by: the least content of all that it belongs with, for names of groups may be those of folders."""
    units, groups = [_unit(sample, contents) for sample in samples], [sample.group for sample in samples]
    if not any(groups):
        return units
    parties = joined(units, groups)
    least: dict[int, tuple[bool, str]] = {}
    for sample, unit, party in zip(samples, units, parties, strict=True):
        ranked = unit == sample.sample_id, unit
        least[party] = min(least.get(party, ranked), ranked)
    return [least[party][1] for party in parties]


def _require_tests(splits: Iterable[str]) -> None:
    if TEST not in splits:
        raise InputError(
            "each class lies in one group, or in one with others, so that no group is left to test on; give smaller groups, as with "
            "another --group-by, or splits of your own."
        )


def _unit(sample: Sample, contents: Mapping[Place, str]) -> str:
    """What is drawn: samples with one unit stay together."""
    found = contents.get(sample.place, NOTHING)
    return sample.sample_id if found == NOTHING else found


def _with(dataset: Dataset, samples: Iterable[Sample], remarks: Iterable[str]) -> Dataset:
    return replace(dataset, samples=tuple(samples), remarks=(*dataset.remarks, *remarks))
