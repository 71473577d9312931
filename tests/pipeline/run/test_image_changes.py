"""Which images came, went and moved, and that a rebuilding says so."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.worlds.inputs import repaint, write_photos
from xmap.pipeline.run.execute import RunResult, run
from xmap.pipeline.run.image_changes import ImageChanges, Seen, image_changes
from xmap.pipeline.run.reasons import NEW
from xmap.pipeline.settings.config import XmapConfig
from xmap.pipeline.upkeep.compare import compare
from xmap.pipeline.upkeep.lineage import Lineage
from xmap.store.artifacts.artifact import Store

Case = Callable[[], AbstractContextManager[None]]
BEFORE = {
    "train/ant/1.png": Seen("train", "ant", "1"),
    "train/ant/2.png": Seen("train", "ant", "2"),
    "train/bee/3.png": Seen("train", "bee", "3"),
}


@pytest.mark.parametrize("known", [True, False], ids=["contents known", "contents unknown"])
@pytest.mark.parametrize(
    ("change", "expected", "said"),
    [
        ({}, ImageChanges(), "no image changed"),
        ({"train/bee/4.png": Seen("train", "bee", "4")}, ImageChanges(new=("train/bee/4.png",)), "1 image new"),
        ({"train/bee/3.png": None}, ImageChanges(gone=("train/bee/3.png",)), "1 image gone"),
        ({"train/bee/3.png": Seen("train", "ant", "3")}, ImageChanges(relabelled=("train/bee/3.png",)), "1 image relabelled"),
        ({"train/bee/3.png": Seen("val", "bee", "3")}, ImageChanges(in_another_split=("train/bee/3.png",)), "1 image in another split"),
        (
            {"train/bee/3.png": None, "train/ant/3.png": Seen("train", "ant", "3")},
            ImageChanges(relabelled=("train/ant/3.png",)),
            "1 image relabelled",
        ),
        (
            dict.fromkeys(BEFORE) | {f"val/{name[6:]}": Seen("val", seen.label, seen.content) for name, seen in BEFORE.items()},
            ImageChanges(in_another_split=("val/ant/1.png", "val/ant/2.png", "val/bee/3.png")),
            "3 images in another split",
        ),
    ],
)
def test_each_kind_of_change(change: Mapping[str, Seen | None], expected: ImageChanges, said: str, known: bool) -> None:
    """Imported features and those of version 1 know no contents: names alone tell as much."""
    before = {name: seen if known else seen._replace(content=None) for name, seen in BEFORE.items()}
    found = image_changes(before, {name: where for name, where in {**BEFORE, **change}.items() if where is not None})
    assert found == expected
    assert str(found) == said


def listing(images: str) -> dict[str, Seen]:
    """Training images, written `name=content` and, of another class than a, `name=content:class`."""
    words = (word.replace(":", "=").split("=") for word in images.split())
    return {name: Seen("train", (*label, "a")[0], content if content != "?" else None) for name, content, *label in words}


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("a=1 b=2", "c=1 b=2", "1 image renamed"),
        ("a=1 b=2", "a=2 b=1", "2 images renamed"),
        ("a=1 b=2 c=3", "a=2 b=3", "2 images renamed, 1 gone"),
        ("a=1", "a=2", "1 image changed"),
        ("a=1", "a=2:b", "1 image changed, 1 relabelled"),
        ("x/a=1", "y/a=2", "1 image new, 1 gone"),
        ("x/a=1", "y/b=1:b", "1 image relabelled"),
        ("x/a=1 x/b=2", "y/a=? y/b=?", "2 images renamed"),
        ("x/a=? x/b=2", "x/a=1 x/b=2", "no image changed"),
        # The same bytes several times: each is an image.
        ("a=1 b=1", "a=1", "1 image gone"),
        ("a=1", "a=1 b=1 c=1", "2 images new"),
        ("a=1 b=1 c=1", "a=1 b=1:b d=1", "1 image relabelled, 1 renamed"),
        ("a=1 b=1", "a=2 c=1", "1 image changed, 1 renamed"),
        ("x/a=1 x/b=1", "y/b=1 y/a=1:b", "1 image relabelled, 1 renamed"),
        (" ".join(f"x/{n}={n % 3}" for n in range(1200)), " ".join(f"y/{n}={n % 3}" for n in range(1200)), "1,200 images renamed"),
    ],
)
def test_an_image_is_its_content(before: str, after: str, said: str) -> None:
    assert str(image_changes(listing(before), listing(after))) == said


@hypothesis_settings(max_examples=60)
@given(*(st.dictionaries(st.sampled_from("abcdef"), st.tuples(st.sampled_from("xy"), st.sampled_from("123?"))) for _ in range(2)))
def test_every_image_is_accounted_for_once(before: dict[str, tuple[str, str]], after: dict[str, tuple[str, str]]) -> None:
    old, new = (
        {name: Seen("train", label, content.strip("?") or None) for name, (label, content) in one.items()} for one in (before, after)
    )
    found = image_changes(old, new)
    assert len(new) - len(found.new) == len(old) - len(found.gone)
    assert set(found.new) | set(found.changed) | set(found.relabelled) | set(found.renamed) <= new.keys()
    assert set(found.gone) <= old.keys()
    assert not image_changes(new, new)
    contents = Counter(seen.content for seen in new.values()) - Counter(seen.content for seen in old.values())
    if not any(seen.content is None for seen in (*old.values(), *new.values())):
        # What has other bytes than anything before is new or changed, and nothing else is.
        assert len(found.new) + len(found.changed) == sum(contents.values())


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
        assert why(first, "images") == "1 image new"

    shutil.copy(photos / "test/bee/0.png", photos / "train/bee/new.png")
    (photos / "train/cat/1.png").rename(photos / "train/bee/was cat.png")
    (photos / "train/ant/0.png").rename(photos / "train/ant.png")
    (photos / "train/ant.png").rename(photos / "train/bee/ant.png")
    second = run(store, settings(photos))
    with case():
        assert why(second, "images") == "1 image new, 2 relabelled"
        assert why(second, "cache") == "training images changed"
        assert why(second, "eval") == "adapters changed"

    (photos / "train/bee/was cat.png").rename(photos / "train/cat/was cat.png")
    third = run(store, settings(photos))
    with case():
        assert why(third, "images") == "1 image relabelled"

    repaint(photos / "train/cat/was cat.png")
    with case():
        assert why(run(store, settings(photos)), "images") == "1 image changed"

    for split in ("train", "val", "test"):
        shutil.copytree(photos / split / "bee", photos / split / "dog")
    last = run(store, settings(photos))
    with case():
        assert why(last, "images").endswith("images new; classes: + dog")
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
            assert (found.new, found.gone) == (("train/bee/new.png",), ())
            assert found.relabelled == ("train/bee/ant.png", "train/bee/was cat.png")
