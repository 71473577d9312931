"""Splits for a data set that has none, drawn by content, and few training images where few are wanted.

What is ranked is the content of a file, not its name: a renamed or moved image stays where it was. Files of one content are one in a
draw, so that none is on two sides of a split, and so are groups, which are ranked by one of their contents. Where a content is not
known, as of a file that cannot be read, the sample id stands for it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from xmap.stages.config import DataConfig
from xmap.stages.datasets.classes.shared_names import told_apart
from xmap.stages.datasets.content.hashing import Contents, told, with_contents
from xmap.stages.datasets.dataset import TEST, TRAIN, Dataset, Samples, order
from xmap.stages.datasets.places.columns import column
from xmap.stages.datasets.splits.draw import draw_splits, keep_few
from xmap.stages.datasets.splits.groups import joined
from xmap.stages.datasets.splits.units import Units
from xmap.store.errors import InputError


def divide(dataset: Dataset, config: DataConfig, contents: Contents) -> Dataset:
    """The data set with a split for each sample. Raises `InputError` where the shares leave nothing to train on."""
    if (dataset.samples.splits >= 0).all():
        return dataset
    known = with_contents(dataset, contents)
    samples, grouped = known.samples, known.samples.grouped()
    units, classes = _together(samples), told_apart(dataset.classes)
    splits, remarks = draw_splits(samples.labels, units, classes, config.split_seed, config.val_share, config.test_share, grouped)
    if grouped and order(TEST) not in splits:
        raise InputError(
            "each class lies in one group, or in one with others, so that no group is left to test on; give smaller groups, as with "
            "another --group-by, or splits of your own."
        )
    return replace(known, samples=replace(samples, splits=splits).ordered(), remarks=(*dataset.remarks, *remarks))


def keep(dataset: Dataset, config: DataConfig) -> Dataset:
    """The data set with no more than `config.train_per_class` training images of a class, ranked by contents where these are known.

    Of files with splits of their own none is: all would be read to keep a few, so names are ranked.
    """
    if config.train_per_class is None:
        return dataset
    rows = dataset.samples.split(TRAIN)
    # The contents of tars and tables are in their listings: nothing is read for them.
    trained = with_contents(dataset, told).samples.take(rows)
    stay = np.ones(len(dataset.samples), bool)
    units = Units.of_samples(trained)
    stay[rows], remarks = keep_few(trained.labels, units, len(dataset.classes), config.split_seed, config.train_per_class)
    return dataset.taking(np.flatnonzero(stay), *remarks)


def _together(samples: Samples) -> Units:
    """What each sample is drawn by: the least content of all that it belongs with, for names of groups may be those of folders."""
    units = Units.of_samples(samples)
    if not samples.grouped():
        return units
    words, ids, groups = list(units), samples.ids.tolist(), samples.groups.tolist()
    own = [words[number] for number in units.numbers]
    parties = joined(own, groups)
    least: dict[int, tuple[bool, str]] = {}
    for sample_id, unit, party in zip(ids, own, parties, strict=True):
        ranked = unit == sample_id, unit
        least[party] = min(least.get(party, ranked), ranked)
    return Units.of(column(least[party][1] for party in parties))
