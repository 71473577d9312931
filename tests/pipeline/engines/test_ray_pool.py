"""A pool labelled on a cluster of two machines, one of them killed: the answers of this machine alone, byte for byte."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.worlds.cluster import MACHINE, two_machines
from tests.worlds.inputs import write_photos
from tests.worlds.pools import made_images, photographed, write_forms
from xmap.cli.answers import Way, write
from xmap.cli.output import CSV
from xmap.pipeline.adapters.choice import load_chosen
from xmap.pipeline.adapters.labelling import answers_of
from xmap.pipeline.adapters.pool import PoolRequest
from xmap.pipeline.run.execute import run
from xmap.pipeline.settings.config import XmapConfig
from xmap.stages.workplace.progress import Progress, Silent
from xmap.store.artifacts.artifact import Store
from xmap.store.disk.output import Output

# As the engine sets it, which Ray reads when it is imported.
os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"
ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")

pytestmark = [pytest.mark.cluster, pytest.mark.thorough]

SETTINGS = {
    "encoder.model": "xmap-tiny",
    "extract.views": 0,
    "extract.batch_size": 4,
    "run.methods": "tip-adapter",
    "run.seeds": "1",
    "cache.shots": 2,
}
FEW, MANY = 500, 20_000


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with two_machines() as found:
        yield found


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with an adapter; features of pools are kept elsewhere."""
    torch.set_num_threads(2)
    folder = tmp_path_factory.mktemp("labelled")
    found = Store(folder / "store")
    run(found, XmapConfig().override({**SETTINGS, "data.data": str(write_photos(folder / "photos"))}))
    return found


class Killing(Silent):
    """Does something once, in the middle of encoding."""

    def __init__(self, after: int, act: Callable[[], None]) -> None:
        self.after, self.thread = after, threading.Thread(target=act)
        self.done = 0

    def advance(self, units: int) -> None:
        self.done += units
        if self.done >= self.after and not self.thread.ident:
            self.thread.start()


def labelled(store: Store, pool: str, target: Path, engine: str, progress: Progress) -> bytes:
    """The answers as CSV; every image is encoded anew."""
    adapter = load_chosen(store)
    saying = adapter.asked()
    asked = PoolRequest(data=pool, keep=False, settings={"run.engine": engine, "run.workers": 2})
    write(answers_of(adapter, asked, store, saying, progress), Way(CSV, Output(target), saying, None))
    return target.read_bytes()


def same_after_a_death(cluster: Any, store: Store, pool: str, tmp_path: Path, after: int) -> None:
    expected = labelled(store, pool, tmp_path / "local.csv", "local", Silent())
    third = cluster.add_node(**MACHINE)
    killing = Killing(after, lambda: cluster.remove_node(third, allow_graceful=False))
    assert labelled(store, pool, tmp_path / "ray.csv", "ray", killing) == expected
    assert killing.thread.ident, "the machine was killed before the end"
    killing.thread.join()


@pytest.mark.failure("machine of a cluster killed")
def test_a_small_pool_has_the_same_answers_on_two_machines(cluster: Any, store: Store, tmp_path: Path) -> None:
    pool = write_forms(tmp_path / "pool", made_images(FEW))["tars"]
    same_after_a_death(cluster, store, pool, tmp_path, FEW // 4)


@pytest.mark.timeout(2400)
@pytest.mark.failure("machine of a cluster killed")
def test_twenty_thousand_images_have_the_same_answers_on_two_machines(
    cluster: Any, store: Store, shared_data: Path, tmp_path: Path
) -> None:
    pool = write_forms(tmp_path / "pool", photographed(shared_data / "photos", MANY))["folder"]
    same_after_a_death(cluster, store, pool, tmp_path, MANY // 4)
