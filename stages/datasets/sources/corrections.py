"""Corrected labels, which lie over the data's own: a table of images and their right classes. No file is moved and nothing encoded again.

An image is named by its sample id, its path or the blake3 of its bytes; every image of that name is meant.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xmap.stages.datasets.classes.labels import label_of
from xmap.stages.datasets.dataset import Dataset, Sample
from xmap.stages.datasets.places.place import location, shown
from xmap.stages.datasets.sources.columns import LABEL, PATH
from xmap.stages.datasets.sources.table_files import TABLES, read_table
from xmap.stages.datasets.splits.divide import Contents
from xmap.store.disk.plain import named
from xmap.store.errors import InputError

# In place of a class: the image is no part of the data set.
LEAVE_OUT = "leave-out"
SEVERAL = -1
FORM = f"give a table ({', '.join(TABLES)}) with the columns sample_id (or path, or the blake3 of a file there) and label"


def corrected(dataset: Dataset, labels: str, contents: Contents) -> Dataset:
    """The data set with the labels of the table `labels` in place of its own, and without the images that it leaves out.

    Raises `InputError` for a file that is no such table, for an image or a class that the data has not, and where an image has two labels.
    """
    name = shown(labels)
    wanted = _read(dataset, labels, contents)
    samples, changed, left_out = [], 0, 0
    for sample in dataset.samples:
        label = wanted.get(sample.sample_id, sample.label)
        if label is None:
            left_out += 1
            continue
        changed += label != sample.label
        samples.append(replace(sample, label=label))
    if len({sample.label for sample in samples}) < 2:
        raise InputError(f"--labels {name} leaves images of one class or none, and with one class every answer is right; correct it.")
    remark = f"{name} corrects the labels of {changed:,} images and leaves out {left_out:,}"
    return replace(dataset, samples=tuple(samples), remarks=(*dataset.remarks, remark))


def _read(dataset: Dataset, labels: str, contents: Contents) -> dict[str, int | None]:
    """The label of each sample that the table names; None for those that are left out."""
    path, name = location(labels), shown(labels)
    if path.suffix.lower() not in TABLES or (isinstance(path, Path) and not path.is_file()):
        raise InputError(f"--labels {name} is no table that is there; {FORM}.")
    finder, classes = _Finder.of(dataset, contents), _classes(dataset)
    wanted: dict[str, tuple[int, int | None]] = {}
    for number, row in read_table(path).rows:
        label = _label(f"{name} row {number}", row[LABEL], classes)
        for sample in finder.find(f"{name} row {number}", row[PATH]):
            first, known = wanted.setdefault(sample.sample_id, (number, label))
            if known != label:
                raise InputError(f"{name} row {number} gives {sample.sample_id!r} another label than row {first}; keep one of them.")
    return {sample_id: label for sample_id, (_, label) in wanted.items()}


def _classes(dataset: Dataset) -> Mapping[str, int | None]:
    if LEAVE_OUT in dataset.classes:
        raise InputError(f"a class is called {LEAVE_OUT!r}, which in --labels means that an image is left out; rename it with --classes.")
    count = Counter(dataset.classes)
    names = {name: label for label, name in enumerate(dataset.classes) if count[name] == 1}
    # Where classes are called by numbers, a number is a name.
    numbers = {} if any(name.isdecimal() for name in names) else {str(label): label for label in range(len(dataset.classes))}
    return {**numbers, **names, **dict.fromkeys((name for name, times in count.items() if times > 1), SEVERAL), LEAVE_OUT: None}


def _label(row: str, value: Any, classes: Mapping[str, int | None]) -> int | None:
    text, why = label_of(value)
    if why or text not in classes:
        names = named([name for name in classes if name != LEAVE_OUT and not name.isdecimal()] or list(classes))
        raise InputError(f"{row} has label {value!r:.80}, which is no class of the data{why}; write one of {names}, or {LEAVE_OUT}.")
    if classes[text] == SEVERAL:
        raise InputError(f"{row} has label {text!r}, which several classes are called; give the number of the one that is meant.")
    return classes[text]


@dataclass(frozen=True)
class _Finder:
    """Samples by what a table may call them: an id or a path at once, a content once one is asked for."""

    samples: tuple[Sample, ...]
    names: Mapping[str, Sample]
    contents: Contents
    by_content: dict[str, list[Sample]]

    @classmethod
    def of(cls, dataset: Dataset, contents: Contents) -> _Finder:
        paths = {str(sample.place): sample for sample in dataset.samples}
        return cls(dataset.samples, {**paths, **{sample.sample_id: sample for sample in dataset.samples}}, contents, defaultdict(list))

    def find(self, row: str, value: Any) -> list[Sample]:
        """The samples that a cell names. Raises `InputError` for none."""
        name = str(value).strip()
        # A file's name may begin or end with a space.
        found = self.names.get(str(value)) or self.names.get(name)
        if found is not None:
            return [found]
        if len(name) == 64 and not self.by_content:
            hashes = self.contents(sample.place for sample in self.samples)
            for sample in self.samples:
                if sample.place in hashes:
                    self.by_content[hashes[sample.place]].append(sample)
        if not self.by_content.get(name):
            raise InputError(f"{row} names {value!r:.200}, which is no image of the data; give its sample id, as `xmap sql` shows it.")
        return self.by_content[name]
