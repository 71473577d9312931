"""Tables of labels where they lie, and the images that they name and a data set has not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xmap.stages.datasets.classes.labels import NONE, label_of
from xmap.stages.datasets.content.hashing import Contents
from xmap.stages.datasets.places.columns import places_of
from xmap.stages.datasets.places.place import Location, Place, location, shown
from xmap.stages.datasets.sources.columns import CONTENT, CORRECTIONS, LABEL, PATH
from xmap.stages.datasets.sources.finder import digest_of, meant, text_of
from xmap.stages.datasets.sources.table_files import TABLES, Table, read_table
from xmap.stages.datasets.sources.table_paths import TablePaths
from xmap.store.errors import InputError
from xmap.store.memory.hashes import hexes

FORM = f"give a table ({', '.join(TABLES)}) with the columns sample_id (or path, or content: the blake3 of a file) and label"


def labels_at(labels: str) -> tuple[Location, Table]:
    """The table at `labels`. Raises `InputError` where there is none."""
    path = location(labels)
    if path.suffix.lower() not in TABLES or (isinstance(path, Path) and not path.is_file()):
        raise InputError(f"--labels {shown(labels)} is no table that is there; {FORM}.")
    return path, read_table(path, CORRECTIONS)


def labels_given(path: Path) -> int:
    """How many labels the table at `path` holds; 0 where none is there, or one of something else."""
    if path.suffix.lower() not in TABLES or not path.is_file():
        return 0
    try:
        table = read_table(path, CORRECTIONS)
    except InputError:
        return 0
    return sum(label_of(row[LABEL])[1] != NONE for _, row in table.rows)


class NewImages:
    """The images that the rows of one table name by their paths, as a table of images names them."""

    def __init__(self, path: Location, table: Table) -> None:
        self._paths = TablePaths.of(path, (_path(row) for _, row in table.rows))

    def find(self, place: str, number: int, row: Mapping[str, Any], contents: Contents) -> tuple[str, Place]:
        """The id and the place of the image of a row. Raises `InputError` where none is there, or one of other bytes than the row says."""
        text, digest = _path(row), digest_of(row.get(CONTENT))
        found = self._paths.find(number, text) if text.strip() and "\0" not in text else None
        if found is None or (isinstance(found[1], Path) and not found[1].is_file()):
            unknown = f"{text or digest!r:.200}, which is no image of the data"
            raise InputError(f"{place} names {unknown}; give its sample id, as `xmap sql` shows it, or the path of a file that is there.")
        if digest and next(iter(hexes(contents(places_of([found[1]]))))) != digest:
            raise InputError(
                f"{place} names {text!r:.200}, which has other bytes now than its content says; remove the row, or its content."
            )
        return found


def _path(row: Mapping[str, Any]) -> str:
    return meant(text_of(row.get(PATH)), ())
