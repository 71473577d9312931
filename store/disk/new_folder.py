"""Folders that a user names a place for: they are there whole or not at all, and take the place of nothing but an empty folder."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xmap.store.disk.files import make_folder, sync, sync_tree
from xmap.store.disk.leftovers import TEMPORARY, claimed, clear, temporary_prefix
from xmap.store.errors import OutputError


class NewFolder:
    """A folder to write, named with the flag `flag`. Making one raises `OutputError` where there is something in it already."""

    def __init__(self, named: Path | str, flag: str) -> None:
        self.name, self.flag = os.fspath(named), flag
        try:
            self.path = Path(named).resolve()
            problem = _problem(self.path)
        except (OSError, RuntimeError, ValueError) as error:
            raise self._refused(getattr(error, "strerror", None) or "its links lead in a circle") from error
        if problem:
            raise self._refused(problem)

    @contextmanager
    def open(self) -> Iterator[Path]:
        """A folder to fill, which has the name when the block ends; where it raises nothing is left of it. Raises `OutputError`."""
        clear(self.path)
        partial = self.path.with_name(f"{temporary_prefix(self.path)}{secrets.token_hex(8)}{TEMPORARY}")
        make_folder(partial, self.flag)
        try:
            with claimed(partial):
                yield partial
            try:
                sync_tree(partial)
                partial.rename(self.path)
                sync(self.path.parent)
            except OSError as error:
                raise self._refused(str(error.strerror)) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _refused(self, problem: str) -> OutputError:
        return OutputError(self.name, problem, self.flag)


def _problem(path: Path) -> str:
    """Why nothing can be written there; empty where it can."""
    if not path.exists():
        above = next(parent for parent in path.parents if parent.exists())
        return "" if above.is_dir() else f"{above} is no folder"
    if not path.is_dir():
        return "it is a file"
    if any(path.iterdir()):
        return "it is not empty"
    # A folder takes the place of another whole: whoever is in that one is then nowhere.
    return "it is the folder you are in" if Path.cwd().is_relative_to(path) else ""
