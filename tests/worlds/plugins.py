"""Packages of others that offer methods and sources: written as an installer leaves them, in a folder that Python looks in."""

from __future__ import annotations

import importlib
import shutil
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from xmap.cli.main import COMMANDS
from xmap.stages.plugins import METHODS, installed

ROOT = Path(__file__).resolve().parents[2]
# A method of another package, in one file: zero-shot, with a tensor.
METHOD = """
from xmap.stages.methods.protocol import Fitted, Scores, Selection
from xmap.stages.methods.registry import Contents, MethodEntry
from xmap.stages.methods.searched import MethodOptions
ENTRY = MethodEntry(MethodOptions, __name__, contents=Contents({"weights": ("N", "C")}))
def fit(task, options, settings, log):
    return Fitted({"weights": task.text.weights.clone()}, {}, Selection("nothing (fixed defaults)"))
def scores(fitted, cache, features, retrieved=None):
    return Scores(cache.text.logit_scale * features @ fitted.tensors["weights"].T)
"""


def write_package(folder: Path, package: str, offers: Mapping[str, Mapping[str, str]], version: str = "1.0") -> None:
    """The metadata of an installed package; `offers` are names and objects of each group."""
    info = folder / f"{package.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    lines = [line for group, names in offers.items() for line in (f"[{group}]", *(f"{name} = {where}" for name, where in names.items()))]
    (info / "entry_points.txt").write_text("\n".join(lines))


def write_method(folder: Path, name: str = "strange", code: str = METHOD, package: str = "acme", version: str = "1.0") -> None:
    """A package whose one module offers one method."""
    module = f"{package.replace('-', '_')}_module"
    write_package(folder, package, {METHODS: {name: f"{module}:ENTRY"}}, version)
    (folder / f"{module}.py").write_text(code)


def write_example(folder: Path, name: str) -> None:
    """One of the packages in `examples/`."""
    source = ROOT / "examples" / name
    project: Any = tomllib.loads((source / "pyproject.toml").read_text("utf-8"))["project"]
    write_package(folder, project["name"], project["entry-points"], project["version"])
    shutil.copytree(source, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("pyproject.toml", "__pycache__"))


@contextmanager
def looked_in(folder: Path) -> Iterator[Path]:
    """Python looks in the folder first, and forgets afterwards what it imported from there."""
    # Their help is made once: later tests of this process want it without what is in the folder.
    for module, _ in COMMANDS.values():
        importlib.import_module(f"xmap.cli.{module}")
    sys.path.insert(0, str(folder))
    installed.cache_clear()
    try:
        yield folder
    finally:
        sys.path.remove(str(folder))
        installed.cache_clear()
        for name in [name for name, module in sys.modules.items() if str(getattr(module, "__file__", None)).startswith(str(folder))]:
            del sys.modules[name]
