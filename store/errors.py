"""Every error xmap raises on purpose.

All of them descend from `XmapError`, carry their fields, and say in one sentence what is wrong and what to do about it.
The command line prints that sentence and exits with `exit_code`; a traceback therefore always means a bug.
"""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

# What libraries say where memory or threads are refused; each under another type of error.
NO_MEMORY = (
    "cannot allocate memory",
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "failed to map segment",
    "bad_alloc",
    "bad allocation",
    "can't start new thread",
    "resource temporarily unavailable",
)

# What the system says of itself or of a server when it is asked for a file: it passes, and says nothing of the file.
OF_MACHINE = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN}
    | {errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH}
)


def nearest(name: str, known: Iterable[str], most: int = 1) -> list[str]:
    """The names that `name` may be a slip of: case, blanks, dots, slashes and underscores count for nothing."""
    plain = {re.sub(r"[\s/._-]+", "-", word.casefold()): word for word in reversed(list(known))}
    return [plain[word] for word in difflib.get_close_matches(re.sub(r"[\s/._-]+", "-", name.casefold()), plain, most, cutoff=0.6)]


class XmapError(Exception):
    """The root: wrong input, a damaged store, a missing part. The message holds the remedy.

    >>> try:
    ...     xmap.run("pest")
    ... except xmap.XmapError as error:
    ...     print(error)
    xmap.run('pest'): there is no such path, and the store has no features of that name; give one of these.
    """

    exit_code = 2


class MemoryRefused(XmapError, MemoryError):
    """The machine, or a limit set to it, gives no more memory or threads."""

    def __init__(self, error: BaseException) -> None:
        self.detail = next(iter(str(error).strip().splitlines()), "")[:200] or type(error).__name__
        super().__init__(
            f"there is not enough memory ({self.detail}); free some, lift the limit, or take less with --batch-size and --workers."
        )


def is_of_memory(error: BaseException | None) -> bool:
    """Whether memory was refused, whatever library says so and however it wraps it."""
    while error is not None:
        told = isinstance(error, ImportError | RuntimeError | OSError) and any(words in str(error).lower() for words in NO_MEMORY)
        if isinstance(error, MemoryError) or told:
            return True
        error = error.__cause__ or error.__context__
    return False


class InputError(XmapError, ValueError):
    """Something the user gave cannot be used as it is."""


class OutputError(InputError):
    """A place that the user named for a result, and that cannot be written."""

    def __init__(self, path: Path | str, problem: str, flag: str) -> None:
        self.path, self.problem, self.flag = str(path), problem, flag
        super().__init__(f"{self.path} cannot be written: {problem}; name another with {flag}.")


class EmptyInput(InputError):
    """A place where images or rows were expected holds none."""

    def __init__(self, path: Path | str, looked_for: str, found: str) -> None:
        self.path, self.looked_for, self.found = str(path), looked_for, found
        super().__init__(f"0 images under {self.path}; looked for {looked_for}; found {found}; name the place where they are.")


class UnknownName(InputError):
    """A name that no registered entry has."""

    def __init__(self, kind: str, name: str, known: Sequence[str]) -> None:
        self.kind, self.name, self.known = kind, name, tuple(known)
        near = nearest(name, self.known)
        meant = f", did you mean {near[0]!r}" if near else ""
        super().__init__(f"unknown {kind} {name!r}{meant}; known: {', '.join(self.known) or 'none'}.")


class MethodRefused(InputError):
    """A method that cannot learn from the features it is given."""

    def __init__(self, method: str, features: str, problem: str, remedy: str) -> None:
        self.method, self.features, self.problem, self.remedy = method, features, problem, remedy
        super().__init__(f"{method} cannot learn from features {features!r}: {problem}; {remedy}.")


class PluginError(XmapError):
    """What another installed package offers to xmap cannot be used, or has failed."""

    def __init__(self, kind: str, name: str, package: str, problem: str, remedy: str) -> None:
        self.kind, self.name, self.package, self.problem, self.remedy = kind, name, package, problem, remedy
        super().__init__(f"the {kind} {name!r} of the package {package} {problem}; {remedy}")


class ArtifactMissing(XmapError, FileNotFoundError):
    """No finished artifact answers to this name or fingerprint."""

    def __init__(self, stage: str, name: str, remedy: str) -> None:
        self.stage, self.name, self.remedy = stage, name, remedy
        super().__init__(f"no {stage} artifact {name!r} in the store; {remedy}")


class StoreMissing(ArtifactMissing):
    """There is no store where one is to be read."""

    def __init__(self, path: Path | str, problem: str = "") -> None:
        self.path, self.problem = str(path), problem
        detail = f" ({problem})" if problem else ""
        XmapError.__init__(self, f"there is no store at {self.path}{detail}; `xmap run` makes one, and --store DIR names another.")


class LocksMissing(XmapError):
    """The file system under the store cannot lock files."""

    def __init__(self, path: Path | str) -> None:
        self.path = str(path)
        super().__init__(
            f"the file system under {self.path} has no file locks, without which two runs could write over each other; "
            "choose a store on another with --store DIR."
        )


class ArtifactRemoved(ArtifactMissing):
    """An artifact was there when a command began, and another process has removed it."""

    def __init__(self, folder: Path | str) -> None:
        self.path = str(folder)
        XmapError.__init__(self, f"{self.path} was removed meanwhile, as by `xmap gc`; run the same command again.")


class ArtifactDamaged(XmapError):
    """A file of an artifact is missing, cut short or altered."""

    def __init__(self, path: Path | str, problem: str, remedy: str) -> None:
        self.path, self.problem, self.remedy = str(path), problem, remedy
        super().__init__(f"{self.path} is damaged: {problem}; {remedy}")


class SchemaMismatch(XmapError):
    """An artifact was written by another schema version than this xmap reads."""

    def __init__(self, path: Path | str, found: int, expected: int, remedy: str) -> None:
        self.path, self.found, self.expected = str(path), found, expected
        super().__init__(f"{self.path} has schema version {found}, this xmap reads {expected}; {remedy}")


class StoreFull(XmapError, OSError):
    """The disk under the store has no room left."""

    def __init__(self, path: Path | str, needed: int | None, free: int) -> None:
        self.path, self.needed, self.free = str(path), needed, free
        wanted = f"needs at least {needed:,} bytes" if needed is not None else "needs more room"
        XmapError.__init__(
            self,
            f"the disk is full: {self.path} {wanted}, {free:,} are free; "
            "free some space and run the same command again, finished parts are kept.",
        )

    def __str__(self) -> str:
        return str(self.args[0])


class MachineRefused(XmapError, OSError):
    """The machine, or a server that has the disk, does not give a file now."""

    def __init__(self, path: Path | str, error: OSError) -> None:
        self.path, self.problem = str(path), error.strerror or str(error)
        XmapError.__init__(
            self,
            f"{self.path} is not given now ({self.problem}), which says nothing of the file; "
            "mend that and run the same command again, finished parts are kept.",
        )

    def __str__(self) -> str:
        return str(self.args[0])


def require_of_file(path: Path | str, error: BaseException) -> None:
    """Raise `MemoryRefused` or `MachineRefused` where an error over the file at `path` says nothing of it: it is no damage."""
    if is_of_memory(error):
        raise MemoryRefused(error) from error
    if isinstance(error, OSError) and error.errno in OF_MACHINE:
        raise MachineRefused(path, error) from error


class StoreDenied(XmapError, PermissionError):
    """The store cannot be written or read by this user."""

    def __init__(self, path: Path | str) -> None:
        self.path = str(path)
        XmapError.__init__(self, f"no permission to write {self.path}; change its owner or choose another store with --store DIR.")

    def __str__(self) -> str:
        return str(self.args[0])


class NotPlain(XmapError, OSError):
    """Where a file should be lies something else: a link, a FIFO, a device, a folder, or more bytes than are read at once."""

    def __init__(self, path: Path | str, problem: str) -> None:
        self.path, self.problem = str(path), problem
        XmapError.__init__(self, f"{self.path} is not read: {problem}; put a plain file in its place.")
        # What callers who speak of any `OSError` say.
        self.strerror = problem

    def __str__(self) -> str:
        return str(self.args[0])


class StoreBusy(XmapError):
    """Another process works in the store, which somebody wants for himself."""

    def __init__(self, path: Path | str) -> None:
        self.path = str(path)
        super().__init__(f"another xmap is at work in {self.path}; run the same command again when it has finished.")


class QueryError(InputError):
    """A SQL query that does not parse, does not bind, or asks for more than the views."""
