"""Tables of samples: which images a data set has, in which split and class, and by what their features are found.

One row a view of a sample. Rows keep the order in which they were planned, by sample id, then view; readers order them by content.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from xmap.store.artifacts.artifact import Artifact
from xmap.store.errors import ArtifactDamaged
from xmap.store.formats.feature_rows import column_keys
from xmap.store.formats.packs import MAKER, Packs
from xmap.store.formats.tables import REMEDY, Array, read_footer, read_schema, read_table, write_table
from xmap.store.memory.hashes import DIGEST

# The makers of plain views and of augmented ones, in the footer of a table whose features lie in packs: of each encoder one, on lines.
PLAIN, AUGMENTED = "xmap.plain", "xmap.augmented"
# The makers of the plain and the augmented views by one encoder.
Makers = tuple[str, str]
BAD_TABLE = "errors.parquet"
# The columns beside the vectors.
SAMPLES = pa.schema([("sample_id", pa.string()), ("label", pa.int32()), ("view", pa.int16())])
CONTENT = pa.field("content", pa.binary(32))
REFERRING = pa.schema([*SAMPLES, CONTENT])
# Tables of samples have these too, but for those of before there were groups; empty where a sample stands alone.
GROUP, SOURCE = (pa.field(name, pa.string()) for name in ("group", "source"))


@dataclass(frozen=True)
class Samples:
    """Rows of a table of samples whose features are in packs.

    `sample_ids` (R strings), `labels` (R,) int32, `views` (R,) int16, `contents` the blake3 of the images' bytes in hex, `groups` empty for
    what stands alone, `sources` the files that hold the bytes.
    """

    sample_ids: Sequence[str]
    labels: Array
    views: Array
    contents: Sequence[str]
    groups: Sequence[str]
    sources: Sequence[str]


def write_samples(path: Path, rows: Samples, split: str, fingerprint: str, *makers: Makers) -> None:
    """Write samples of one split whose features are in packs of `makers`, one pair an encoder, as one Parquet file."""
    table = pa.table(
        {
            "sample_id": pa.array(rows.sample_ids, pa.string()),
            "split": pa.array([split] * len(rows.sample_ids), pa.string()),
            "label": pa.array(rows.labels, pa.int32()),
            "view": pa.array(rows.views, pa.int16()),
            "content": pa.array([bytes.fromhex(content) for content in rows.contents], CONTENT.type),
            "group": pa.array(rows.groups, GROUP.type),
            "source": pa.array(rows.sources, SOURCE.type),
        }
    )
    write_table(
        path,
        table,
        fingerprint,
        {name: "\n".join(listed) for name, listed in zip((PLAIN, AUGMENTED), zip(*makers, strict=True), strict=True)},
    )


def makers_of(path: Path) -> tuple[Makers, ...]:
    """The makers of the rows of a table of samples, one pair an encoder; none where the table holds features itself.

    Raises `ArtifactDamaged`.
    """
    footer = read_footer(path)
    plain, augmented = (footer.get(name, "").split("\n") for name in (PLAIN, AUGMENTED))
    if plain == augmented == [""]:
        return ()
    if len(plain) != len(augmented) or not all(map(MAKER.fullmatch, (*plain, *augmented))):
        raise ArtifactDamaged(path, "its footer names no makers of features", REMEDY)
    return tuple(zip(plain, augmented, strict=True))


def columns_of(path: Path) -> pa.Schema:
    """The columns of a table of samples that say what a row is, beside its features. Raises `ArtifactDamaged`."""
    if not makers_of(path):
        return SAMPLES
    return pa.schema([*REFERRING, GROUP]) if GROUP.name in read_schema(path).names else REFERRING


def content_order(tables: Sequence[pa.Table]) -> Array:
    """The order (R,) of rows of one view by content, then label, so that names have no say; as they are where no content is known."""
    table = pa.concat_tables(tables)
    if CONTENT.name not in table.column_names:
        return np.arange(len(table))
    return np.lexsort((table["label"].to_numpy(), column_keys(table["content"], table["view"])))


def tables_of(images: Artifact, wanted: Callable[[str], bool]) -> list[Path]:
    """The tables of image features whose names are `wanted`; a worker elsewhere has no others. Raises `ArtifactDamaged`."""
    return images.files(suffix=".parquet", wanted=lambda name: name != BAD_TABLE and wanted(name))


def referred_rows(images: Artifact, wanted: Callable[[str], bool] = lambda name: True) -> Iterator[tuple[Packs, Array]]:
    """The rows that image features refer to in those of their tables whose names are `wanted`, a maker and a table at a time.

    Raises `ArtifactDamaged`.
    """
    for path in tables_of(images, wanted):
        yield from ((Packs(images.root, maker), keys) for maker, keys in references(path))


def contents_of(images: Artifact, wanted: Callable[[str], bool] = lambda name: True) -> Array:
    """The contents (n,) of the samples in those tables of image features whose names are `wanted`, 32 bytes each, a few of them more than
    once; of imported ones, which know none, none. Raises `ArtifactDamaged`.
    """
    tables = [path for path in tables_of(images, wanted) if makers_of(path)]
    found = (read_table(path, types=REFERRING)[CONTENT.name].unique().to_pylist() for path in tables)
    return np.concatenate([np.empty(0, DIGEST), *(np.asarray(contents, DIGEST) for contents in found)])


def shared_bytes(images: Artifact) -> int | None:
    """The size of all rows of the makers that image features name; None where they name none."""
    names = images.summary.get("features")
    makers = [Packs(images.root, name) for name in names if MAKER.fullmatch(str(name))] if isinstance(names, list) else []
    size = 0
    for path in (path for packs in makers for path in packs.files()):
        with suppress(FileNotFoundError):
            size += path.lstat().st_size
    return size if makers else None


def references(path: Path) -> Iterator[tuple[str, Array]]:
    """The rows that a table of samples refers to: a maker and what they are found by (`Packs.has`), for each maker.

    Raises `ArtifactDamaged`.
    """
    makers = makers_of(path)
    if makers:
        table = read_table(path, types=REFERRING)
        plain = table["view"].to_numpy() == 0
        keys = column_keys(table["content"], table["view"])
        yield from ((maker, keys[rows]) for pair in makers for maker, rows in zip(pair, (plain, ~plain), strict=True) if rows.any())
