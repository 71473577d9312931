"""The Ray engine on a real cluster of two machines (as far as Ray can tell): the same bytes, also when one of them is killed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.worlds.cluster import MACHINE, two_machines
from tests.worlds.extraction import stored_rows
from tests.worlds.inputs import write_layout, write_photos
from xmap.pipeline.engines.ray_cluster import RayEngine, _signals
from xmap.pipeline.run.execute import RunResult, run
from xmap.pipeline.run.plan import STAGES
from xmap.pipeline.settings.config import XmapConfig
from xmap.pipeline.studies.bench import bench
from xmap.pipeline.studies.grid import GridConfig
from xmap.pipeline.studies.jobs import jobs_of
from xmap.stages.imports.tip_adapter import import_tip_adapter
from xmap.stages.workplace.progress import Silent
from xmap.store.artifacts.artifact import Store
from xmap.store.artifacts.locks import SHARED
from xmap.store.errors import InputError, XmapError
from xmap.store.formats.features import read_errors

# As the engine sets it, which Ray reads when it is imported.
os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"
ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")

pytestmark = pytest.mark.cluster

FEATURES = ("images", "texts")
PACKS = "features/*/*.parquet"
TABLES = ("train-00000", "val-00000", "test-00000")
SETTINGS = {
    "encoder.model": "xmap-tiny",
    "extract.views": 1,
    "extract.batch_size": 4,
    "extract.shard_batches": 1,
    "run.methods": "zero-shot,tip-adapter,tip-adapter-f",
    "run.seeds": "1,2",
    "run.workers": 2,
    "cache.shots": 2,
}
COMMAND = [sys.executable, "-c", "from xmap.cli.main import main; main()"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with two_machines() as found:
        yield found


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """54 images, two of them bad."""
    folder = write_photos(tmp_path_factory.mktemp("cluster") / "photos", train=8, val=4, test=6)
    (folder / "train" / "bee" / "3.png").write_bytes(b"no image")
    (folder / "test" / "cat" / "2.png").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def local(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    torch.set_num_threads(2)
    return run(Store(tmp_path_factory.mktemp("local")), settings(photos, engine="local"))


def settings(photos: Path, **changes: object) -> XmapConfig:
    changed = {f"run.{name}": value for name, value in {"engine": "ray", **changes}.items()}
    return XmapConfig().override({**SETTINGS, "data.data": str(photos), **changed})


def features(result: RunResult) -> tuple[dict[str, str], Any]:
    """The hash of each table, and every feature row."""
    found = [artifact for artifact in result.artifacts.values() if artifact.stage in FEATURES]
    return tables(*(artifact.path for artifact in found)), stored_rows(Store(found[0].root))


def tables(*folders: Path) -> dict[str, str]:
    return {f"{path.parts[-3]}/{path.name}": _hash(path) for folder in folders for path in folder.glob("*.parquet")}


def _hash(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes()).hexdigest()


class Killing(Silent):
    """Does something once, in mid-extraction."""

    def __init__(self, after: int, act: Callable[[], None]) -> None:
        self.after, self.act = after, act
        self.done = 0
        self.thread: threading.Thread | None = None

    def advance(self, units: int) -> None:
        self.done += units
        if self.thread is None and self.done >= self.after:
            self.thread = threading.Thread(target=self.act)
            self.thread.start()


@pytest.mark.promise
def test_two_machines_give_the_bytes_of_the_local_engine(cluster: Any, photos: Path, local: RunResult, tmp_path: Path) -> None:
    """Rows, prompts, adapters and answers."""
    found = run(Store(tmp_path / "ray"), settings(photos))
    assert list(found.artifacts) == list(local.artifacts), "the same fingerprints"
    assert {outcome.state for outcome in found.outcomes} == {"built"}
    assert features(found) == features(local)
    made, rows = features(found)
    assert sorted(made) == [*sorted(f"images/{name}.parquet" for name in ("errors", *TABLES)), "texts/texts.parquet"]
    assert sum(map(len, rows.values())) == 23 * 2 + 12 + 17, "each image that is none of the bad two, training ones twice"
    for digest, artifact in local.artifacts.items():
        again = found.artifacts[digest]
        assert again.verify() == []
        if artifact.stage == "adapter":
            assert _hash(again.path / "adapter.safetensors") == _hash(artifact.path / "adapter.safetensors")
    assert [row["accuracy_mean"] for row in found.results] == [row["accuracy_mean"] for row in local.results]
    (images,) = (artifact for artifact in found.artifacts.values() if artifact.stage == "images")
    assert [Path(row.path).as_posix() for row in read_errors(images.file("errors.parquet"))] == ["train/bee/3.png", "test/cat/2.png"]


@pytest.mark.promise
@pytest.mark.failure("machine of a cluster killed")
def test_a_machine_killed_in_mid_run_changes_no_byte(cluster: Any, photos: Path, local: RunResult, tmp_path: Path) -> None:
    third = cluster.add_node(**MACHINE)
    killing = Killing(8, lambda: cluster.remove_node(third, allow_graceful=False))
    result = run(Store(tmp_path / "ray"), settings(photos), killing, build=FEATURES)
    assert killing.thread, "the machine was killed before the end"
    killing.thread.join()
    assert features(result) == features(local)


@pytest.mark.thorough
def test_an_interrupted_extraction_goes_on_on_the_cluster(cluster: Any, photos: Path, local: RunResult, tmp_path: Path) -> None:
    """Begun here, stopped, gone on with there: what was done is kept."""

    class Stopped(BaseException):
        pass

    def stop() -> None:
        raise Stopped

    class Stopping(Silent):
        done = 0

        def advance(self, units: int) -> None:
            self.done += units
            if self.done == 20:
                stop()

    store = Store(tmp_path / "store")
    with pytest.raises(Stopped):
        run(store, settings(photos, engine="local", workers=0), Stopping(), build=FEATURES)
    kept = list(store.root.glob(PACKS))
    assert kept
    before = {path: path.stat().st_mtime_ns for path in kept}
    result = run(store, settings(photos), build=FEATURES)
    assert features(result) == features(local)
    assert {path: path.stat().st_mtime_ns for path in kept} == before


@pytest.mark.thorough
def test_the_command_finds_the_cluster_by_its_address_and_ends_when_told_to(
    cluster: Any, photos: Path, local: RunResult, tmp_path: Path
) -> None:
    words = ["extract", "--data", photos.name, "--model", "xmap-tiny", "--views", "1", "--batch-size", "4", "--shard-batches", "1"]
    words += ["--engine", "ray", "--store", str(tmp_path / "store")]
    environment = {**os.environ, "RAY_ADDRESS": cluster.address, "PYTHONPATH": str(Path(__file__).parents[3])}
    # A worker starts in another folder: a path that is whole here alone would not be found.
    command = {"args": [*COMMAND, *words], "cwd": photos.parent, "env": environment, "text": True, "stderr": subprocess.PIPE}
    with subprocess.Popen(**command) as told:
        while told.poll() is None and not list((tmp_path / "store").glob(PACKS)):
            time.sleep(0.01)
        told.send_signal(signal.SIGTERM)
        error = told.communicate()[1]
    assert told.returncode == 130, error
    assert "xmap: interrupted; finished parts are kept" in error
    assert "SIGTERM received" not in error
    assert "Traceback" not in error
    ran = subprocess.run(**command)
    assert ran.returncode == 0, ran.stderr
    assert "built   image features" in ran.stderr or "built   text features" in ran.stderr
    made = Store(tmp_path / "store")
    assert (tables(*(artifact.path for artifact in made.artifacts())), stored_rows(made)) == features(local)


@pytest.mark.parametrize("at_once", [True, False])
def test_a_signal_that_a_call_of_ray_swallows_is_raised_after_it(at_once: bool) -> None:
    def work() -> None:
        with _signals() as raise_unheard:
            raise_unheard()
            with contextlib.suppress(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            if at_once:
                raise_unheard()
                pytest.fail("it was not raised")

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            work()
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_file_that_changed_is_one_sentence(cluster: Any, tmp_path: Path) -> None:
    folder = write_photos(tmp_path / "photos")
    config = settings(folder)

    class Changing(Silent):
        def start(self, what: str, total: int, done: int = 0) -> None:
            # Ray begins when its first answer is asked for, which is after this.
            (folder / "test" / "ant" / "0.png").write_bytes(b"other")

    with pytest.raises(XmapError, match=r"0.png changed while features were extracted; run the same command again\.$"):
        run(Store(tmp_path / "store"), config, Changing(), build=FEATURES)


@pytest.mark.thorough
def test_an_adapter_that_cannot_be_trained_says_why_and_the_others_are_kept(
    cluster: Any, photos: Path, local: RunResult, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    shutil.copytree(next(iter(local.artifacts.values())).root / SHARED, store.root / SHARED)
    for stage in STAGES[:5]:
        for artifact in (one for one in local.artifacts.values() if one.stage == stage):
            shutil.copytree(artifact.path, store.root / stage / artifact.path.name)
    huge = settings(photos, methods="tip-adapter,xmadapter-paper").override({"methods.xmadapter-paper.width": 10**12})
    with pytest.raises(RuntimeError, match="on a worker of the engine: Traceback"):
        run(store, huge)
    assert {artifact.summary["method"] for artifact in store.artifacts("adapter")} == {"tip-adapter"}


@pytest.mark.thorough
def test_a_benchmark_spreads_its_seeds_and_methods(cluster: Any, tmp_path: Path) -> None:
    layout = write_layout(tmp_path / "layout")
    cells = {}
    for engine in ("local", "ray"):
        store = Store(tmp_path / engine)
        import_tip_adapter(store, layout, "mine", 100.0, Silent())
        grid = GridConfig(features=("mine",), shots=(1, 2), methods=("tip-adapter", "taskres"))
        jobs = jobs_of(XmapConfig().override({"run.engine": engine, "run.seeds": "1,2"}), grid)
        found = bench(store, jobs, grid.shots, Silent(), lambda outcome: None)
        assert found.failures == ()
        cells[engine] = [([(row["method"], row["accuracy_mean"]) for row in cell.results], cell.differences) for cell in found.cells]
    assert cells["ray"] == cells["local"]


@pytest.mark.thorough
def test_work_that_kills_every_worker_ends(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmap.pipeline.engines.ray_cluster.RESTARTS", 1)

    class Deadly:
        def work(self, items: Sequence[int], advance: Callable[[int], None]) -> Generator[Any]:
            os._exit(1)
            yield

    with pytest.raises(XmapError, match="a Ray worker died, 1 times over"):
        list(RayEngine(0, 1).spread(Deadly, [1], lambda units: None))


def test_a_cluster_without_room_is_refused(cluster: Any) -> None:
    with pytest.raises(InputError, match=r"has 1 GPUs and 2 CPUs for a worker \(2 machines, 0 GPUs in all\)"):
        RayEngine(1, 2).spread(lambda: None, [1], lambda units: None)  # type: ignore[arg-type, return-value]


def test_an_address_where_nothing_answers_is_refused_at_once(photos: Path, tmp_path: Path) -> None:
    words = ["extract", "--data", str(photos), "--model", "xmap-tiny", "--engine", "ray", "--store", str(tmp_path / "store")]
    environment = {**os.environ, "RAY_ADDRESS": "127.0.0.1:9"}
    ran = subprocess.run([*COMMAND, *words], env=environment, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 2
    assert "no Ray cluster can be had at '127.0.0.1:9'" in ran.stderr
    assert "Traceback" not in ran.stderr
