"""What a process asks of the system, as strace writes it down, and faults that strace puts into its answers.

The libraries below Python (SQLite, DuckDB, Arrow, FAISS) write files past everything that Python could watch; the system sees all.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

# All that changes files or says which file is meant. Processes that begin others are told from those that begin threads.
CALLS = (
    "open,openat,creat,close,dup,dup2,dup3,fcntl,lseek,write,pwrite64,writev,pwritev,pwritev2,ftruncate,truncate,fallocate,"
    "fsync,fdatasync,sync,syncfs,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir,"
    "copy_file_range,sendfile,fork,vfork,clone,clone3,chdir"
)
# Longer than any file that a small world writes at once.
LONGEST = 1 << 24
_LINE = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\d+|0x[0-9a-f]+|\?)(?: .*)?")
_BEGUN = re.compile(r"(\d+) +(\w+)\((.*) <unfinished \.\.\.>")
_GONE_ON = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


def _missing() -> str:
    """Why no process can be followed here; nothing where one can."""
    if shutil.which("strace") is None:
        return "strace is not installed: nothing else sees what libraries ask of the system"
    tried = subprocess.run(["strace", "-q", "-o", os.devnull, "true"], capture_output=True, text=True, check=False)  # noqa: S607
    return f"no process may be followed here: {tried.stderr.strip()}" if tried.returncode else ""


needed = pytest.mark.skipif(bool(MISSING := _missing()), reason=MISSING)


@dataclass(frozen=True)
class Call:
    """One system call that did not fail: its name, arguments as strace shows them, and its result."""

    name: str
    arguments: tuple[str, ...]
    result: int

    def number(self, place: int) -> int:
        return int(self.arguments[place], 0)

    def texts(self) -> Iterator[bytes]:
        """The strings among its arguments, in lists too: paths, and what is written."""
        for argument in self.arguments:
            for found in _TEXT.findall(argument):
                yield bytes.fromhex(found.replace("\\x", ""))


def recording(log: Path) -> list[str]:
    """The command that writes down into `log` what changes files; the process to attach to is to follow."""
    return ["strace", "-f", "-q", "-xx", "-s", str(LONGEST), "-e", f"trace={CALLS}", "-e", "signal=none", "-o", str(log), "-p"]


def failing(calls: str, error: str, when: str) -> list[str]:
    """The command that lets `calls` fail with `error`: `when` is a number for the n-th, `n+` for all from there on."""
    return ["strace", "-f", "-q", "-e", f"trace={calls}", "-e", f"inject={calls}:error={error}:when={when}", "-o", os.devnull, "-p"]


def attached(command: Sequence[str], process: int) -> subprocess.Popen[bytes]:
    """Let `command` follow the process from here on, which waits meanwhile."""
    tracer = subprocess.Popen([*command, str(process)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    status = Path(f"/proc/{process}/status")
    while "\nTracerPid:\t0\n" in status.read_text() and tracer.poll() is None:
        os.sched_yield()
    return tracer


def calls_in(log: Path) -> Iterator[Call]:
    """The calls in `log` that did not fail, in the order in which they ended."""
    begun: dict[str, str] = {}
    for line in log.read_text("ascii").splitlines():
        if match := _BEGUN.fullmatch(line):
            begun[match[1]] = f"{match[1]} {match[2]}({match[3]}"
            continue
        if match := _GONE_ON.fullmatch(line):
            line = begun.pop(match[1]) + match[3]
        if (match := _LINE.fullmatch(line)) and not match[4].startswith(("-", "?")):
            yield Call(match[2], tuple(match[3].split(", ")), int(match[4], 0))
