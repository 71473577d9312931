"""The lowest and the newest libraries that pyproject.toml allows: each reads what the other and today's environment wrote.

    make versions

Environments are made by pip, a gigabyte or more each, so this is nobody's quick test: `XMAP_VERSIONS` names a folder that keeps them.
`XMAP_PYTHONS` lists interpreters for the newest libraries beside this one, as `python3.12:python3.13`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from tests.worlds.runs import RUN, write_world

pytestmark = [pytest.mark.versions, pytest.mark.timeout(3600)]
ROOT = Path(__file__).resolve().parents[2]
FROZEN = ROOT / "tests" / "data" / "v1"
BOUND = re.compile(r"([\w-]+)(?:\[[^\]]*\])?>=([\d.]+)")
OTHERS = [name for name in os.environ.get("XMAP_PYTHONS", "").split(":") if name]
KINDS = ("today", "lowest", "newest", *(f"newest {name}" for name in OTHERS))
SAID = "select method, sample_id, predicted, round(probability, 4) as p from predictions order by all"


def lowest() -> str:
    """The lower bounds of pyproject.toml as pip's constraints."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    bounds = [BOUND.match(entry) for entry in listed]
    return "\n".join(f"{found[1]}=={found[2]}" for found in bounds if found)


@dataclass(frozen=True)
class Environment:
    """Python with xmap and its libraries in it."""

    kind: str
    python: Path

    @cached_property
    def versions(self) -> Mapping[str, str]:
        """What is installed, by name."""
        code = "import json, importlib.metadata as m; print(json.dumps({d.name.lower(): d.version for d in m.distributions()}))"
        found: dict[str, str] = json.loads(subprocess.check_output([self.python, "-c", code], text=True))
        return found

    def xmap(self, *argv: str, cwd: Path, store: Path) -> str:
        """What a command prints. Fails where it does."""
        code = "import sys; from xmap.cli.main import main; sys.exit(main())"
        environment = {**os.environ, "XMAP_STORE": str(store), "NO_COLOR": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
        ended = subprocess.run([self.python, "-c", code, *argv], cwd=cwd, env=environment, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, (self.kind, argv, ended.stderr)
        return ended.stdout

    def asked(self, cwd: Path, store: Path) -> list[dict[str, Any]]:
        """What its SQL says of the predictions in a store."""
        rows: list[dict[str, Any]] = json.loads(self.xmap("sql", SAID, "--json", cwd=cwd, store=store))
        return rows


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    named = os.environ.get("XMAP_VERSIONS")
    return Path(named).absolute() if named else tmp_path_factory.mktemp("versions")


def made(kept: Path, kind: str) -> Environment:
    """The environment of a kind, installed where it is not there yet."""
    if kind == "today":
        return Environment(kind, Path(sys.executable))
    folder = kept / kind.replace("/", "_").replace(" ", "-")
    python = folder / "bin" / "python"
    if not (folder / ".installed").exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([kind.partition(" ")[2] or sys.executable, "-m", "venv", folder], check=True)
        constraints = folder / "constraints.txt"
        constraints.write_text(lowest() if kind == "lowest" else "")
        words = ["-m", "pip", "install", "--quiet", "-c", constraints, "--editable", ROOT, "pytest", "hypothesis"]
        subprocess.run([python, *words], check=True)
        (folder / ".installed").touch()
    return Environment(kind, python)


@pytest.fixture(scope="session")
def stores(kept: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, tuple[Environment, Path]]]:
    """A world, and each environment with the store of a run that it made there."""
    world = write_world(tmp_path_factory.mktemp("world"))
    found: dict[str, tuple[Environment, Path]] = {}
    for kind in KINDS:
        environment, store = made(kept, kind), tmp_path_factory.mktemp("store") / "store"
        environment.xmap(*RUN, "--quiet", cwd=world, store=store)
        found[kind] = environment, store
    return world, found


def test_the_lowest_are_the_bounds_of_the_project(kept: Path) -> None:
    versions = made(kept, "lowest").versions
    for name, bound in (line.split("==") for line in lowest().splitlines()):
        if name in versions:
            assert (versions[name].split("+")[0] + ".").startswith(bound + "."), name


@pytest.mark.parametrize("reader", KINDS)
@pytest.mark.parametrize("writer", KINDS)
def test_each_reads_what_another_wrote(
    stores: tuple[Path, dict[str, tuple[Environment, Path]]], tmp_path: Path, writer: str, reader: str
) -> None:
    world, made_in = stores
    (one, written), (other, _) = made_in[writer], made_in[reader]
    store = tmp_path / "store"
    shutil.copytree(written, store)
    assert "no damage found" in other.xmap("verify", "--quiet", cwd=world, store=store)
    assert other.asked(world, store) == one.asked(world, written)
    artifacts = {path.parent.name for path in store.glob("*/*/manifest.json")}
    other.xmap(*RUN, "--quiet", cwd=world, store=store)
    # It uses what is there: nothing that it would have to build is told apart by who built it.
    assert {path.parent.name for path in store.glob("*/*/manifest.json")} == artifacts
    other.xmap("predict", "photos/test", "--model", "local-dir:model", "--device", "cpu", "--quiet", cwd=world, store=store)


@pytest.mark.parametrize("kind", KINDS)
def test_each_reads_the_store_of_the_first_version(kept: Path, tmp_path: Path, kind: str) -> None:
    environment = made(kept, kind)
    shutil.copytree(FROZEN / "store", tmp_path / "store")
    for question, answers in json.loads((FROZEN / "answers.json").read_text()).items():
        found = json.loads(environment.xmap("sql", question, "--json", cwd=tmp_path, store=tmp_path / "store"))
        assert found == answers, (kind, question)
    assert "no damage found" in environment.xmap("verify", "--quiet", cwd=tmp_path, store=tmp_path / "store")
