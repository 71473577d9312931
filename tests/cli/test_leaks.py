"""Images that are on both sides of a split, planted on purpose: `run` warns of them, SQL names them, and the answer leaves them out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.worlds.commands import call
from xmap.store.memory.notes import HASHES

RUN = ("--model", "xmap-tiny", "--views", "0", "--shots", "2", "--seeds", "1", "--methods", "zero-shot", "--workers", "0", "--quiet")
PER_SPLIT = {"train": 4, "val": 3, "test": 3}
# Planted, each with what it is a copy of.
EXACT = {("test/ant/same.png", "train/ant/0.png"), ("val/bee/same.png", "train/ant/1.png"), ("test/bee/same.png", "val/bee/0.png")}
NEAR = {("test/ant/jpeg.jpg", "train/bee/2.png"), ("val/ant/smaller.png", "train/ant/3.png")}
WITHIN = ("train/bee/3.png", "train/bee/jpeg.jpg")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """The photographs, the store, and what a run said."""
    torch.set_num_threads(1)
    photos, draw = tmp_path_factory.mktemp("leaking") / "photos", np.random.default_rng(3)
    for split, count in PER_SPLIT.items():
        for name in ("ant", "bee"):
            (photos / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = draw.integers(0, 255, (5, 5, 3)).astype(np.uint8)
                Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC).save(photos / split / name / f"{number}.png")
    for copy, original in EXACT:
        (photos / copy).write_bytes((photos / original).read_bytes())
    for copy, original in (*NEAR, WITHIN[::-1]):
        with Image.open(photos / original) as image:
            (image.resize((61, 61)) if copy.endswith(".png") else image).save(photos / copy)
    store = photos.parent / "store"
    done = call("run", photos, *RUN, "--store", store)
    assert done.exit_code == 0, done.output
    return photos, store, " ".join(done.stderr.split())


def ask(store: Path, question: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(call("sql", question, "--json", "--store", store).stdout)
    return rows


def test_a_run_warns_with_counts_and_the_threshold(run: tuple[Path, Path, str]) -> None:
    _, store, said = run
    threshold = json.loads(call("show", "pairs/photos-xmap-tiny", "--json", "--store", store).stdout)["summary"]["threshold"]
    nearly = f"1 nearly, by a cosine of {threshold:.5g} or more"
    assert f"2 of 8 validation images are in training too (1 byte for byte, {nearly}): what they measure was seen before" in said
    assert f"3 of 9 test images are in training or validation too (2 byte for byte, {nearly}): what they measure was seen before" in said
    assert "`xmap sql leaks` lists them" in said


def test_the_questions_name_exact_and_near_ones(run: tuple[Path, Path, str]) -> None:
    _, store, _ = run
    leaks = ask(store, "leaks")
    assert {(row["sample_id"], row["also"]) for row in leaks if row["kind"] == "exact"} == EXACT
    assert {(row["sample_id"], row["also"]) for row in leaks if row["kind"] == "near"} == NEAR
    assert all(row["cosine"] == 1 if row["kind"] == "exact" else 0.9 < row["cosine"] <= 1 for row in leaks)
    within = [row for row in ask(store, "duplicates") if row["splits"] == "train"]
    assert [(row["kind"], row["sample_id"], row["also"]) for row in within] == [("near", *WITHIN)]
    # Pairs hold the exact ones too.
    assert {(row["sample_id"], row["other_id"]) for row in ask(store, "from pairs where exact")} == EXACT


def test_the_answer_leaves_them_out_and_another_threshold_looks_again(run: tuple[Path, Path, str]) -> None:
    photos, store, _ = run
    leaks = photos.parent / "leaks.csv"
    assert call("sql", "leaks", "-o", leaks, "--store", store).exit_code == 0
    done = call("run", photos, *RUN, "--labels", leaks, "--store", store, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["evaluation"]["samples"] == 6
    assert not [line for line in json.loads(done.stdout)["warnings"] if "seen before" in line]
    assert ask(store, "leaks") == []
    done = call("run", photos, *RUN, "--near", "1", "--store", store, "--json")
    warned = [line for line in json.loads(done.stdout)["warnings"] if "what they measure" in line]
    assert [line.partition(" in ")[0] for line in warned] == ["1 of 8 validation images is", "2 of 9 test images are"]
    assert all("`xmap sql leaks` lists them" in line for line in warned)
    assert {(row["sample_id"], row["also"]) for row in ask(store, "leaks")} == EXACT
    # Where no run can note what it used, the newest images are the corrected ones: the warning names a question that finds these.
    shutil.copytree(store, photos.parent / "other", ignore=shutil.ignore_patterns(HASHES))
    (photos.parent / "other" / HASHES).mkdir()
    (photos.parent / "other" / HASHES / "in the way").touch()
    done = call("run", photos, *RUN, "--near", "1", "--store", photos.parent / "other", "--json")
    warned = [line for line in json.loads(done.stdout)["warnings"] if "what they measure" in line]
    question = warned[0].partition('xmap sql "')[2].partition('"')[0]
    assert {(row["sample_id"], row["other_id"]) for row in ask(photos.parent / "other", question)} == EXACT
