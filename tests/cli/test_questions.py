"""The ready questions as a user asks them; and labels flipped on purpose, which one of them must find."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from blake3 import blake3

from tests.worlds.commands import call
from xmap.stages.datasets.digits import CLASSES, write_digits
from xmap.store.sql.columns import VIEWS
from xmap.store.sql.questions import QUESTIONS

ROOT = Path(__file__).resolve().parents[2]
SHARE = 0.05


def test_the_list_shows_views_and_questions_with_their_sql() -> None:
    printed = call("sql", "--list").stdout
    for name, view in VIEWS.items():
        assert f"{name}: {view.about}" in printed
    for name, question in QUESTIONS.items():
        assert f"{name}: {question.about}" in printed
        assert all(line.strip() in printed for line in question.sql.strip().splitlines())
    facts = json.loads(call("sql", "--list", "--json").stdout)
    assert list(facts["questions"]) == list(QUESTIONS)
    assert facts["views"]["affinity"]["columns"]["gamma"][0] == "FLOAT"


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_is_asked_by_its_name(name: str) -> None:
    assert json.loads(call("sql", name, "--json").stdout) == []


def test_flipped_labels_are_suspects_until_they_are_corrected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """5 % of the digits get a wrong label: the question must name at least 80 % of them, and none by the label that was put right."""
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn: pip install 'xmap[demo]'")
    torch.set_num_threads(1)
    flipped = flip(tmp_path / "digits")
    run = ["--data", tmp_path / "digits", "--model", "xmap-tiny", "--views", "0", "--val-share", "0", "--shots", "1000", "--short", "keep"]
    done = call("run", *run, "--seeds", "1", "--methods", "zero-shot", "--workers", "0", "--quiet")
    assert done.exit_code == 0, done.output
    table = tmp_path / "suspects.csv"
    assert call("sql", "label-suspects", "-o", table).exit_code == 0
    with table.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    suspects = {Path(row["sample_id"]).name for row in rows}
    recall, precision = len(suspects & flipped.keys()) / len(flipped), len(suspects & flipped.keys()) / len(suspects)
    with capsys.disabled():
        print(f"\nlabel-suspects: {len(flipped)} labels flipped, recall {recall:.3f}, precision {precision:.3f}")
    assert recall >= 0.8

    assert all(row["content"] == blake3((tmp_path / "digits" / row["sample_id"]).read_bytes()).hexdigest() for row in rows)
    corrections = [{**row, "label": flipped.get(Path(row["sample_id"]).name, row["label"])} for row in rows]
    with table.open("w", encoding="utf-8", newline="") as file:
        whole = csv.DictWriter(file, list(rows[0]))
        whole.writeheader()
        whole.writerows(corrections)
    done = call("run", *run, "--seeds", "1", "--methods", "zero-shot", "--workers", "0", "--quiet", "--labels", table)
    assert done.exit_code == 0, done.output
    again = {Path(row["sample_id"]).name: row["label"] for row in json.loads(call("sql", "label-suspects", "--json").stdout)}
    # One whose neighbours are of another class than its right one stays a suspect.
    assert all(again[name] == flipped[name] for name in again.keys() & suspects & flipped.keys())
    assert len(again) < len(suspects)


def flip(root: Path) -> dict[str, str]:
    """Write the digits with 5 % of them in a wrong class folder; the names of these files and their right classes."""
    write_digits(root)
    paths = sorted(root.rglob("*.png"))
    draw = np.random.default_rng(1)
    chosen = [paths[number] for number in draw.choice(len(paths), round(SHARE * len(paths)), replace=False)]
    right = {path.name: path.parent.name for path in chosen}
    for path in chosen:
        wrong = draw.choice([name for name in CLASSES if name != path.parent.name])
        path.rename(root / str(wrong) / path.name)
    return right


def test_the_example_asks_the_same_in_python(own_store: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples/ask.py"), str(own_store)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "Labels to look at again" in done.stdout
