"""Answers in columns: each row is the prediction of one image, and neither torch nor faiss is needed for them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from xmap.stages.images.decode import BadImage
from xmap.stages.predict.answers import FEW, Answers, NeighborColumns, spread

ROOT = Path(__file__).resolve().parents[3]
BAD = BadImage("empty", "the file has 0 bytes")


def answers() -> Answers:
    good = np.array([True, False, True])
    chances = spread(np.array([[0.2, 0.6, 0.2], [0.5, 0.0, 0.5]], np.float32), good, np.nan)
    near = NeighborColumns(np.array([[1, 0], [-1, -1], [0, -1]]), np.array([[0.9, 0.5], [0, 0], [0.25, 0]]), ("a", "b"), ("ant", "bee"))
    return Answers(
        ("x.png", "y.png", "z.png"), ("ant", "bee", "cat"), chances, chances[:, ::-1], {1: BAD}, gamma=np.array([0.5, np.nan, 1.0]),
        neighbors=near, members=np.array([[True, True, False], [False] * 3, [True, False, True]]),
        strangeness=np.array([0.1, np.nan, 0.9]), rejected=np.array([False, False, True]),
        known=np.array([True, False, False]), columns=pa.table({"price": [1, 2, 3]}),
    )  # fmt: skip


def test_a_row_is_the_prediction_of_one_image() -> None:
    first, bad, last = answers()
    assert (first.class_name, first.zero_shot_name, first.top(2)) == (
        "bee",
        "bee",
        [("bee", pytest.approx(0.6)), ("ant", pytest.approx(0.2))],
    )
    assert first.prediction_set == ("bee", "ant")
    assert [(near.sample_id, near.class_name, near.affinity) for near in first.neighbors] == [("b", "bee", 0.9), ("a", "ant", 0.5)]
    assert (first.gamma, first.strangeness, first.known, first.columns) == (0.5, 0.1, True, {"price": 1})
    assert bad.error == BAD
    assert bad.facts() == {"path": "y.png", "error": "empty", "message": BAD.message, "price": 2}
    assert (last.class_name, last.nearest, last.rejected, len(last.neighbors)) == ("", "ant", True, 1)
    assert last.image is None


@pytest.mark.parametrize("count", [1, 2, 3, FEW, FEW + 1, 40])
def test_the_best_classes_are_those_of_a_stable_sort(count: int) -> None:
    chances = np.random.default_rng(0).integers(0, 6, (50, 30)).astype(np.float32) / 10
    found = Answers([""] * 50, ("",) * 30, chances, chances)
    assert found.best(count).tolist() == np.argsort(-chances, axis=1, kind="stable")[:, :count].tolist()


def test_no_torch_is_needed() -> None:
    script = (
        "import sys\nimport xmap.stages.predict.answers, xmap.stages.predict.prediction\n"
        "print(sorted({'torch', 'faiss', 'open_clip'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.strip() == "[]"
