"""Class texts that others encoded: a `.npy` file with a row a class in label order, or a table that names the class of each row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from xmap.stages.datasets.classes.labels import label_of
from xmap.stages.datasets.classes.order import NUMBER
from xmap.stages.datasets.sources.columns import IMAGES, LABEL, Roles, roles_of
from xmap.stages.imports.asked import AskedRoles
from xmap.stages.imports.classes import MOST, Classes
from xmap.stages.imports.npy import NPY, Npy
from xmap.stages.imports.tables import TABLES, VectorTable, is_vectors
from xmap.stages.imports.vectors import at_once, fit, vectors_of
from xmap.store.disk.plain import named
from xmap.store.errors import InputError
from xmap.store.formats.tables import Array

NAMES = Roles({LABEL: (*IMAGES.names[LABEL], "name", "text", "prompt")}, ())


class GivenTexts:
    """The class texts in the file `path`. Raises `InputError` for a file that holds none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.suffix.lower() == NPY:
            array = Npy.open(path, 2, "f", "a row of floats for each class")
            self._named: Mapping[str, Array] | None = None
            rows = at_once(array.row)
            parts = [fit(part, str(path), rows * number) for number, part in enumerate(array.chunks(rows))]
            self._rows = np.concatenate(parts) if parts else np.empty((0, 0), np.float32)
        elif path.suffix.lower() in TABLES:
            self._named = _named_rows(VectorTable.open(path))
        else:
            raise InputError(f"--texts {path} is neither .npy nor a Parquet or Arrow file; save the class texts as one of these.")

    @property
    def count(self) -> int | None:
        """How many there are, where they have no names."""
        return len(self._rows) if self._named is None else None

    def of(self, classes: Classes, width: int) -> tuple[Array, tuple[str, ...]]:
        """The texts (N, `width`) of the classes, and remarks on those that no class has. Raises `InputError` where one lacks."""
        rows, remarks = self._in_order(classes) if self._named is None else _by_name(self._named, classes, self.path)
        if rows.shape[1] != width:
            turned = "; it looks turned: save its transpose" if self._named is None and len(self._rows) == width else ""
            raise InputError(
                f"{self.path} has texts of width {rows.shape[1]}, the vectors have {width}{turned}; take both from one encoder."
            )
        return rows, remarks

    def _in_order(self, classes: Classes) -> tuple[Array, tuple[str, ...]]:
        if classes.places is None:
            raise InputError(
                f"{self.path} does not say which row is of which class, and the labels are names; give --classes FILE with names in the "
                "order of its rows, one a line, or a table with a column class."
            )
        if classes.listed != len(self._rows):
            raise InputError(f"{self.path} has {len(self._rows):,} texts and there are {classes.listed:,} classes; give one row a class.")
        return self._rows[classes.places], ()


def _named_rows(table: VectorTable) -> Mapping[str, Array]:
    """The rows of a table by class. Raises `InputError` where it does not name them, or one twice."""
    place = str(table.path)
    if table.count > MOST:
        raise InputError(f"{place} has {table.count:,} rows; give one for each class.")
    vectors = AskedRoles({}, table.path.parent).vectors(table.schema, place)
    scalars = [field.name for field in table.schema if not is_vectors(field.type)]
    found = roles_of(scalars, NAMES).get(LABEL)
    if not found and len(scalars) != 1:
        raise InputError(f"{place} has no column 'class' but {named(table.schema.names)}; rename the one that names the classes.")
    column = scalars[found[0] if found else 0]
    said = [label_of(value) for value in table.column(column).to_pylist()]
    odd = next((row for row, (_, why) in enumerate(said) if why), None)
    if odd is not None:
        raise InputError(f"{place} row {odd} has no usable class{said[odd][1]}; name one.")
    keys = [str(int(float(text))) if NUMBER.fullmatch(text) and float(text).is_integer() else text for text, _ in said]
    twice = [key for key, count in Counter(keys).items() if count > 1]
    if twice:
        raise InputError(f"{place} has several rows of {named(twice)}; give each class one, as the mean of its prompts.")
    parts = [vectors_of(part[vectors], place, first) for first, part in table.batches([vectors], at_once(table.row(vectors)))]
    return dict(zip(keys, (row for part in parts for row in part), strict=True))


def _by_name(texts: Mapping[str, Array], classes: Classes, path: Path) -> tuple[Array, tuple[str, ...]]:
    """By what a class is called, else by what its labels say."""
    by_name = all(name in texts for name in classes.names)
    wanted = classes.names if by_name or not all(key in texts for key in classes.keys) else classes.keys
    absent = [name for name in wanted if name not in texts]
    if absent:
        raise InputError(
            f"{path} lacks {len(absent):,} of {len(wanted):,} classes: {named(absent)}; it has {named(list(texts))}; "
            "spell them alike, or say what the labels are called with --classes."
        )
    rows = [texts[name] for name in wanted]
    if len({len(row) for row in rows}) > 1:
        raise InputError(f"{path} has texts of several widths; take all from one encoder.")
    others = [name for name in texts if name not in set(wanted)]
    return np.stack(rows), (f"{len(others)} class texts of no class with images were left out: {named(others)}",) * bool(others)
