"""Which images came, went and moved, and that a rebuilding says so."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch

from tests.worlds.inputs import repaint, write_photos
from xmap.pipeline.run.execute import RunResult, run
from xmap.pipeline.run.image_changes import ImageChanges, image_changes
from xmap.pipeline.run.reasons import NEW
from xmap.pipeline.settings.config import XmapConfig
from xmap.pipeline.upkeep.compare import compare
from xmap.pipeline.upkeep.lineage import Lineage
from xmap.store.artifacts.artifact import Store

Case = Callable[[], AbstractContextManager[None]]
BEFORE = {"train/ant/1.png": ("train", "ant"), "train/ant/2.png": ("train", "ant"), "train/bee/3.png": ("train", "bee")}


@pytest.mark.parametrize(
    ("change", "expected", "said"),
    [
        ({}, ImageChanges(), "no image added, gone or relabelled"),
        ({"train/bee/4.png": ("train", "bee")}, ImageChanges(added=("train/bee/4.png",)), "1 image added"),
        ({"train/bee/3.png": None}, ImageChanges(gone=("train/bee/3.png",)), "1 image gone"),
        ({"train/bee/3.png": ("train", "ant")}, ImageChanges(relabelled=("train/bee/3.png",)), "1 image relabelled"),
        ({"train/bee/3.png": ("val", "bee")}, ImageChanges(in_another_split=("train/bee/3.png",)), "1 image in another split"),
        (
            {"train/bee/3.png": None, "train/ant/3.png": ("train", "ant")},
            ImageChanges(relabelled=("train/ant/3.png",)),
            "1 image relabelled",
        ),
        (
            {"train/ant/1.png": None, "train/ant/2.png": None, "val/ant/1.png": ("val", "ant"), "val/bee/2.png": ("val", "bee")},
            ImageChanges(relabelled=("val/bee/2.png",), in_another_split=("val/ant/1.png", "val/bee/2.png")),
            "1 image relabelled, 2 in another split",
        ),
        (
            # Two that came under one name: which of them was it?
            {"train/bee/3.png": None, "train/ant/3.png": ("train", "ant"), "val/ant/3.png": ("val", "ant")},
            ImageChanges(added=("train/ant/3.png", "val/ant/3.png"), gone=("train/bee/3.png",)),
            "2 images added, 1 gone",
        ),
    ],
)
def test_each_kind_of_change(change: dict[str, tuple[str, str] | None], expected: ImageChanges, said: str) -> None:
    after = {name: where for name, where in {**BEFORE, **change}.items() if where is not None}
    found = image_changes(BEFORE, after)
    assert found == expected
    assert str(found) == said


def settings(folder: Path) -> XmapConfig:
    fixed = {"encoder.model": "xmap-tiny", "extract.views": 0, "extract.batch_size": 4, "run.methods": "zero-shot", "run.seeds": "1"}
    return XmapConfig().override({**fixed, "run.workers": 0, "cache.shots": 1, "data.data": str(folder)})


def why(result: RunResult, stage: str) -> str:
    return next(outcome.why for outcome in result.outcomes if outcome.stage == stage)


@pytest.mark.failure("changed input")
def test_a_run_says_what_changed_and_diff_names_it(tmp_path: Path, case: Case) -> None:
    torch.set_num_threads(1)
    photos, store = write_photos(tmp_path / "photos", train=2, val=1, test=1), Store(tmp_path / "store")
    run(store, settings(photos))
    # As often on disk: one image is bad throughout.
    (photos / "train/ant/bad.png").write_text("no image")
    first = run(store, settings(photos))
    with case():
        assert why(first, "images") == "1 image added"

    shutil.copy(photos / "test/bee/0.png", photos / "train/bee/new.png")
    (photos / "train/cat/1.png").rename(photos / "train/bee/was cat.png")
    (photos / "train/ant/0.png").rename(photos / "train/ant.png")
    (photos / "train/ant.png").rename(photos / "train/bee/ant.png")
    second = run(store, settings(photos))
    with case():
        assert why(second, "images") == "3 images added, 2 gone"
        assert why(second, "cache") == "training images changed"
        assert why(second, "eval") == "adapters changed"

    (photos / "train/bee/was cat.png").rename(photos / "train/cat/was cat.png")
    third = run(store, settings(photos))
    with case():
        assert why(third, "images") == "1 image relabelled"

    repaint(photos / "train/cat/was cat.png")
    with case():
        assert why(run(store, settings(photos)), "images") == "train images changed"

    for split in ("train", "val", "test"):
        shutil.copytree(photos / split / "bee", photos / split / "dog")
    last = run(store, settings(photos))
    with case():
        assert why(last, "images").endswith("images added; classes: + dog")
        assert "classes: + dog" in why(last, "texts")

    with case():
        assert {outcome.why for outcome in run(store, settings(write_photos(tmp_path / "others"))).outcomes} == {NEW}

    lineage = Lineage.of(store.artifacts())
    images = [next(one for one in result.artifacts.values() if one.stage == "images") for result in (first, second)]
    for pair in (images, [result.evaluation for result in (first, second)]):
        with case():
            assert pair[0] is not None
            assert pair[1] is not None
            found = compare(pair[0], pair[1], lineage).images
            assert found is not None
            assert found.added == ("train/bee/ant.png", "train/bee/new.png", "train/bee/was cat.png")
            assert found.gone == ("train/ant/0.png", "train/cat/1.png")
