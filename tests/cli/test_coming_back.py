"""A run that comes back to earlier settings makes what it used the newest, wherever something is chosen by age."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

import xmap
from tests.worlds.commands import call
from tests.worlds.inputs import write_photos
from xmap.pipeline.run.plan import make_plan
from xmap.pipeline.settings.config import load_config
from xmap.store.artifacts.artifact import Store
from xmap.store.memory.notes import HASHES

ORDER = (1, 2, 1)
TINY = {"model": "xmap-tiny"}


@dataclass(frozen=True)
class World:
    """A store with runs of `ORDER`, each a split seed and an alpha: names are the same, contents are not. And what the last one used."""

    store: Path
    photos: Path
    used: dict[str, list[str]]

    def asked(self, *words: object) -> Any:
        done = call(*words, "--store", self.store, "--json")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def back(tmp_path_factory: pytest.TempPathFactory) -> World:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("back")
    photos = write_photos(folder / "photos", train=6, val=0, test=0) / "train"
    # There twice.
    shutil.copyfile(photos / "ant" / "0.png", photos / "ant" / "same.png")
    for seed in ORDER:
        data = {"data": str(photos), "split_seed": seed, "templates": [f"{seed} {{}}"]}
        run = {"methods": ["tip-adapter"], "seeds": [1], "workers": 0}
        alpha = {"tip-adapter": {"alpha": seed}}
        result = xmap.run(store=folder / "store", data=data, encoder=TINY, extract={"views": 0}, cache={"shots": 1}, run=run, methods=alpha)
    assert {outcome.state for outcome in result.outcomes} == {"reused"}
    used: dict[str, list[str]] = {}
    for found in result.artifacts.values():
        used.setdefault(found.stage, []).append(found.fingerprint)
    assert all(len(Store(folder / "store").artifacts(stage)) == 2 for stage in ("images", "texts", "cache", "adapter", "eval"))
    return World(folder / "store", photos, used)


def test_everything_that_is_listed_ends_with_it(back: World) -> None:
    for stage, prints in back.used.items():
        assert [found.fingerprint for found in Store(back.store).artifacts(stage)][-len(prints) :] == prints


def test_predict_load_and_export_take_its_adapter(back: World, tmp_path: Path) -> None:
    (adapter,) = back.used["adapter"]
    with pytest.warns(UserWarning, match=f": taken {adapter[:8]}, last used of 2; by fingerprint: "):
        assert xmap.load(store=back.store).artifact.fingerprint == adapter
    assert f"taken {adapter[:8]}" in call("predict", back.photos / "ant/1.png", "--store", back.store).stderr
    back.asked("export", tmp_path / "out")
    assert [found.fingerprint for found in Store(tmp_path / "out").artifacts("adapter")] == [adapter]


def test_a_report_status_and_a_name_are_of_its_evaluation(back: World) -> None:
    (evaluation,) = back.used["eval"]
    assert back.asked("report")["path"].endswith(f"-{evaluation[:8]}.html")
    assert back.asked("show", "eval/train-xmap-tiny-1shot")["fingerprint"] == evaluation
    said = back.asked("status")
    assert said["evaluation"]["fingerprint"] == evaluation
    current = {found["fingerprint"] for found in said["artifacts"] if found["state"] == "current"}
    assert current == {digest for prints in back.used.values() for digest in prints}


def test_stored_features_are_those_it_used(back: World) -> None:
    plan = make_plan(Store(back.store), load_config(overrides={"run.features": "train", "cache.shots": 1}, read=False), "texts")
    assert [step.identity.fingerprint for step in plan.steps[:2]] == [*back.used["images"], *back.used["texts"]]


def test_ready_questions_are_of_its_images(back: World) -> None:
    images = {f"images/{found.path.name}" for found in Store(back.store).artifacts("images") if found.fingerprint in back.used["images"]}
    found = back.asked("sql", "duplicates")
    assert {row["artifact"] for row in found if row["kind"] == "exact"} == images
    newest = back.asked("sql", "select artifact from artifacts where stage = 'images' order by used desc limit 1")
    assert {row["artifact"] for row in newest} == images


def test_gc_lets_the_other_evaluation_go(back: World) -> None:
    going = back.asked("gc", "--keep", "1")["waste"]
    assert [item["fingerprint"] for item in going if item["stage"] == "eval"] != back.used["eval"]
    assert {"eval", "adapter", "images"} <= {item["stage"] for item in going}


def test_a_copy_without_the_side_file_goes_by_when_things_were_made(back: World, tmp_path: Path) -> None:
    shutil.copytree(back.store, tmp_path / "store", ignore=shutil.ignore_patterns(HASHES))
    assert Store(tmp_path / "store").artifacts("eval")[-1].fingerprint not in back.used["eval"]
    with pytest.warns(UserWarning, match="last used of 2"):
        assert xmap.load(store=tmp_path / "store").artifact.fingerprint not in back.used["adapter"]
