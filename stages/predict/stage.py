"""The stage `answers`: what an adapter says of a pool is kept in the store under a name, for SQL, the report, and who asks again."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from xmap.stages.predict.answers import Answers
from xmap.stages.predict.columns import stored_table
from xmap.stages.predict.prediction import Asked
from xmap.stages.predict.written import promises
from xmap.stages.workplace.place import Workplace
from xmap.store.artifacts.artifact import Artifact
from xmap.store.artifacts.fingerprint import Json
from xmap.store.artifacts.identity import Identity
from xmap.store.formats.answers import ANSWERS, shard_name
from xmap.store.formats.row_groups import written_shards


def keep_answers(
    workplace: Workplace, identity: Identity, adapter: Artifact, answers: Iterable[Answers], asked: Asked, top: int | None
) -> Iterator[Answers]:
    """The same answers of an adapter, kept once they end as the artifact of `identity`; `top` classes of each, as `listed` has it."""
    with workplace.build(identity) as held:
        if isinstance(held, Artifact):
            yield from answers
            return
        tally = _Tally()
        about = {"name": identity.name, "run": adapter.path.name, "method": adapter.summary["method"], "seed": adapter.summary["seed"]}
        labels = {"xmap.fingerprint": identity.fingerprint, **promises(asked)}
        with written_shards(held.path, shard_name, ANSWERS, labels) as write:
            for batch in answers:
                tally.add(batch)
                write(stored_table(batch, about, given_rows(batch.columns), top))
                yield batch
        held.commit({**tally.summary(), "promises": [str(promised) for promised in (asked.sets, asked.rejection) if promised]})


def given_rows(columns: pa.Table | None) -> list[str]:
    """Rows of the user's own table as JSON objects; none where there is no table."""
    if columns is None:
        return []
    return [json.dumps(_plain(row), ensure_ascii=False, allow_nan=False, default=_said) for row in columns.to_pylist()]


def _plain(value: Any) -> Any:
    """A value with null for numbers that JSON cannot say."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _said(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


@dataclass
class _Tally:
    """Answers counted while they pass."""

    classes: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=lambda: {"samples": 0, "bad": 0})
    answered: Any = 0

    def add(self, batch: Answers) -> None:
        self.classes, good = batch.classes, batch.good
        labels = batch.best(1)[:, 0]
        there = good if batch.rejected is None else good & ~batch.rejected
        self.answered += np.bincount(labels[there], minlength=len(self.classes))
        for name, column in (("samples", np.ones(len(batch))), ("bad", ~good), ("known", batch.known), ("rejected", batch.rejected)):
            if column is not None:
                self.counts[name] = self.counts.get(name, 0) + int(column.sum())

    def summary(self) -> dict[str, Json]:
        found = zip(self.classes, np.broadcast_to(self.answered, len(self.classes)).tolist(), strict=True)
        return {"classes": list(self.classes), **self.counts, "answered": {name: count for name, count in found if count}}
