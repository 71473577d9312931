"""The registry of data sources. Another kind of source is one module with a `Source` and its entry in `SOURCES`.

Another package has its `Source` found by an entry point in the group `xmap.sources`; it reads what is named after it, `NAME:PATH`.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from xmap.stages.config import DataConfig
from xmap.stages.datasets.benchmarks.table import SCHEME, CoopSource
from xmap.stages.datasets.content.hashing import Contents, hash_places
from xmap.stages.datasets.dataset import Dataset, forgotten
from xmap.stages.datasets.places.place import Location, location, shown
from xmap.stages.datasets.sources.containers import is_pattern
from xmap.stages.datasets.sources.corrections import corrected
from xmap.stages.datasets.sources.descriptions import described
from xmap.stages.datasets.sources.folder import FlatFolderSource, FolderSource
from xmap.stages.datasets.sources.parquet import ParquetSource
from xmap.stages.datasets.sources.remote_folder import RemoteFolderSource
from xmap.stages.datasets.sources.table import FolderTableSource, TableSource
from xmap.stages.datasets.sources.table_files import TABLES
from xmap.stages.datasets.sources.webdataset import TAR, TarSource
from xmap.stages.datasets.splits.divide import divide, keep
from xmap.stages.datasets.splits.groups import with_groups
from xmap.stages.plugins import said_of_source, source_named
from xmap.store.errors import InputError
from xmap.store.memory.notes import Notes

FORMS = "a folder of class folders, a CSV or Parquet table, or a folder of WebDataset tars or Parquet files with images"
POOL_FORMS = "a folder of images, a table with a column path, or tars or Parquet files with images"


class Kind(Protocol):
    """A kind of data by what it looks like."""

    def matches(self, data: Location) -> bool:
        """Whether `data` is of this kind: something that exists, a pattern, or a name with a scheme of its own."""


class Source(Kind, Protocol):
    """A kind of data, and how it is read."""

    def read(self, config: DataConfig, data: Location, name: str, notes: Notes) -> Dataset:
        """The dataset at `data`, called `name`; `notes` remember what is costly to read. Raises `InputError`."""


class Unlabelled(Kind, Protocol):
    """A kind of data, and how it is read where nobody has labelled it."""

    def read_unlabelled(self, data: Location, name: str, notes: Notes) -> Dataset:
        """All images of `data`, called `name`, without labels and splits. Raises `InputError`."""


# The first that matches reads.
SOURCES: tuple[Source, ...] = (
    CoopSource(),
    TarSource(),
    ParquetSource(),
    TableSource(),
    FolderTableSource(),
    FolderSource(),
    RemoteFolderSource(),
)
POOLS: tuple[Unlabelled, ...] = (FlatFolderSource(), TarSource(), ParquetSource(), TableSource(), FolderSource(), RemoteFolderSource())
Some = TypeVar("Some", bound=Kind)


def open_dataset(config: DataConfig, notes: Notes | None = None, contents: Contents | None = None) -> Dataset:
    """The dataset at `config.data`, named as the file or folder.

    Where it has no splits these are drawn by the `contents` of its files, which are read here unless somebody remembers them. Raises
    `InputError`.
    """
    read = contents or partial(hash_places, notes=notes or Notes())
    if not config.data:
        raise InputError(f"no data is given; point --data at {FORMS}.")

    def labelled(source: Source, data: Location) -> Dataset:
        return source.read(config, data, _name(data), notes or Notes())

    said = f"--data {shown(config.data)}"
    found = _foreign(config.data, said, labelled) or _read(config.data, said, SOURCES, FORMS, labelled)
    grouped = with_groups(found, config.group_by) if config.group_by else found
    divided = divide(grouped, config, read)
    # A corrected label moves no image to another split.
    right = corrected(divided, config.labels, read)
    return described(keep(right, config), config.descriptions)


def open_pool(data: str, notes: Notes, root: str = "", flag: str = "") -> Dataset:
    """The images at `data`, whatever their labels: none are read, and without classes there are no splits.

    Of a benchmark, which lies below `root`, they are read and forgotten. Raises `InputError`, which says the `flag` that named them.
    """
    if data.startswith(SCHEME):
        return forgotten(open_dataset(DataConfig.model_validate({"data": data, "root": root}), notes))

    def unlabelled(source: Unlabelled, found: Location) -> Dataset:
        return source.read_unlabelled(found, _name(found), notes)

    said = f"{flag} {shown(data)}".lstrip()
    return _foreign(data, said, unlabelled) or _read(data, said, POOLS, POOL_FORMS, unlabelled)


def _foreign(given: str, said: str, read: Callable[[Any, Location], Dataset]) -> Dataset | None:
    """What the source of another package reads that is named in `given`, which messages call `said`; None where none is.

    Raises `InputError` and `PluginError`.
    """
    plugin, place = source_named(given)
    if plugin is None:
        return None
    source, data = plugin.load(), location(place)
    with plugin.blamed("failed"):
        found = read(source, data) if source.matches(data) else None
    if found is None:
        raise InputError(f"{said}: the source {plugin.name!r} of the package {plugin.package} does not read what is there.")
    if not isinstance(found, Dataset):
        raise plugin.problem(f"gave {type(found).__name__} for a Dataset")
    return found


def is_folder_of_images(data: str) -> bool:
    """Whether `data` is a folder of this machine whose images are files in it."""
    place = location(data)
    return isinstance(next((source for source in POOLS if source.matches(place)), None), FolderSource)


def _read(given: str, said: str, sources: Sequence[Some], forms: str, read: Callable[[Some, Location], Dataset]) -> Dataset:
    """What the first of the sources that matches reads at `given`, which messages call `said`."""
    data = location(given)
    try:
        for source in sources:
            if source.matches(data):
                return read(source, data)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise InputError(f"{said:.80} ... has a name that is too long for the file system; correct it.") from error
    if isinstance(data, Path) and not data.exists():
        raise InputError(f"{said} does not exist{said_of_source(given)}; give {forms}.")
    raise InputError(f"{said} is neither a folder nor a .csv, .tsv, .jsonl, .parquet or .tar file; give {forms}.")


def _name(data: Location) -> str:
    """The file's name without suffix, the folder's name, or that of the folder in which a pattern begins to be one."""
    while is_pattern(data):
        data = data.parent
    if not isinstance(data, Path):
        return data.stem if data.suffix.lower() in (*TABLES, TAR) else data.name
    return data.stem if data.is_file() else data.resolve().name
