"""Commands on odd stores, each store in a forked child of a warm process: what ended otherwise than it should, and where it reached.

The child gives up what it may not have: time, memory, and by an audit hook every file, process and connection outside its own places.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import random
import resource
import shutil
import signal
import sys
import sysconfig
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.promises.worlds import FEATURES, write_world
from tests.worlds.odd.manifests import Odd
from tests.worlds.odd.sealed import make_odd
from xmap.store.artifacts.manifest import MANIFEST

ROOT = Path(__file__).resolve().parents[2]
SECONDS, MEMORY = 30, 4 << 30
WORDS = "the words of somebody else"
QUERIES = (
    *(f"from {view}" for view in ("samples", "features", "errors", "affinity", "neighbors", "predictions", "artifacts", "runs")),
    *("methods", "confusions", "label-suspects", "gamma-by-class", "hardest-samples", "confident-mistakes"),
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
        ["predict", "photo.png", "--adapter", adapter, "--model", "local-dir:model", "--json", "--explain"],
        ["export", str(case / "exported"), "--adapter", adapter],
        ["diff", f"{stage}/{name}", f"{stage}/{other}"],
        ["gc", *draw.choice(([], [*FEATURES, "--shots", "2"], ["--yes"]))],
    ]
    if draw.random() < 0.2:
        working = [draw.choice(("run", "eval", "train", "build-cache")), *FEATURES, *flags, "--seeds", "1", *EPOCHS, "--quiet"]
        stored = ["run", "--features", "photos-model", "--methods", "tip-adapter", "--seeds", "2", "--shots", "1", "--quiet"]
        listed.insert(-1, draw.choice((working, working, stored)))
    return [[*argv, "--store", str(odd.store)] for argv in listed]


# ---- a store that is removed meanwhile


def while_removed(world: World, folder: Path, argv: Sequence[str], number: int) -> list[str]:
    """What goes wrong with a command while whose `number`-th file is opened every artifact is removed as `gc` does."""
    shutil.copytree(world.store, folder / "store", copy_function=os.link)
    (folder / "temporary").mkdir()
    return _in_child(world, folder, [[*argv, "--store", str(folder / "store")]], number)


def _removing(store: Path, number: int) -> None:
    left = [number]

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and str(arguments[0]).startswith(str(store)):
            left[0] -= 1
            if left[0] == 0:
                # Manifests first.
                for path in sorted(store.glob(f"*/*/{MANIFEST}")):
                    path.unlink()
                    shutil.rmtree(path.parent)

    sys.addaudithook(watch)


# ---- one case


def case(world: World, folder: Path, number: int, most: int = 10) -> list[str]:
    """What went wrong with the odd store of this number, through `most` commands: nothing, it is to be hoped.

    `folder` is used for it alone. The store is an evaluation and all it was made from, and another artifact to compare with.
    """
    draw = random.Random(number)  # noqa: S311
    kept = draw.choice(world.lineages)
    chosen = draw.choice(sorted(kept))
    others = [path for lineage in world.lineages for path in sorted(lineage - kept) if path.parent == chosen.parent]
    for path in sorted({*kept, *draw.sample(others, min(1, len(others)))}):
        shutil.copytree(world.store / path, folder / "store" / path, copy_function=os.link)
    shutil.copytree(world.store / "locks", folder / "store" / "locks")
    shutil.copyfile(world.store / "hashes.sqlite", folder / "store" / "hashes.sqlite")
    victim = folder / "victim"
    victim.mkdir()
    (victim / "secret").write_text(WORDS)
    (folder / "temporary").mkdir()
    odd = Odd(folder / "store", folder / "store" / chosen, victim, draw)
    make_odd(odd)
    listed = commands(odd, folder)
    found = _in_child(world, folder, listed if most >= len(listed) else draw.sample(listed, most))
    if sorted(path.name for path in victim.iterdir()) != ["secret"] or (victim / "secret").read_text() != WORDS:
        found.append("somebody else's files changed")
    more = {path.name for path in folder.iterdir()} - {"exported", "report.html", "said.json", "store", "temporary", "victim"}
    if more or any((folder / "temporary").iterdir()):
        found.append(f"something was left behind: {sorted(more)}")
    return [f"case {number}, {chosen}: {'; '.join(odd.done)}: {problem}" for problem in found]


def _in_child(world: World, folder: Path, listed: Sequence[Sequence[str]], removed: int = 0) -> list[str]:
    said = folder / "said.json"
    said.write_text(json.dumps({"problems": ["it did not begin"], "at": ""}))
    child = os.fork()
    if child == 0:
        try:
            _bounded()
            if removed:
                _removing(folder / "store", removed)
            _try_all(world, folder, listed, said, bool(removed))
        finally:
            os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    told: dict[str, Any] = json.loads(said.read_text())
    problems: list[str] = told["problems"]
    return problems if status == 0 else [*problems, f"ended by {status} in {told['at']}"]


def _bounded() -> None:
    import torch

    torch.set_num_threads(1)
    sys.modules["faiss"].omp_set_num_threads(1)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(SECONDS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))


def _try_all(world: World, folder: Path, listed: Sequence[Sequence[str]], said: Path, removed: bool) -> None:
    problems: list[str] = []
    reached = _watched(world, folder)
    os.chdir(world.folder)
    tempfile.tempdir = str(folder / "temporary")
    for argv in listed:
        _keep(said, problems, argv)
        result = command(*argv)
        problems += [f"{' '.join(argv)}: {problem}" for problem in wrong(result)]
        if removed and " is damaged" in result.out + result.err:
            problems.append(f"{' '.join(argv)}: {result.out} {result.err}")
        problems += [f"{' '.join(argv)}: reached {place}" for place in reached]
        reached.clear()
    _keep(said, problems, ())


def _keep(said: Path, problems: list[str], argv: Sequence[str]) -> None:
    descriptor = os.open(said, os.O_WRONLY | os.O_TRUNC)
    os.write(descriptor, json.dumps({"problems": problems, "at": " ".join(argv)}).encode("ascii", "backslashreplace"))
    os.close(descriptor)


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


def _watched(world: World, folder: Path) -> list[str]:
    """A list that fills with what this process touches outside its places, from now on."""
    reached: list[str] = []
    allowed = (
        str(folder),
        str(world.folder),
        *world.places,
        os.environ.get("XDG_STATE_HOME", str(Path.home() / ".local" / "state")),
        "/proc/",
        "/sys/",
        "/dev/null",
        "/dev/urandom",
        "/usr/share/zoneinfo",
        "/etc/",
    )
    busy = [False]

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if busy[0] or (event not in TOUCHING and event not in FORBIDDEN):
            return
        busy[0] = True
        try:
            if event in FORBIDDEN:
                reached.append(f"{event} {arguments[:2]!r}")
            for path in arguments[: 2 if event in ("os.rename", "os.link", "os.symlink") else 1]:
                if isinstance(path, str | bytes | os.PathLike):
                    real = os.path.realpath(os.fsdecode(path))
                    if not real.startswith(allowed) or real.startswith(str(folder / "victim")):
                        reached.append(f"{event} {real}")
        finally:
            busy[0] = False

    sys.addaudithook(watch)
    return reached
