"""What every test shares: a store and caches of its own, and the real data where it is at hand."""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.worlds.s3 import Bucket, environment, server

# The same examples in every run, so that a red test is red again; nothing is written beside the sources.
settings.register_profile("xmap", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("xmap")

SHOWN = ("torch", "open_clip_torch", "faiss-gpu", "faiss-cpu", "duckdb", "pyarrow")
CACHES = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "HF_HOME", "TORCH_HOME")


def pytest_report_header() -> str:
    found = []
    for library in SHOWN:
        try:
            found.append(f"{library} {version(library)}")
        except PackageNotFoundError:
            continue
    return "xmap with " + ", ".join(found)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A cluster first: the head of a queue is not handed to the other process, so only one has a cluster on this machine."""
    items.sort(key=lambda item: item.get_closest_marker("cluster") is None)


@pytest.fixture(scope="session", autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What xmap notes of this machine is kept apart, and for the whole session: stores are shared by the tests of a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        # What a process has written stays when it ends, synced or not: no test takes the power away.
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(autouse=True)
def own_store(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store and a home that this test alone uses; nothing is looked for on a model hub."""
    folder = tmp_path_factory.mktemp("own")
    for name in CACHES:
        monkeypatch.setenv(name, str(folder / name.lower()))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("XMAP_STORE", str(folder / "store"))
    return folder / "store"


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder of its own, and no root's rights while the test runs: root may read and list everything."""
    with tempfile.TemporaryDirectory(prefix="xmap-") as name:
        folder = Path(name)
        if os.geteuid() != 0:
            yield folder
            return
        nobody = 65534
        os.chown(folder, nobody, nobody)
        os.seteuid(nobody)
        try:
            yield folder
        finally:
            os.seteuid(0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real features and photographs, which is not part of the repository."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is not there")
    return folder


# ---- how many failures were tried: `@pytest.mark.failure("kind")` on a test, and `with case():` around each one in a loop


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--failures", metavar="FILE", help="write how many failures of each kind were tried, and how many lost something")


@pytest.fixture
def case(request: pytest.FixtureRequest) -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """`with case():` is one failure tried, of the kind that the test's `failure` mark names."""
    count: Counter[str] = Counter()

    @contextmanager
    def one() -> Iterator[None]:
        count["cases"] += 1
        try:
            yield
        except BaseException:
            count["lost"] += 1
            raise

    yield one
    request.node.user_properties.append(("cases", dict(count)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    mark = item.get_closest_marker("failure")
    if mark:
        item.user_properties.append(("failure", mark.args[0]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Sum up the kinds: a test without `case` is one case."""
    target = config.getoption("--failures")
    if not target:
        return
    tried: dict[str, Counter[str]] = {}
    reports = [report for outcome in ("", "passed", "failed", "error") for report in terminalreporter.stats.get(outcome, ())]
    failed = {report.nodeid for report in reports if report.failed}
    # The properties are complete once the fixtures have been taken down.
    for report in reports:
        found = dict(report.user_properties)
        if report.when == "teardown" and "failure" in found:
            whole = {"cases": 1, "lost": int(report.nodeid in failed)}
            tried.setdefault(found["failure"], Counter()).update(found.get("cases") or whole)
    Path(target).write_text(json.dumps(tried, indent=1, sort_keys=True))


# ---- a server that speaks S3


@pytest.fixture(scope="session")
def s3_address() -> Iterator[str]:
    """The address of a real S3-compatible server."""
    with server() as address:
        yield address


@pytest.fixture
def bucket(s3_address: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A bucket on it, with credentials in the environment of this test alone."""
    for name, value in environment(s3_address).items():
        monkeypatch.setenv(name, value)
    return Bucket()
