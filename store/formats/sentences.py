"""The table of sentences: what a cache makes of each text of a class, one row a text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from xmap.store.formats.tables import Array, write_table

SENTENCES_TABLE = "sentences.parquet"
SENTENCES = pa.schema(
    [
        pa.field("label", pa.int32(), nullable=False),
        pa.field("sentence", pa.string(), nullable=False),
        pa.field("weight", pa.float64(), nullable=False),
    ]
)


def write_sentences(path: Path, labels: Array, sentences: Sequence[str], weights: Array, fingerprint: str) -> None:
    """Write sentences (S strings) of the classes `labels` (S,) with their weights (S,), which add up to 1 in each class."""
    table = pa.table({"label": pa.array(labels, pa.int32()), "sentence": list(sentences), "weight": weights}, SENTENCES)
    write_table(path, table, fingerprint)
