"""Commands on odd stores, each store in a forked child of a warm process: what ended otherwise than it should, and where it reached.

The child gives up what it may not have: time, memory, and by an audit hook every file, process and connection outside its own places.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.worlds.odd.manifests import Odd
from tests.worlds.runs import FEATURES, write_world
from xmap.store.artifacts.manifest import MANIFEST

ROOT = Path(__file__).resolve().parents[2]
SECONDS, MEMORY = 30, 4 << 30
WORDS = "the words of somebody else"
QUERIES = (
    *(f"from {view}" for view in ("samples", "features", "errors", "affinity", "neighbors", "predictions", "artifacts", "runs")),
    *("methods", "confusions", "label-suspects", "gamma-by-class", "hardest-samples", "confident-mistakes", "leaks", "duplicates"),
)
EPOCHS = ["--set", "methods.tip-adapter-f.epochs=2", "--set", "methods.xmadapter.epochs=2", "--set", "text.context_epochs=1"]
RUNS = (
    ["--methods", "zero-shot,tip-adapter,tip-adapter-f,xmadapter", "--shots", "2"],
    ["--methods", "tip-adapter", "--shots", "1", "--top-k", "2"],
    ["--methods", "tip-x,ape,gda,clip-adapter,xmadapter-paper", "--shots", "1", "--text", "coop"],
)
FORBIDDEN = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect", "socket.bind", "ctypes.dlopen")
TOUCHING = ("open", "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "shutil.rmtree")


@dataclass(frozen=True)
class World:
    """A folder to give commands in, and its store, of which each case has a copy."""

    folder: Path
    places: tuple[str, ...]

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @cached_property
    def lineages(self) -> list[frozenset[Path]]:
        """For each evaluation the folders below the store of all that it was made from, and its own."""
        manifests = {path.parent: json.loads(path.read_bytes()) for path in sorted(self.store.glob(f"*/*/{MANIFEST}"))}
        folders = {manifest["fingerprint"]: folder for folder, manifest in manifests.items()}
        found = []
        for evaluation in sorted(self.store.glob("eval/*")):
            # Features are named by their parts.
            pending = [evaluation, *self.store.glob("images/*"), *self.store.glob("texts/*")]
            for folder in pending:
                pending += [folders[digest] for digest in manifests[folder]["inputs"].values() if digest in folders]
            found.append(frozenset(folder.relative_to(self.store) for folder in pending))
        return found


def build(folder: Path) -> World:
    """A store of three runs that hold every stage. What these import is imported for all cases."""
    write_world(folder)
    with inside(folder):
        for number, flags in enumerate(RUNS):
            given = [*FEATURES, *flags, "--seeds", "1", *EPOCHS, "--store", "store"]
            assert command("run", *given).code == 0, number
        for argv in (["report"], ["sql", "from runs"], ["gc"], ["export", "warm"], ["predict", "photos", "--adapter", "warm", "--json"]):
            assert command(*argv, "--store", "store").code == 0, argv
    (folder / "photo.png").write_bytes(next((folder / "photos").rglob("*.png")).read_bytes())
    packages = [sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(), str(ROOT), str(Path(str(importlib.util.__file__)).parent)]
    specs = (importlib.util.find_spec(name) for name in ("torch", "pydantic", "rich", "open_clip"))
    packages += [str(Path(str(spec.origin)).resolve().parents[1]) for spec in specs if spec]
    return World(folder, tuple(sorted({os.path.realpath(path) for path in packages})))


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


# ---- one command


@dataclass(frozen=True)
class Said:
    code: Any
    out: str
    err: str
    trace: str = ""


def command(*argv: str) -> Said:
    """A command line, in this process."""
    import click

    from xmap.cli.main import app

    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    code, trace = 0, ""
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = app(list(argv), standalone_mode=False) or 0
        except (click.ClickException, SystemExit) as error:
            code = getattr(error, "exit_code", getattr(error, "code", 2))
        except BaseException:
            trace = traceback.format_exc()
    texts = [stream.buffer.getvalue().decode("utf-8", "replace") for stream in (out, err)]  # type: ignore[attr-defined]
    return Said(code, texts[0], texts[1], trace)


def commands(odd: Odd, case: Path) -> list[list[str]]:
    """What is done with a store whose artifact `odd.folder` is odd."""
    name, stage, draw = odd.folder.name, odd.folder.parent.name, odd.draw
    adapter, evaluation, other = (draw.choice(sorted((odd.store / kind).iterdir())).name for kind in ("adapter", "eval", stage))
    if stage in ("adapter", "eval"):
        adapter, evaluation = (name if stage == "adapter" else adapter), (name if stage == "eval" else evaluation)
    flags = draw.choice(RUNS)
    listed = [
        ["verify", "--quiet"],
        ["status", *draw.choice(([], ["--json"], [*FEATURES, "--shots", "2"], ["--features", "photos-model", "--shots", "2"]))],
        ["show", f"{stage}/{name}", *draw.choice(([], ["--json"]))],
        ["sql", "--format", draw.choice(("json", "csv", "table")), draw.choice(QUERIES)],
        ["report", evaluation, "-o", str(case / "report.html")],
        ["predict", "photo.png", "--adapter", adapter, "--model", "local-dir:model", "--json", "--explain", "--sets", "0.9"],
        ["export", str(case / "exported"), "--adapter", adapter],
        ["diff", f"{stage}/{name}", f"{stage}/{other}"],
        ["gc", *draw.choice(([], [*FEATURES, "--shots", "2"], ["--yes"]))],
    ]
    if draw.random() < 0.2:
        working = [draw.choice(("run", "eval", "train", "build-cache")), *FEATURES, *flags, "--seeds", "1", *EPOCHS, "--quiet"]
        stored = ["run", "--features", "photos-model", "--methods", "tip-adapter", "--seeds", "2", "--shots", "1", "--quiet"]
        listed.insert(-1, draw.choice((working, working, stored)))
    return [[*argv, "--store", str(odd.store)] for argv in listed]


def wrong(said: Said) -> Iterator[str]:
    """What is not as it should be about how a command ended."""
    if said.trace:
        yield said.trace
    elif said.code not in (0, 1, 2):
        yield f"exit code {said.code!r}"
    lines = [line for line in said.err.splitlines() if line.strip()]
    if said.code == 2 and not said.trace and not any(line.startswith(("xmap: ", "Usage", "Error")) for line in lines):
        yield f"no sentence: {said.err[-500:]!r}"
    if WORDS in said.out or WORDS in said.err:
        yield "it told somebody else's words"
    if any(sign in said.out + said.err for sign in "\x1b\x07\u202e"):
        yield "an escape sequence reached the terminal"
