"""Splits for a data set that has none, drawn by content, and few training images where few are wanted.

What is ranked is the content of a file, not its name: a renamed or moved image stays where it was. Files of one content are one in a
draw, so that none is on two sides of a split. Where a content is not known, as of a file that cannot be read, the sample id stands for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from xmap.stages.config import DataConfig
from xmap.stages.datasets.classes.shared_names import told_apart
from xmap.stages.datasets.content.repeats import NOTHING
from xmap.stages.datasets.dataset import TRAIN, Dataset, Sample, order
from xmap.stages.datasets.places.place import Place
from xmap.stages.datasets.splits.draw import Labelled, draw_splits, keep_few

# The blake3 of what lies at places, of those that can be read.
Contents = Callable[[Iterable[Place]], Mapping[Place, str]]


def divide(dataset: Dataset, config: DataConfig, contents: Contents) -> Dataset:
    """The data set with a split for each sample. Raises `InputError` where the shares leave nothing to train on."""
    if all(sample.split for sample in dataset.samples):
        return dataset
    known = contents(sample.place for sample in dataset.samples)
    splits, remarks = draw_splits(_labelled(dataset, dataset.samples, known), config.split_seed, config.val_share, config.test_share)
    samples = [replace(sample, split=splits[sample.sample_id]) for sample in dataset.samples]
    samples.sort(key=lambda sample: (order(sample.split), sample.sample_id))
    return _with(dataset, samples, remarks)


def keep(dataset: Dataset, config: DataConfig, known: Mapping[Place, str]) -> Dataset:
    """The data set with no more than `config.train_per_class` training images of a class, ranked by those contents that are `known`.

    Of a data set with splits of its own none is: all images would be read to keep a few, so names are ranked.
    """
    if config.train_per_class is None:
        return dataset
    left_out, remarks = keep_few(_labelled(dataset, dataset.split(TRAIN), known), config.split_seed, config.train_per_class)
    return _with(dataset, [sample for sample in dataset.samples if sample.sample_id not in left_out], remarks)


def _labelled(dataset: Dataset, samples: Iterable[Sample], contents: Mapping[Place, str]) -> list[Labelled]:
    # Two classes of one name are two.
    classes = told_apart(dataset.classes)
    return [(sample.sample_id, classes[sample.label], _unit(sample, contents)) for sample in samples]


def _unit(sample: Sample, contents: Mapping[Place, str]) -> str:
    """What is drawn: samples with one unit stay together."""
    found = contents.get(sample.place, NOTHING)
    return sample.sample_id if found == NOTHING else found


def _with(dataset: Dataset, samples: Iterable[Sample], remarks: Iterable[str]) -> Dataset:
    return replace(dataset, samples=tuple(samples), remarks=(*dataset.remarks, *remarks))
