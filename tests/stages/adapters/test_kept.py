"""The samples that chose nothing of an adapter: what training keeps of them, and what is refused of a table from elsewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from tests.stages.train.test_stage import scene
from tests.worlds.faults import Case
from xmap.stages.adapters.kept import KEPT, ROWS, Kept, misfits, nonconformity, read_kept, write_kept
from xmap.stages.adapters.scorer import Scorer
from xmap.stages.fewshot.cache import OpenCache
from xmap.stages.fewshot.draw import Beside, draw_kept, draw_validation
from xmap.stages.fewshot.load import labelled
from xmap.store.artifacts.artifact import Artifact, Draft, Store
from xmap.store.artifacts.identity import Identity
from xmap.store.errors import ArtifactDamaged
from xmap.store.formats.tables import write_table


def test_training_keeps_the_scores_of_samples_that_chose_nothing(tmp_path: Path) -> None:
    here = scene(tmp_path, val=6)
    adapter = here.train("tip-adapter")
    assert adapter.summary["kept"] == {"samples": 12, "source": "validation kept apart"}
    kept, (rows, _) = read_kept(adapter, 4), draw_kept(Beside.of(here.images), 1)
    chosen, _ = draw_validation(Beside.of(here.images), 4, 1, "few", 4)
    assert kept is not None
    assert rows is not None
    assert chosen is not None
    assert kept.sample_ids == rows.sample_ids
    assert not set(kept.sample_ids) & set(chosen.sample_ids)
    samples, scorer = labelled(rows), Scorer(adapter, OpenCache(here.cache, here.texts))
    logits = scorer.scores(samples.features).logits
    own = -logits.double().log_softmax(1)[range(12), samples.labels]
    np.testing.assert_allclose(kept.nonconformity, own, rtol=1e-6, atol=1e-6)
    assert kept.predicted.tolist() == logits.argmax(1).tolist()
    assert kept.labels.tolist() == samples.labels.tolist()


def test_where_nothing_can_be_kept_apart_the_support_serves_out_of_sample_or_nothing(tmp_path: Path) -> None:
    support = scene(tmp_path / "a", 4, val=0).train("tip-adapter")
    assert support.summary["kept"] == {"samples": 16, "source": "support out of sample"}
    kept = read_kept(support, 4)
    assert kept is not None
    assert len(kept) == 16
    for alone in (scene(tmp_path / "b", 1, val=0, shots=1).train("zero-shot"), scene(tmp_path / "c").train("zero-shot", protocol="paper")):
        assert alone.summary["kept"] == {"samples": 0, "source": "nothing kept apart"}
        kept = read_kept(alone, 4)
        assert kept is not None
        assert len(kept) == 0


def test_nonconformity_does_not_saturate_where_probability_does() -> None:
    found = nonconformity(torch.tensor([[200.0, 0.0, 100.0]]))
    assert found.dtype == torch.float64
    assert found.tolist() == [[0.0, 200.0, 100.0]]
    assert (nonconformity(50 * torch.randn(500, 7)) >= 0).all()


TWO = Kept(
    "validation kept apart", ("a", "b"), np.array([0, 3], np.int32), np.array([1, 3], np.int32), np.array([0.5, 0.0]), np.array([0.1, 1.0])
)


def stored(root: Path, kept: Kept, table: pa.Table | None = None, samples: int = 2) -> Artifact:
    with Store(root).build(Identity("adapter", "odd", {"root": str(root)})) as held:
        assert isinstance(held, Draft)
        write_kept(held.path, kept, "f") if table is None else write_table(held.path / KEPT, table, "f")
        return held.commit({"kept": {"samples": samples, "source": kept.source}})


@pytest.mark.parametrize("spread", [1e-3, 1.0, 1e3, 1e30])
def test_nonconformity_is_the_same_without_torch(spread: float) -> None:
    logits = torch.randn(50, 7, generator=torch.Generator().manual_seed(1)) * spread
    np.testing.assert_allclose(misfits(logits.numpy()), nonconformity(logits).numpy(), rtol=1e-12, atol=1e-14)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    found = read_kept(stored(tmp_path, TWO), 4)
    assert found is not None
    assert (found.source, found.sample_ids) == (TWO.source, TWO.sample_ids)
    for name in ROWS.names[1:]:
        column = "labels" if name == "label" else name
        np.testing.assert_array_equal(getattr(found, column), getattr(TWO, column))


@pytest.mark.failure("received folder")
@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"labels": np.array([0, 4], np.int32)}, "label names classes beyond 4"),
        ({"labels": np.array([-1, 0], np.int32)}, "label names classes beyond 4"),
        ({"predicted": np.array([0, 2**31 - 1], np.int32)}, "predicted names classes beyond 4"),
        ({"nonconformity": np.array([np.nan, 0.0])}, "no distance"),
        ({"nonconformity": np.array([0.0, np.inf])}, "no distance"),
        ({"nonconformity": np.array([-1.0, 0.0])}, "no distance"),
        ({"strangeness": np.array([0.0, 1.1])}, "between 0 and 1"),
        ({"strangeness": np.array([np.nan, 0.0])}, "between 0 and 1"),
        ({"sample_ids": ("a", "a")}, "a sample twice"),
    ],
)
def test_rows_that_training_does_not_write_are_damage(tmp_path: Path, changes: dict[str, object], problem: str, case: Case) -> None:
    with case(), pytest.raises(ArtifactDamaged, match=problem):
        read_kept(stored(tmp_path, replace(TWO, **changes)), 4)  # type: ignore[arg-type]


@pytest.mark.failure("received folder")
def test_tables_that_training_does_not_write_are_damage(tmp_path: Path, case: Case) -> None:
    whole = pa.table([["a", "b"], [0, 1], [0, 1], [0.0, 1.0], [0.0, 1.0]], schema=ROWS)
    holed = pa.table([pa.array(["a", None]), *whole.columns[1:]], names=ROWS.names)
    floats = whole.set_column(3, "nonconformity", pa.array([0.0, 1.0], pa.float32()))
    cases = [(whole.drop_columns(["label"]), 2), (holed, 2), (floats, 2), (whole, 3), (whole.slice(0, 0), 2)]
    for number, (table, samples) in enumerate(cases):
        with case(), pytest.raises(ArtifactDamaged):
            read_kept(stored(tmp_path / str(number), TWO, table, samples), 4)
    absent = stored(tmp_path / "absent", TWO)
    absent.file(KEPT).unlink()
    with case(), pytest.raises(ArtifactDamaged):
        read_kept(absent, 4)


def test_an_adapter_of_before_has_none(tmp_path: Path) -> None:
    with Store(tmp_path).build(Identity("adapter", "old", {})) as held:
        assert isinstance(held, Draft)
        assert read_kept(held.commit({}), 4) is None
