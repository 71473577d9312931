"""What every test shares: a store and caches of its own, and the real data where it is at hand."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

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


@pytest.fixture(autouse=True)
def own_store(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store and a home that this test alone uses; nothing is looked for on a model hub."""
    folder = tmp_path_factory.mktemp("own")
    for name in CACHES:
        monkeypatch.setenv(name, str(folder / name.lower()))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("XMAP_STORE", str(folder / "store"))
    return folder / "store"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real features and photographs, which is not part of the repository."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is not there")
    return folder
