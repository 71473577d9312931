"""The samples of an adapter that chose nothing of it: how badly each fits its own class, and how strange it is. Promises stand on them.

One table beside the tensors, one row a sample. It holds numbers, not thresholds: any coverage may be asked for later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from xmap.stages.fewshot.draw import KEPT_WORDS, NOTHING_KEPT
from xmap.store.artifacts.artifact import Artifact
from xmap.store.artifacts.fingerprint import Json
from xmap.store.errors import ArtifactDamaged
from xmap.store.formats.arrays import numbers
from xmap.store.formats.tables import Array, read_table, write_table

if TYPE_CHECKING:
    from torch import Tensor

KEPT = "kept.parquet"
# Where no sample could be kept apart, and those of the support were scored by what the others had trained.
OUT_OF_SAMPLE = "support out of sample"
SOURCES = (*KEPT_WORDS.values(), OUT_OF_SAMPLE, NOTHING_KEPT)
ROWS = pa.schema(
    [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("label", pa.int32(), nullable=False),
        pa.field("predicted", pa.int32(), nullable=False),
        pa.field("nonconformity", pa.float64(), nullable=False),
        pa.field("strangeness", pa.float64(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Kept:
    """Kept samples: ids (n), `labels` and `predicted` (n,) int32, `nonconformity` of the true class and `strangeness` (n,) float64;
    `source` in words.
    """

    source: str
    sample_ids: tuple[str, ...]
    labels: Array
    predicted: Array
    nonconformity: Array
    strangeness: Array

    @classmethod
    def of(cls, source: str, sample_ids: Sequence[str], labels: Tensor, logits: Tensor, strangeness: Tensor) -> Kept:
        """What samples with labels (n,), raw logits (n, N) and strangeness (n,) are kept as."""
        own = nonconformity(logits).gather(1, labels[:, None])[:, 0]
        found = (labels.cpu().numpy().astype(np.int32), logits.argmax(1).cpu().numpy().astype(np.int32))
        return cls(source, tuple(sample_ids), *found, own.cpu().numpy(), strangeness.cpu().numpy())

    @classmethod
    def none(cls, source: str) -> Kept:
        """No samples; `source` says why."""
        return cls(source, (), np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.float64), np.empty(0, np.float64))

    def __len__(self) -> int:
        return len(self.sample_ids)

    def __str__(self) -> str:
        return f"{len(self):,} sample{'s' * (len(self) != 1)}, {self.source}" if len(self) else self.source

    @property
    def facts(self) -> dict[str, Json]:
        """What the manifest says of them."""
        return {"samples": len(self), "source": self.source}


def nonconformity(logits: Tensor) -> Tensor:
    """How badly each class fits (B, N) float64, by raw logits (B, N): `logsumexp(z) - z_y`, which is `-log p` of the class untempered.

    It rises as the probability falls, but does not saturate where that is nearly 1.
    """
    exact = logits.double()
    return exact.logsumexp(1, keepdim=True) - exact


def misfits(logits: Array) -> Array:
    """The nonconformity (B, N) float64 of raw logits (B, N), as `nonconformity` has it, without torch."""
    exact = logits.astype(np.float64)
    most = exact.max(axis=1, keepdims=True)
    found: Array = np.log(np.exp(exact - most).sum(axis=1, keepdims=True)) + most - exact
    return found


def write_kept(folder: Path, kept: Kept, fingerprint: str) -> None:
    """Write the table into the folder of an adapter."""
    columns = (list(kept.sample_ids), kept.labels, kept.predicted, kept.nonconformity, kept.strangeness)
    write_table(folder / KEPT, pa.table(list(columns), schema=ROWS), fingerprint)


def read_kept(artifact: Artifact, classes: int) -> Kept | None:
    """The kept samples of an adapter of so many classes; None for one that was trained before samples were kept apart.

    Raises `ArtifactDamaged` for a table that training does not write.
    """
    facts = artifact.summary.get("kept")
    if facts is None:
        return None
    path = artifact.file(KEPT)
    table = read_table(path, types=ROWS)
    columns = {name: numbers(table[name]) for name in ROWS.names[1:]}
    ids = table["sample_id"].to_pylist()
    told = None if len(ids) == facts["samples"] and facts["source"] in SOURCES else "its manifest tells of others"
    problem = _oddity(ids, columns, classes) or told
    if problem:
        raise ArtifactDamaged(path, problem, artifact.remedy)
    return Kept(facts["source"], tuple(ids), columns["label"], columns["predicted"], columns["nonconformity"], columns["strangeness"])


def _oddity(ids: Sequence[str], columns: dict[str, Array], classes: int) -> str | None:
    """What of the rows training would not have written, in words."""
    for name in ("label", "predicted"):
        if ((columns[name] < 0) | (columns[name] >= classes)).any():
            return f"its column {name} names classes beyond {classes:,}"
    if not (np.isfinite(columns["nonconformity"]) & (columns["nonconformity"] >= 0)).all():
        return "its column nonconformity holds what is no distance"
    if not ((columns["strangeness"] >= 0) & (columns["strangeness"] <= 1)).all():
        return "its column strangeness does not lie between 0 and 1"
    return "it holds a sample twice" if len(set(ids)) < len(ids) else None
