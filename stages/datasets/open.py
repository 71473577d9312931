"""The registry of data sources. Another kind of source is one module with a `Source` and its entry in `SOURCES`."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from stages.config import DataConfig
from stages.datasets.coop import CoopSource
from stages.datasets.dataset import Dataset
from stages.datasets.folder import FolderSource
from stages.datasets.table import TableSource
from store.errors import InputError


class Source(Protocol):
    """A kind of data: what it looks like and how it is read."""

    def matches(self, path: Path) -> bool:
        """Whether `path` is data of this kind: something that exists, or a name with a scheme of its own."""

    def read(self, config: DataConfig, name: str) -> Dataset:
        """The dataset at `config.data`, called `name`. Raises `InputError`."""


# The first that matches reads.
SOURCES: tuple[Source, ...] = (CoopSource(), TableSource(), FolderSource())


def open_dataset(config: DataConfig, name: str | None = None) -> Dataset:
    """The dataset at `config.data`; its name is `name` or that of the file or folder. Raises `InputError`."""
    if not config.data:
        raise InputError("no data is given; point --data at a folder of class folders, or at a CSV or Parquet table.")
    path = Path(config.data)
    for source in SOURCES:
        if source.matches(path):
            return source.read(config, name or (path.stem if path.is_file() else path.resolve().name))
    if not path.exists():
        raise InputError(f"--data {path} does not exist; give a folder of class folders, or a CSV or Parquet table.")
    raise InputError(f"--data {path} is neither a folder nor a .csv or .parquet table; give a folder of class folders, or such a table.")
