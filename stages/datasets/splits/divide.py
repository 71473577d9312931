"""Splits for a data set that has none, and few training images where few are wanted: draws by content.

What is ranked is the content of a file, not its name: a renamed or moved image stays where it was. Files of one content are one in a draw,
so that none is on two sides of a split. Where a content is not known, as of a file that cannot be read, the sample id stands for it.
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
    """The data set with a split for each sample, and no more than `config.train_per_class` training images of a class.

    Raises `InputError` where the shares leave nothing to train on.
    """
    found: Mapping[Place, str] = {}
    if not all(sample.split for sample in dataset.samples):
        found = contents(sample.place for sample in dataset.samples)
        splits, remarks = draw_splits(_labelled(dataset, dataset.samples, found), config.split_seed, config.val_share, config.test_share)
        samples = [replace(sample, split=splits[sample.sample_id]) for sample in dataset.samples]
        dataset = _with(dataset, samples, remarks)
    if config.train_per_class is not None:
        # Of a data set with splits of its own no content is asked for: reading all images to keep a few would take hours.
        left_out, remarks = keep_few(_labelled(dataset, dataset.split(TRAIN), found), config.split_seed, config.train_per_class)
        dataset = _with(dataset, [sample for sample in dataset.samples if sample.sample_id not in left_out], remarks)
    return dataset


def _labelled(dataset: Dataset, samples: Iterable[Sample], contents: Mapping[Place, str]) -> list[Labelled]:
    # Two classes of one name are two.
    classes = told_apart(dataset.classes)
    return [(sample.sample_id, classes[sample.label], _unit(sample, contents)) for sample in samples]


def _unit(sample: Sample, contents: Mapping[Place, str]) -> str:
    """What is drawn: samples with one unit stay together."""
    found = contents.get(sample.place, NOTHING)
    return sample.sample_id if found == NOTHING else found


def _with(dataset: Dataset, samples: Iterable[Sample], remarks: Iterable[str]) -> Dataset:
    ordered = sorted(samples, key=lambda sample: (order(sample.split), sample.sample_id))
    return replace(dataset, samples=tuple(ordered), remarks=(*dataset.remarks, *remarks))
