"""A process that has imported everything once and forks a child for each command line it is told: a run then costs what it does.

Jobs are lines of JSON on stdin, answers lines of JSON on stdout. A job: `argv`, `cwd`, `store`, `said` (where stdout and stderr of the
children go, by number), `fault` (a name of FAULTS and its argument), `times` (how many children start at one barrier) and `tracer` (a
command that follows each child, to which its number is added, or nothing). With `each` every child has an `argv` and a `fault` of its
own, and `witness` is a file that they write down in what they do to the store.
"""

from __future__ import annotations

import ctypes
import io
import json
import os
import random
import resource
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from tests.worlds.faults import Disk, Points, put_back, send, watch, witness
from tests.worlds.strace import attached

SYNC = os.fsync


def _points(act: Callable[[], None] | None) -> Callable[[int], None]:
    return lambda last: Points(last, act or (lambda: None)).install()


def _shuffle(seed: int) -> None:
    """Every listing of a folder comes in another order."""
    draw, scan, listed = random.Random(seed), os.scandir, os.listdir  # noqa: S311

    class Shuffled:
        def __init__(self, path: Any = ".") -> None:
            with scan(path) as listing:
                entries = list(listing)
            draw.shuffle(entries)
            self.entries = iter(entries)

        def __iter__(self) -> Any:
            return self

        def __next__(self) -> Any:
            return next(self.entries)

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *error: object) -> None:
            return None

        def close(self) -> None:
            return None

    def shuffled(path: Any = ".") -> list[Any]:
        names = listed(path)
        draw.shuffle(names)
        return names

    os.scandir, os.listdir = Shuffled, shuffled


def _obey_permissions(_: int) -> None:
    """Give up what lets root pass over file permissions: CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH and CAP_FOWNER."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    # Effective, permitted and inheritable, the low words of each before the high ones.
    words = (ctypes.c_uint32 * 6)()
    if libc.capget(header, words) == 0:
        words[0] &= ~0b1110
        if libc.capset(header, words) == 0:
            return
    raise OSError(ctypes.get_errno(), "capabilities cannot be given up")


def _let_trace() -> None:
    """Let any process of this user follow this one, where only a parent might."""
    PR_SET_PTRACER, ANY = 0x59616D61, ctypes.c_ulong(-1)
    ctypes.CDLL(None).prctl(PR_SET_PTRACER, ANY, 0, 0, 0)


def _room(size: int) -> None:
    """Let this process map so many bytes more than it has, as `ulimit -v` does."""
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + size, mapped + size))


class _Said(io.FileIO):
    """A stream written by a call that nothing else here uses: what fails of `write` are files, never what is said."""

    def write(self, data: Any) -> int:
        return os.writev(self.fileno(), [data])


FAULTS: dict[str, Callable[[int], None]] = {
    "none": lambda _: None,
    "kill": _points(send(signal.SIGKILL)),
    "interrupt": _points(send(signal.SIGINT)),
    "terminate": _points(send(signal.SIGTERM)),
    "full": lambda room: Disk(room).install(),
    "slow": lambda milliseconds: Points(pause=milliseconds / 1000).install(),
    "files": lambda count: resource.setrlimit(resource.RLIMIT_NOFILE, (count, count)),
    "memory": lambda megabytes: _room(megabytes << 20),
    "largest": lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    "obey": _obey_permissions,
    "shuffle": _shuffle,
    "clock": put_back,
}


def _child(job: dict[str, Any], number: int, gate: int) -> None:
    os.setsid()
    if job.get("each"):
        job = {**job, **job["each"][number]}
    if job["tracer"]:
        os.fsync = SYNC
        _let_trace()
    os.read(gate, 1)
    os.chdir(job["cwd"])
    os.environ["XMAP_STORE"] = job["store"]
    for descriptor, suffix in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{job['said']}.{number}.{suffix}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    # The streams of the server may be buffered; a child's own begin empty.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdin = os.fdopen(0)
    if job["tracer"]:
        sys.stdout, sys.stderr = (io.TextIOWrapper(_Said(number, "w"), write_through=True) for number in (1, 2))
    else:
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1, errors="backslashreplace")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    points = Points()
    watched: list[tuple[str, str]] = []
    if job["fault"][0] == "count":
        points.install()
    elif job["fault"][0] == "watch":
        watch(watched)
    else:
        FAULTS[job["fault"][0]](job["fault"][1])
    if job.get("witness"):
        witness(Path(job["witness"]))
    sys.argv = ["xmap", *job["argv"]]
    from xmap.cli.main import main

    code: Any = 1
    try:
        main()
        code = 0
    except SystemExit as error:
        code = error.code or 0
    except BaseException:
        traceback.print_exc()
    if job["fault"][0] == "count":
        print(json.dumps(points.passed), file=sys.stderr)
    if job["fault"][0] == "watch":
        print(json.dumps(watched.copy()), file=sys.stderr)
    sys.stdout.flush()
    os._exit(int(code))


def serve() -> None:
    """Answer jobs until stdin ends."""
    for line in sys.stdin:
        job = json.loads(line)
        inlet, outlet = os.pipe()
        children = []
        for number in range(job["times"]):
            child = os.fork()
            if child == 0:
                os.close(outlet)
                _child(job, number, inlet)
            children.append(child)
        tracers = [attached(job["tracer"], child) for child in children if job["tracer"]]
        os.close(inlet)
        # All wait at the pipe: closing it lets them go at once.
        os.close(outlet)
        print(json.dumps(children), flush=True)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        for tracer in tracers:
            tracer.wait()
        print(json.dumps(codes), flush=True)


def warm() -> None:
    """Do a whole run, so that all is imported that runs import, the tokenizer's sorted vocabulary too."""
    import torch

    from tests.worlds.runs import RUN, write_world
    from xmap.cli.main import app

    torch.set_num_threads(1)
    # What a killed child has written stays, synced or not.
    os.fsync = lambda descriptor: None
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        os.chdir(write_world(Path(folder)))
        for command in ([*RUN, "--quiet"], ["sql", "select 1"], ["gc"], ["verify", "--quiet"]):
            app([*command, "--store", "store"], standalone_mode=False)
        os.chdir("/")


if __name__ == "__main__":
    warm()
    print(json.dumps("ready"), flush=True)
    serve()
    # There is nothing to take down.
    os._exit(0)
