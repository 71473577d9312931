"""What Python is handed of several images: a sequence of predictions, and tables that say the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from xmap.pipeline.adapters.predictions import Predictions
from xmap.pipeline.run import rows
from xmap.stages.images.decode import BadImage
from xmap.stages.predict.answers import Answers
from xmap.stages.predict.columns import table_of
from xmap.stages.predict.prediction import Asked
from xmap.stages.predict.written import write_file
from xmap.store.errors import InputError

CLASSES = ("ant", "bee", "c<b>at")
TOTAL = 25


def answers(start: int, stop: int, name: str = "photos/{}.jpg") -> Answers:
    """Rows of a list of images, the fourth of which cannot be read."""
    logits = np.random.default_rng(0).normal(size=(TOTAL, 3))[start:stop]
    chances = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32)
    bad = {3 - start: BadImage("empty", "the file has 0 bytes")} if start <= 3 < stop else {}
    chances[list(bad)] = np.nan
    return Answers([name.format(row) for row in range(start, stop)], CLASSES, chances, chances[:, ::-1], bad)


@pytest.fixture
def predictions() -> Predictions:
    return Predictions([answers(0, 8), answers(8, 8), answers(8, 16), answers(16, TOTAL)], Asked())


def test_it_is_a_sequence(predictions: Predictions) -> None:
    names = [f"photos/{row}.jpg" for row in range(TOTAL)]
    assert len(predictions) == TOTAL
    assert [found.path for found in predictions] == names
    assert [predictions[-1].path, predictions[8].path] == [names[-1], names[8]]
    assert [found.path for found in predictions[20:2:-3][1:]] == names[20:2:-3][1:]
    assert predictions[3].error == BadImage("empty", "the file has 0 bytes")
    with pytest.raises(IndexError):
        predictions[TOTAL]


def test_its_table_is_that_of_a_file(predictions: Predictions, tmp_path: Path) -> None:
    with open(tmp_path / "answers.parquet", "wb") as file:
        write_file(file, [answers(0, TOTAL)], Asked(), None)
    table = predictions.to_arrow()
    assert table.to_pylist() == pq.read_table(tmp_path / "answers.parquet").to_pylist()
    assert predictions[5:9].to_arrow().to_pylist() == table.to_pylist()[5:9]
    assert Predictions([], Asked()).to_arrow().schema == table_of(answers(0, 1), Asked()).schema
    assert [row["class"] for row in table.to_pylist() if row["class"]] == [found.class_name for found in predictions if not found.error]


def test_pandas_gets_it_where_it_is_installed(predictions: Predictions, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(rows, "find_spec", lambda name: None)
        with pytest.raises(InputError, match=r"pandas is not installed; run `pip install pandas`, or use to_arrow\(\)"):
            predictions.to_pandas()
    pytest.importorskip("pandas")
    frame = predictions.to_pandas()
    assert frame["path"].tolist()[:2] == ["photos/0.jpg", "photos/1.jpg"]
    assert frame["probability"].max() > 0.3


def test_a_shell_and_a_notebook_show_the_first_rows(predictions: Predictions) -> None:
    lines = repr(predictions).splitlines()
    assert lines[0] == "<Predictions of 25 images>"
    assert lines[1].split() == ["image", "class", "probability", "%", "second", "second", "%", "zero-shot", "error"]
    assert (len(lines), lines[-1]) == (13, "... 15 more")
    assert "empty: the file has 0 bytes" in lines[5]
    assert repr(predictions[:1]).splitlines()[0] == "<Predictions of 1 image>"
    assert repr(Predictions([], Asked())) == "<Predictions of 0 images>"
    shown = predictions._repr_html_()
    assert shown.count("<tr>") == 11
    assert "<b>" not in shown
    assert "c&lt;b&gt;at" in shown


def test_no_name_writes_to_the_terminal_or_the_page() -> None:
    odd = Predictions([answers(0, 2, "\x1b[31mred\n<script>{}" + "x" * 60), answers(2, 3, "<i>\r\u202e{}")], Asked())
    assert all(line.isprintable() for line in repr(odd).splitlines())
    assert max(map(len, repr(odd).splitlines())) < 140
    assert "<script>" not in odd._repr_html_()
    assert "<i>" not in odd._repr_html_()
