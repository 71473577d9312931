"""Feature tables: one row a view of an image, one row a prompt of a class.

Features are stored raw, as the encoder gave them: normalisation is the reader's, and `float16` is kept where the source had
no more (imported features). Rows keep the order in which they were planned: by sample id, then view.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pyarrow as pa

from xmap.store.errors import ArtifactDamaged, InputError
from xmap.store.formats.arrays import numbers, side_by_side, vectors_column
from xmap.store.formats.feature_rows import column_keys
from xmap.store.formats.packs import Packs
from xmap.store.formats.samples import CONTENT, GROUP, SAMPLES, Makers, columns_of, makers_of
from xmap.store.formats.tables import REMEDY, Array, read_table, read_vectors, write_table

# Rows that are gathered at a time.
PART = 1 << 17
# The columns beside the vectors.
PROMPTS = pa.schema([("class_id", pa.int32()), ("class_name", pa.string()), ("template", pa.string())])


@dataclass(frozen=True)
class ImageFeatures:
    """Rows of an image feature table.

    `sample_ids` (R strings), `labels` (R,) int32, `views` (R,) int16, `features` (R, C) float32 or float16, not normalised; of those in
    packs `contents` (R), the blake3 of the images' bytes in hex, and `groups` (R) too, which are empty where no table tells them.
    """

    sample_ids: tuple[str, ...]
    labels: Array
    views: Array
    features: Array
    contents: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.sample_ids)

    def take(self, rows: Array) -> ImageFeatures:
        """The given rows, in the given order."""
        ids, contents, groups = (
            tuple(listed[row] for row in rows.tolist()) if listed else () for listed in (self.sample_ids, self.contents, self.groups)
        )
        return ImageFeatures(ids, self.labels[rows], self.views[rows], self.features[rows], contents, groups)

    def by_content(self) -> ImageFeatures:
        """The rows in an order that knows no names: by content, then label and view; as they are where no content is known."""
        if not self.contents:
            return self
        keys = list(zip(self.contents, self.labels.tolist(), self.views.tolist(), strict=True))
        return self.take(np.asarray(sorted(range(len(self)), key=keys.__getitem__), np.int64))


@dataclass(frozen=True)
class TextFeatures:
    """Rows of a text feature table, one a class and template.

    `class_ids` (R,) int32, `class_names` and `templates` (R strings), `features` (R, C), not normalised.
    """

    class_ids: Array
    class_names: tuple[str, ...]
    templates: tuple[str, ...]
    features: Array

    @property
    def prompts(self) -> tuple[str, ...]:
        """What the encoder read in each row: its template filled with the name of its class; a sentence stands as it is."""
        return tuple(template.replace("{}", name) for name, template in zip(self.class_names, self.templates, strict=True))


def write_images(path: Path, rows: ImageFeatures, split: str, fingerprint: str) -> None:
    """Write image features of one split as one Parquet file."""
    table = pa.table(
        {
            "sample_id": pa.array(rows.sample_ids, pa.string()),
            "split": pa.array([split] * len(rows), pa.string()),
            "label": pa.array(rows.labels, pa.int32()),
            "view": pa.array(rows.views, pa.int16()),
            "feature": vectors_column(rows.features),
        }
    )
    write_table(path, table, fingerprint)


def read_images(paths: Sequence[Path]) -> ImageFeatures:
    """Read image features from the files of one split, in file order, wherever the features lie. Raises `ArtifactDamaged`."""
    if paths and makers_of(paths[0]):
        return _gathered([(path, None) for path in paths])
    table, vectors = read_vectors(paths, SAMPLES)
    return _images(table, vectors)


def read_parts(chosen: Iterable[tuple[Path, Array]]) -> Iterator[ImageFeatures]:
    """Chosen rows of tables, in order, some tables at a time: what lies in packs is then read a few times and not once a table.

    Raises `ArtifactDamaged`.
    """
    group: list[tuple[Path, Array | None]] = []
    count = 0
    for path, rows in chosen:
        if not makers_of(path):
            yield read_images([path]).take(rows)
            continue
        if group and count + len(rows) > PART:
            yield _gathered(group)
            group, count = [], 0
        group.append((path, rows))
        count += len(rows)
    if group:
        yield _gathered(group)


def _gathered(chosen: Sequence[tuple[Path, Array | None]]) -> ImageFeatures:
    """Rows of tables of one artifact (None: all) with their features; each pack is read once."""
    makers, types = makers_of(chosen[0][0]), columns_of(chosen[0][0])
    tables = []
    for path, rows in chosen:
        if not makers or makers_of(path) != makers:
            raise ArtifactDamaged(path, "its features lie elsewhere than those of its neighbours", REMEDY)
        table = read_table(path, types=types)
        tables.append(table if rows is None else table.take(rows))
    table = pa.concat_tables(tables).combine_chunks()
    parts = [_by_maker(chosen[0][0], pair, table) for pair in makers]
    return _images(table, parts[0] if len(parts) == 1 else side_by_side(parts))


def _by_maker(path: Path, makers: Makers, table: pa.Table) -> Array:
    """The raw features (R, C) of the rows of a table at `path`, by one encoder."""
    keys, views = column_keys(table["content"], table["view"]), table["view"].to_numpy()
    vectors = np.empty((0, 0), np.float32)
    for name, wanted in zip(makers, (np.flatnonzero(views == 0), np.flatnonzero(views != 0)), strict=True):
        if len(wanted):
            # <root>/images/<folder>/<table>
            found = Packs(path.parents[2], name).gather(keys[wanted])
            if not vectors.size:
                vectors = np.empty((len(table), found.shape[1]), found.dtype)
            if (found.shape[1], found.dtype) != (vectors.shape[1], vectors.dtype):
                raise ArtifactDamaged(path, "its plain views and its augmented ones differ in width or type", REMEDY)
            vectors[wanted] = found
    return vectors


def _images(table: pa.Table, vectors: Array) -> ImageFeatures:
    told = {name: table[name].to_pylist() if name in table.column_names else [] for name in (CONTENT.name, GROUP.name)}
    return ImageFeatures(
        tuple(table["sample_id"].to_pylist()),
        table["label"].to_numpy().astype(np.int32),
        table["view"].to_numpy().astype(np.int16),
        vectors,
        tuple(content.hex() for content in told[CONTENT.name]),
        tuple(told[GROUP.name]),
    )


def write_texts(path: Path, rows: TextFeatures, fingerprint: str) -> None:
    """Write text features as one Parquet file."""
    table = pa.table(
        {
            "class_id": pa.array(rows.class_ids, pa.int32()),
            "class_name": pa.array(rows.class_names, pa.string()),
            "template": pa.array(rows.templates, pa.string()),
            "feature": vectors_column(rows.features),
        }
    )
    write_table(path, table, fingerprint)


def read_texts(path: Path) -> TextFeatures:
    """Read text features."""
    table, vectors = read_vectors(path, PROMPTS)
    return TextFeatures(
        numbers(table["class_id"]).astype(np.int32),
        tuple(table["class_name"].to_pylist()),
        tuple(table["template"].to_pylist()),
        vectors,
    )


@dataclass(frozen=True)
class ErrorRow:
    """An image that could not be used: its sample, its path relative to the data as it is on disk, and why."""

    sample_id: str
    split: str
    path: str
    kind: str
    message: str


ERRORS = pa.schema([(field.name, pa.string()) for field in fields(ErrorRow)])


def write_errors(path: Path, rows: Sequence[ErrorRow], fingerprint: str) -> None:
    """Write the list of bad images, empty or not, as one Parquet file."""
    write_table(path, pa.table({name: [getattr(row, name) for row in rows] for name in ERRORS.names}, ERRORS), fingerprint)


def read_errors(path: Path) -> list[ErrorRow]:
    """Read the list of bad images."""
    return [ErrorRow(**row) for row in read_table(path, types=ERRORS).to_pylist()]


def join(parts: Sequence[ImageFeatures]) -> ImageFeatures:
    """The rows of several tables, one after the other."""
    # A table without rows does not know how wide its features would be.
    parts = [part for part in parts if len(part)] or list(parts[:1])
    if len(parts) == 1:
        return parts[0]
    if len({(part.features.shape[1], part.features.dtype) for part in parts}) > 1:
        raise InputError("tables of one split hold features that differ in width or type; extract the images again.")
    ids, contents, groups = (
        tuple(value for part in parts for value in getattr(part, name)) for name in ("sample_ids", "contents", "groups")
    )
    labels, views, features = (np.concatenate([getattr(part, name) for part in parts]) for name in ("labels", "views", "features"))
    return ImageFeatures(ids, labels, views, features, contents, groups)
