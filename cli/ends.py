"""How a command ends: its exit code, and one sentence for what was given wrongly or what the machine cannot give."""

from __future__ import annotations

import atexit
import errno
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from types import TracebackType
from typing import Any, NoReturn, TextIO

import typer

from xmap.cli.console import say, warn
from xmap.store.errors import MemoryRefused, XmapError, is_of_memory

DONE, FOUND, WRONG, INTERRUPTED = 0, 1, XmapError.exit_code, 130
EXITS = {
    DONE: "done",
    FOUND: "done, and something is not as it should be: damage (`xmap verify`), a broken part (`xmap doctor`), an incomplete benchmark "
    "(`xmap datasets check`), one dataset of several that failed (`xmap bench`)",
    WRONG: "not done: wrong input, or something the machine lacks, with one sentence that says what to do",
    INTERRUPTED: "interrupted, with how to go on",
}

# System errors that say something about the machine or a name, and nothing about xmap.
MACHINE = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
    | {errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EBADF, errno.EFBIG, errno.EBUSY, errno.ENOLCK, errno.EOPNOTSUPP}
    | {errno.ENXIO, errno.ETIMEDOUT, errno.ENOTCONN, errno.EAGAIN}
)


def guarded(function: Callable[..., None]) -> Callable[..., None]:
    """`function` with its expected errors as one sentence and an exit code; a traceback then always means a bug."""

    @wraps(function)
    def command(*args: Any, **given: Any) -> None:
        with sentences():
            function(*args, **given)
            sys.stdout.flush()

    return command


@contextmanager
def sentences() -> Iterator[None]:
    """One sentence on stderr and `typer.Exit` for every error of the block that is no bug."""
    try:
        yield
    except KeyboardInterrupt:
        raise interrupted() from None
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough.
        _leave(sys.stdout)
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:
        sentence = _sentence(error)
        if sentence is None:
            raise
        _end(warn, sentence)
        raise typer.Exit(WRONG) from None


def interrupted() -> typer.Exit:
    """What ends a command that was told to stop."""
    _end(say, "xmap: interrupted; finished parts are kept, run the same command again to go on.")
    return typer.Exit(INTERRUPTED)


def show_bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A traceback on stderr, harmless to a terminal whatever names it holds."""
    for line in "".join(traceback.format_exception(kind, error, trace)).splitlines():
        say(line)


def open_streams() -> None:
    """Make stdin, stdout and stderr such that every name can be read and said, whatever the locale.

    One that is closed is opened on nothing: the next file would else become it. Raises `typer.Exit` where stdout is closed.
    """
    closed = sys.stdout is None
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: SIM115
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    # File names are bytes that need not be text.
    sys.stdin.reconfigure(encoding=sys.getfilesystemencoding(), errors="surrogateescape")  # type: ignore[union-attr]
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    if closed:
        warn("stdout is closed; give results a place, such as `> results.txt`.")
        raise typer.Exit(WRONG)


class QuickEnd:
    """The end of a process that leaves once all is done, and does not take torch's modules apart, which takes longer than a forward pass.

    What was registered to be done at the end later than this is done before it: made before a command is imported, it comes last.
    """

    def __init__(self) -> None:
        self._code: int | None = None
        atexit.register(self._leave)

    def with_code(self, code: Any) -> NoReturn:
        """End with an exit code."""
        self._code = code if isinstance(code, int) else None
        sys.exit(code)

    def _leave(self) -> None:
        if self._code is None or "torch" not in sys.modules:
            return
        try:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
        except (OSError, ValueError, AttributeError):
            # Closed, or nobody reads it: Python has its own way to say so.
            return
        os._exit(self._code)


def _sentence(error: Exception) -> str | None:
    """What an error says of the input or the machine; None for a bug."""
    if isinstance(error, XmapError):
        # Help and completion do not pay for it.
        from xmap.store.artifacts.removed import explained

        return str(explained(error))
    if is_of_memory(error):
        return str(MemoryRefused(error))
    if isinstance(error, OSError) and error.errno in MACHINE:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror}; mend that and run the same command again, finished parts are kept."
    return None


def _end(speak: Callable[[str], None], line: str) -> None:
    """Say the last thing; where it finds no place, as in a log on a full disk, the exit code says it."""
    with suppress(OSError):
        speak(line)
    for stream in (sys.stdout, sys.stderr):
        _leave(stream)


def _leave(stream: TextIO) -> None:
    """Where a stream takes nothing any more, let nothing be flushed into it at exit."""
    try:
        stream.flush()
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
