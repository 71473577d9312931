"""The table of pairs: one row an image and another that is the same, byte for byte or nearly."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from xmap.store.formats.tables import write_table

PAIRS_TABLE = "pairs.parquet"
PAIRS = pa.schema(
    [
        pa.field("split", pa.string(), nullable=False),
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("label", pa.int32(), nullable=False),
        pa.field("other_split", pa.string(), nullable=False),
        pa.field("other_id", pa.string(), nullable=False),
        pa.field("other_label", pa.int32(), nullable=False),
        pa.field("cosine", pa.float32(), nullable=False),
        pa.field("exact", pa.bool_(), nullable=False),
    ]
)


def write_pairs(path: Path, table: pa.Table, fingerprint: str) -> None:
    """Write rows of `PAIRS`, sorted so that equal pairs give equal bytes."""
    order = ("split", "sample_id", "other_split", "other_id")
    write_table(path, table.sort_by([(name, "ascending") for name in order]), fingerprint)
