"""One odd store, and what every command does with it: in a child with bounds on time and memory, watched for what it touches."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.promises.strangers import FORBIDDEN, MEMORY, SECONDS, TOUCHING, WORDS, World, command, commands, wrong
from tests.worlds.odd.manifests import Odd
from tests.worlds.odd.sealed import make_odd
from xmap.store.artifacts.manifest import MANIFEST

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
            # The library of the process itself, asked to keep memory while a model works, is none that comes from elsewhere.
            if event in FORBIDDEN and (event, arguments) != ("ctypes.dlopen", (None,)):
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
