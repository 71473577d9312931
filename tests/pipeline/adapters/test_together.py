"""Images that are asked about together: learned from once, said everywhere, and in nobody's way afterwards."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import xmap
from tests.pipeline.run.test_execute import settings
from tests.pipeline.run.test_pool import MINE, write_pool
from tests.worlds.inputs import write_photos
from xmap.cli.main import app
from xmap.pipeline.run.execute import run
from xmap.stages.methods.options import TipAdapterOptions, XMAdapterOptions
from xmap.stages.names import ADAPTER
from xmap.store.artifacts.artifact import Store

SAID = "a pool of 7 images without labels, the ones asked about together, class shares estimated"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Path]:
    folder = tmp_path_factory.mktemp("together")
    store, photos = Store(folder / "store"), write_photos(folder / "photos")
    run(store, settings(photos, **{**MINE, "run__methods": "zero-shot,xmadapter"}))
    return store, write_pool(folder / "loose")


def asked(world: tuple[Store, Path], *flags: str, code: int = 0) -> str:
    store, pool = world
    found = CliRunner().invoke(app, ["predict", "--data", str(pool), "--store", str(store.root), "--workers", "0", *flags])
    assert found.exit_code == code, found.output
    return found.output if code else found.stdout


def test_they_are_learned_from_once_and_every_table_says_so(world: tuple[Store, Path], tmp_path: Path) -> None:
    store, _ = world
    alone = [json.loads(line) for line in asked(world, "--json").splitlines()]
    found = [json.loads(line) for line in asked(world, "--together", "--json").splitlines()]
    assert [row["path"] for row in found] == [row["path"] for row in alone]
    assert [row["probabilities"] for row in found] != [row["probabilities"] for row in alone]
    assert {row["pool"] for row in found} == {SAID}
    assert not any("pool" in row for row in alone)
    made = [adapter for adapter in store.artifacts(ADAPTER) if "pool" in adapter.fields]
    assert f"the adapter learned from {SAID} too" in asked(world, "--together")
    assert asked(world, "--together", "--format", "csv").splitlines()[1].endswith(f'"{SAID}"')
    asked(world, "--together", "-o", str(tmp_path / "said.parquet"))
    assert set(pq.read_table(tmp_path / "said.parquet")["pool"].to_pylist()) == {SAID}
    assert [adapter for adapter in store.artifacts(ADAPTER) if "pool" in adapter.fields] == made, "trained once"
    assert "pool" not in xmap.load(store=store.root).artifact.fields, "nobody who asks by no name gets it"
    assert "pool" not in xmap.load("photos", store=store.root).artifact.fields


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--sets", "0.9"), "nothing is promised of images that were learned from"),
        (("--method", "zero-shot"), "zero-shot does not use a pool"),
        (("--no-keep-features",), "learns from features that are kept in the store"),
    ],
)
def test_what_it_cannot_keep_is_refused(world: tuple[Store, Path], flags: tuple[str, ...], said: str) -> None:
    assert said in " ".join(asked(world, "--together", *flags, code=2).split())


def test_options_come_back_from_what_is_declared() -> None:
    for options in (XMAdapterOptions(alpha=(3.0, 5.0), beta=4.0), XMAdapterOptions(), TipAdapterOptions(beta=(2.0,))):
        assert type(options).restored(options.declared()) == options
