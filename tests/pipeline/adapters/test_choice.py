"""Which adapter is taken: never one of several data sets by chance, and of several with one name the newest, which is said."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import xmap
from tests.worlds.commands import call
from tests.worlds.inputs import write_layout
from tests.worlds.report import RUN
from xmap.pipeline.adapters.choice import load_chosen
from xmap.pipeline.upkeep.collect import waste
from xmap.stages.imports.tip_adapter import import_tip_adapter
from xmap.stages.workplace.progress import Silent
from xmap.store.artifacts.artifact import Store
from xmap.store.errors import ArtifactMissing, InputError
from xmap.store.sql.connection import connect

METHODS = ("zero-shot", "tip-adapter")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Evaluations of two data sets; of `birds` with other settings too, so that two adapters share a name."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("choice")
    for name in ("birds", "fish"):
        import_tip_adapter(Store(folder / "store"), write_layout(folder / name), name, 100.0, Silent())
        evaluate(folder / "store", name)
    evaluate(folder / "store", "birds", {"tip-adapter": {"alpha": 2}})
    return folder / "store"


def evaluate(store: Path, features: str, methods: dict[str, dict[str, float]] | None = None) -> None:
    run = {"features": features, "methods": METHODS, "seeds": [1]}
    xmap.run(store=store, run=run, cache={"shots": 2}, methods=methods or {})


@pytest.mark.failure("changed input")
@pytest.mark.parametrize(("method", "seed"), [("", None), ("zero-shot", None), ("tip-adapter", 1), ("", 1), ("xmadapter", 7)])
def test_between_data_sets_nothing_is_picked(store: Path, method: str, seed: int | None) -> None:
    with pytest.raises(InputError, match=r"adapters of 2 data sets: birds, fish; name a data set, or an adapter .* xmap\.load\(NAME\)"):
        load_chosen(Store(store), "", method, seed)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("fish", "fish-tip-adapter-2shot-seed1"),
        ("fish-2shot", "fish-tip-adapter-2shot-seed1"),
        ("birds", "birds-tip-adapter-2shot-seed1"),
        ("birds-zero-shot-2shot-seed1", "birds-zero-shot-2shot-seed1"),
    ],
)
def test_a_data_set_an_evaluation_and_an_adapter_are_names(store: Path, name: str, found: str) -> None:
    assert load_chosen(Store(store), name).artifact.name == found


def test_a_method_and_a_seed_hold_within_a_data_set(store: Path) -> None:
    assert load_chosen(Store(store), "fish", "zero-shot").artifact.name == "fish-zero-shot-2shot-seed1"
    with pytest.raises(ArtifactMissing):
        load_chosen(Store(store), "fish", seed=9)


def test_of_adapters_with_one_name_the_newest_is_taken_and_said(store: Path) -> None:
    older, newest = (found for found in Store(store).artifacts("adapter") if found.name == "birds-tip-adapter-2shot-seed1")
    for name in ("birds", newest.name):
        said: list[str] = []
        assert load_chosen(Store(store), name, say=said.append).artifact.fingerprint == newest.fingerprint
        assert said == [f"{newest.name}: taken {newest.fingerprint[:8]}, last used of 2; by fingerprint: {older.fingerprint[:8]}"]
        assert len(said[0]) <= 100
    with pytest.warns(UserWarning, match="last used of 2"):
        assert newest.fingerprint[:8] in repr(xmap.load("birds", store=store))
    said = []
    assert load_chosen(Store(store), older.fingerprint[:8], say=said.append).artifact.fingerprint == older.fingerprint
    assert said == []


@pytest.mark.failure("changed input")
def test_a_data_set_that_is_called_as_a_fingerprint_begins_is_taken(store: Path, tmp_path: Path) -> None:
    shutil.copytree(store, tmp_path / "store")
    digit = Store(store).artifacts("adapter")[0].fingerprint[0]
    import_tip_adapter(Store(tmp_path / "store"), write_layout(tmp_path / "layout"), digit, 100.0, Silent())
    evaluate(tmp_path / "store", digit)
    assert xmap.load(digit, store=tmp_path / "store").dataset == digit


@pytest.mark.parametrize("name", ["bird", "cats", "zero-shot", "../birds", " "])
def test_a_name_that_nothing_has_is_refused(store: Path, name: str) -> None:
    with pytest.raises(ArtifactMissing, match="xmap status"):
        load_chosen(Store(store), name)


def test_a_beginning_of_several_fingerprints_is_refused(store: Path) -> None:
    first = [found.fingerprint[0] for found in Store(store).artifacts("adapter")]
    shared = next((digit for digit in first if first.count(digit) > 1), None)
    if shared is not None:
        with pytest.raises(InputError, match="several fingerprints begin"):
            load_chosen(Store(store), shared)


# ---- data sets of the same classes have the same texts


def draw(folder: Path, seeds: dict[str, int]) -> Path:
    """Two classes of noise; a split has the images of its seed."""
    for split, seed in seeds.items():
        noise = np.random.default_rng(seed)
        for key in ("cat", "dog"):
            (folder / split / key).mkdir(parents=True)
            for number in range(3):
                pixels = noise.integers(0, 255, (24, 24, 3), np.uint8)
                Image.fromarray(pixels).save(folder / split / key / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def alike(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs on `first`, on `second` of other images and the same classes, on `second-more`, which shares a split with it, and on a copy."""
    folder = tmp_path_factory.mktemp("alike")
    draw(folder / "first", {"train": 1, "val": 2, "test": 3})
    draw(folder / "second", {"train": 4, "val": 5, "test": 6})
    draw(folder / "second-more", {"train": 7, "val": 5, "test": 6})
    draw(folder / "copy", {"train": 1, "val": 2, "test": 3})
    for name in ("first", "second", "second-more", "copy"):
        words = ("--methods", "tip-adapter", "--shots", 2, "--set", "run.seeds=1", "--store", folder / "store")
        done = call("run", folder / name, *RUN[:-3], "--quiet", *words)
        assert done.exit_code == 0, done.output
    return folder / "store"


@pytest.mark.failure("changed input")
@pytest.mark.parametrize("name", ["first", "second", "second-more", "copy"])
def test_data_sets_of_the_same_classes_are_kept_apart(alike: Path, name: str) -> None:
    found = load_chosen(Store(alike), name)
    assert found.dataset == ("first" if name == "copy" else name)
    same = [adapter.name for adapter in Store(alike).artifacts("adapter") if adapter.fingerprint == found.artifact.fingerprint]
    assert f"{name}-xmap-tiny-tip-adapter-2shot-seed1" in same


@pytest.mark.failure("changed input")
def test_nothing_is_picked_between_data_sets_of_the_same_classes(alike: Path) -> None:
    with pytest.raises(InputError, match="adapters of 4 data sets: copy, first, second, second-more; name"):
        load_chosen(Store(alike))
    with connect(alike) as connection:
        for view in ("runs", "affinity", "samples"):
            found = connection.query(f"select distinct dataset from {view} order by 1").column(0).to_pylist()  # noqa: S608
            assert found == ["copy", "first", "second", "second-more"]


def test_what_is_there_twice_goes_with_the_name_of_what_stays(alike: Path) -> None:
    reasons = {(found.path.parent.name, found.why) for found in waste(Store(alike))}
    assert ("images", "the same as copy-xmap-tiny, which stays") in reasons
    assert ("texts", "the same as copy-xmap-tiny, which stays") in reasons
