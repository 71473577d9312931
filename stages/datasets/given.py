"""Pools as people name them: one place as `--data` names it, or many paths; and what a table says of the images beside.

An image is called by its id, which is the same wherever the data lies; where many paths were given, by the path that leads to it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from xmap.stages.datasets.dataset import Dataset, Sample, Samples
from xmap.stages.datasets.open import is_folder_of_images, open_pool
from xmap.stages.datasets.places.pictures import PICTURE_SUFFIXES
from xmap.stages.datasets.places.place import Cell, Place, is_url, location
from xmap.stages.datasets.sources.containers import is_pattern
from xmap.stages.datasets.sources.other_columns import CellColumns, OtherColumns, TableColumns
from xmap.stages.datasets.sources.table import TableSource
from xmap.stages.datasets.sources.table_files import TABLES
from xmap.stages.datasets.sources.webdataset import PACKED, TAR
from xmap.stages.plugins import source_named
from xmap.store.memory.notes import Notes

# How files end that hold images, or say where they are.
HOLDERS = (*TABLES, TAR, *PACKED)


@dataclass(frozen=True, eq=False)
class Pool:
    """Images without labels, each called by its id, in the order in which they were given; `columns` where a table came with some."""

    dataset: Dataset
    columns: OtherColumns | None = None


def pool_at(data: str, notes: Notes, root: str = "", flag: str = "") -> Pool:
    """The images at `data`, those of a table of paths one a row and in its order. Raises `InputError`, as `open_pool`."""
    found = open_pool(data, notes, root, flag)
    if isinstance(found.samples.places[0], Cell):
        return Pool(found, CellColumns(found.samples.places))
    table = location(data)
    if not data.lower().endswith(TABLES) or is_pattern(table):
        return Pool(found)
    dataset, paths = TableSource().read_rows(table, found.name)
    return Pool(dataset, TableColumns(table, paths))


def pool_of(paths: Sequence[str], notes: Notes) -> Pool:
    """The images that paths lead to, in their order. Raises `InputError`."""
    if len(paths) == 1 and not _is_image(paths[0]):
        found = pool_at(paths[0], notes)
        return Pool(_called(paths[0], found.dataset.samples, found.dataset.remarks), found.columns)
    parts = [None if _is_image(path) else open_pool(path, notes) for path in paths]
    places = (place for path, part in zip(paths, parts, strict=True) for place in _places(path, part))
    samples = Samples.of(Sample("", place, 0, "") for place in places)
    return Pool(_called("paths", samples, tuple(remark for part in parts if part for remark in part.remarks)))


def is_of_files(path: str) -> bool:
    """Whether a path names images that are files here, if anything: an image or a folder of images."""
    if os.path.isdir(path):
        return is_folder_of_images(path)
    if os.path.lexists(path):
        return not path.lower().endswith(HOLDERS)
    return not (is_url(path) or path.lower().endswith(HOLDERS) or source_named(path)[0])


def _is_image(path: str) -> bool:
    """Whether a path names one image, here or at a URL."""
    if is_url(path):
        return location(path).suffix.lower() in PICTURE_SUFFIXES
    return not os.path.isdir(path) and is_of_files(path)


def _places(path: str, part: Dataset | None) -> Iterator[Place]:
    if part is None:
        yield location(path)
    else:
        yield from (part.samples.places[row] for row in range(len(part.samples)))


def _called(name: str, samples: Samples, remarks: tuple[str, ...]) -> Dataset:
    """The images, each called by the path that leads to it."""
    called = (Sample(str(sample.place).encode("utf-8", "backslashreplace").decode(), sample.place, 0, "") for sample in samples)
    return Dataset(name, Samples.of(called), (), (), remarks)
