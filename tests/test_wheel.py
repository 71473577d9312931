"""The wheel holds all of xmap below `xmap/`, and works beside a user's own modules of the names that its parts have."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("cli", "pipeline", "stages", "store")
# What the wheel is built from.
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "xmap", *PACKAGES)
NEEDED = 77
OWN = "raise ImportError('this is the user\\'s own file')\n"

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("setuptools") is None or int(version("setuptools").split(".")[0]) < NEEDED,
    reason=f"the wheel is built by the environment's setuptools, which needs to be {NEEDED} or newer",
)


@dataclass(frozen=True)
class Installed:
    """The names in the wheel, the folder it is unpacked in, and a folder of a user with modules of their own."""

    names: frozenset[str]
    target: Path
    home: Path

    def python(self, *words: str) -> str:
        """What Python prints in the user's folder, with the wheel's xmap before any other."""
        environment = {**os.environ, "PYTHONPATH": str(self.target)}
        run = subprocess.run([sys.executable, *words], cwd=self.home, env=environment, capture_output=True, text=True, timeout=120)
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    # Of a copy: what an earlier build left in `build/` would be taken for a part of this one.
    source, out, target, home = (tmp_path_factory.mktemp(name) for name in ("source", "out", "target", "home"))
    for name in SOURCES:
        _copy(ROOT / name, source / name)
    _run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", "-w", str(out), str(source)])
    (wheel,) = out.glob("xmap-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
        names = frozenset(archive.namelist())
    for own in ("store.py", "stages.py", "cli.py", "pipeline/__init__.py"):
        (home / own).parent.mkdir(exist_ok=True)
        (home / own).write_text(OWN)
    return Installed(names, target, home)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def _run(words: Sequence[str]) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_file_is_in_the_wheel_and_nothing_beside_xmap(installed: Installed) -> None:
    inside = {f"xmap/{path.relative_to(ROOT).as_posix()}" for name in PACKAGES for path in (ROOT / name).rglob("*") if path.is_file()}
    own = {path.relative_to(ROOT).as_posix() for path in (ROOT / "xmap").iterdir() if path.is_file()}
    expected = {name for name in inside | own if "__pycache__" not in name}
    assert {name for name in installed.names if ".dist-info/" not in name} == expected
    assert {Path(name).suffix for name in expected} >= {".py", ".js", ".css", ".json", ".safetensors", ".toml", ".typed"}
    assert {name.split("/")[0].partition("-")[0] for name in installed.names} == {"xmap"}


def test_it_works_beside_modules_of_the_user(installed: Installed) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert installed.python("-m", "xmap", "--version").split()[-1] == project["version"]
    where = installed.python("-c", "import xmap.pipeline.settings.config as module; print(module.__file__)").strip()
    assert Path(where).is_relative_to(installed.target)


def test_it_extracts_beside_modules_of_the_user(installed: Installed) -> None:
    """With the model, the template and the views of the demo."""
    for name in ("zero/1.png", "zero/2.png", "one/1.png", "one/2.png"):
        path = installed.home / "digits" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(len(name)).integers(0, 255, (32, 32, 3), np.uint8)).save(path)
    flags = ["--data", "digits", "--model", "xmap-tiny", "--template", "a photo of the digit {}.", "--views", "0", "--quiet"]
    installed.python("-m", "xmap", "extract", *flags, "--store", "results")
    stored = {path.parent.name for path in (installed.home / "results").glob("*/*") if path.is_dir()}
    assert stored >= {"images", "texts"}
