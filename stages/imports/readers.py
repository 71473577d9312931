"""How the layouts of vectors are read: each is an entry of `READERS`, and a function from a place to `Vectors`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pyarrow as pa

from xmap.stages.datasets.sources.cells import class_names
from xmap.stages.datasets.sources.containers import find_containers
from xmap.stages.imports.asked import VECTORS, AskedRoles, Reader
from xmap.stages.imports.listed import ids_of, npy_column
from xmap.stages.imports.npy import NPY
from xmap.stages.imports.opened import Block, Only, TablePart, of_arrays, of_tables, open_vectors
from xmap.stages.imports.tables import PARQUET, TABLES, VectorTable
from xmap.stages.imports.vectors import IDS, LABELS, ROLES, Vectors
from xmap.store.disk.files import read_plain
from xmap.store.errors import InputError

# Hugging Face's `save_to_disk`.
STATE, SPLITTING = "state.json", "dataset_dict.json"
# clip-retrieval's folders, and the numbers of their files.
IMAGES, METADATA = "img_emb", "metadata"
NUMBERED = re.compile(r"(.*_)?(\d+)\.(npy|parquet)")
STATUS = "status"
FEATURES = ("features.npy", "embeddings.npy", "vectors.npy")


def open_table(path: Path, asked: AskedRoles) -> Vectors:
    """Parquet and Arrow tables: a file, a pattern, or a folder of them, whose names or folders may say splits."""
    found = find_containers(path, *TABLES)
    if not found:
        raise InputError(f"{path} is neither a table ({', '.join(TABLES)}) nor a folder with some; name one.")
    parts = [TablePart(one.name, VectorTable.open(Path(str(one.where))), one.split) for one in found]
    return _with_names(of_tables(parts, asked), parts)


def open_npy(path: Path, asked: AskedRoles) -> Vectors:
    """A `.npy` matrix; of a folder `features.npy`, with `labels.npy`, `ids.npy` and `splits.npy` where these are there."""
    asked.require_files(str(path))
    folder = path if path.is_dir() else path.parent
    given = asked.given.get(VECTORS, "") if path.is_dir() else ""
    matrix = _first([folder / given] if given else [folder / name for name in FEATURES] if path.is_dir() else [path], path)
    beside = {role: folder / f"{role}{NPY}" for role in ROLES if path.is_dir() and not asked.given.get(role)}
    beside = {role: file for role, file in beside.items() if file.is_file()}
    array = open_vectors(matrix)
    told = {role: npy_column(file) for role, file in beside.items()}
    _require_rows(told, {role: str(file) for role, file in beside.items()}, len(array), str(matrix))
    if IDS in told:
        told[IDS] = ids_of(told[IDS], str(beside[IDS]))
    return of_arrays(
        [Block(matrix.name, array, lambda: told, {file.name: file for file in beside.values()})],
        {role: file.name for role, file in beside.items()},
    )


def open_huggingface(path: Path, asked: AskedRoles) -> Vectors:
    """A folder that Hugging Face's `save_to_disk` wrote: a data set, or several by split."""
    if (path / SPLITTING).is_file():
        splits = _names_in(path / SPLITTING, "splits")
        parts = [part for split in splits for part in _saved(path / split, f"{split}/", split, split)]
    else:
        parts = _saved(path, "", "", "")
    found = _with_names(of_tables(parts, asked), parts)
    return replace(found, hollow=found.names is not None)


def _saved(folder: Path, above: str, split: str, prefix: str) -> list[TablePart]:
    """The Arrow files of one saved data set."""
    if not (folder / STATE).is_file():
        raise InputError(f"{folder} has no {STATE}; name the folder that save_to_disk of Hugging Face's datasets wrote.")
    files = _names_in(folder / STATE, "_data_files", "filename")
    return [TablePart(f"{above}{name}", VectorTable.open(folder / name), split, prefix) for name in files]


def _names_in(path: Path, key: str, inner: str = "") -> list[str]:
    """The names of files or folders beside `path` that it lists; none leads elsewhere. Raises `InputError`."""
    try:
        listed = json.loads(read_plain(path))[key]
        names = [one[inner] if inner else one for one in listed]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise InputError(f"{path} does not list {key}; save the data set again with save_to_disk.") from error
    odd = next((name for name in names if not isinstance(name, str) or Path(name).name != name or name in ("", ".", "..")), None)
    if odd is not None or not names:
        raise InputError(f"{path} names {odd!r:.80}, which is nothing beside it; save the data set again with save_to_disk.")
    return names


def open_clip_retrieval(path: Path, asked: AskedRoles) -> Vectors:
    """The folder that `clip-retrieval inference` writes: `img_emb/*.npy`, with what `metadata/*.parquet` tells of the same rows."""
    arrays = _by_number(path / IMAGES, NPY)
    if not arrays:
        raise InputError(f"{path} has no {IMAGES}/{IMAGES}_0{NPY}; name the folder that `clip-retrieval inference` wrote image vectors to.")
    tables = {number: VectorTable.open(file) for number, file in _by_number(path / METADATA, PARQUET).items()}
    if tables and tables.keys() != arrays.keys():
        lost = sorted(arrays.keys() ^ tables.keys())
        raise InputError(f"{path}: {IMAGES} and {METADATA} do not have the same files, such as number {lost[0]}; complete them.")
    first = tables[min(tables)] if tables else None
    if first is None:
        asked.require_files(str(path))
    columns = {role: name for role in ROLES if first and (name := asked.column(role, first.schema, str(first.path)))}
    blocks = []
    for number, file in sorted(arrays.items()):
        array, table = open_vectors(file), tables.get(number)
        if table and table.count != len(array):
            raise InputError(
                f"{table.path} has {table.count:,} rows and {file.name} has {len(array):,} vectors; they should be of the same images."
            )
        beside = {f"{METADATA}/{table.path.name}": table.path} if table else {}
        blocks.append(Block(f"{IMAGES}/{file.name}", array, partial(_told, table, columns), beside))
    return of_arrays(blocks, columns)


def _told(table: VectorTable | None, columns: Mapping[str, str]) -> Mapping[str, pa.Array]:
    told = {role: table.column(name) for role, name in columns.items()} if table else {}
    return {role: ids_of(column, str(table and table.path)) if role == IDS else column for role, column in told.items()}


def _by_number(folder: Path, suffix: str) -> dict[int, Path]:
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return {int(match[2]): file for file in files if file.suffix == suffix and (match := NUMBERED.fullmatch(file.name))}


def open_img2dataset(path: Path, asked: AskedRoles) -> Vectors:
    """The tables that img2dataset writes for its shards, where its input had a column of vectors; what it failed to get is left out."""
    parts = [TablePart(one.name, VectorTable.open(Path(str(one.where))), one.split) for one in find_containers(path, PARQUET)]
    if not parts:
        raise InputError(f"{path} has no {PARQUET} files; name the folder that img2dataset wrote its shards to.")
    lost = next((part.table.path for part in parts if STATUS not in part.table.schema.names), None)
    if lost is not None:
        raise InputError(f"{lost} has no column {STATUS!r}, as tables of img2dataset have; read it as the layout table.")
    remedy = f"; to compute features of the images: xmap extract --data {path}"
    return _with_names(of_tables(parts, asked, remedy, Only(STATUS, "success")), parts)


def _with_names(found: Vectors, parts: Sequence[TablePart]) -> Vectors:
    """With the class names that Hugging Face writes into the schema of a table."""
    if LABELS not in found.columns:
        return found
    names = [class_names(part.table.schema, found.columns[LABELS], str(part.table.path)) for part in parts]
    if any(other != names[0] for other in names):
        raise InputError(f"{parts[0].table.path} and the tables beside it differ in their class names; write them with the same ones.")
    return replace(found, names=names[0])


def _first(paths: Sequence[Path], place: Path) -> Path:
    found = next((path for path in paths if path.is_file()), None)
    if found is None:
        raise InputError(f"{place} has no {' or '.join(path.name for path in paths)}; name the file of vectors.")
    return found


def _require_rows(told: Mapping[str, pa.Array], places: Mapping[str, str], count: int, matrix: str) -> None:
    for role, column in told.items():
        if len(column) != count:
            raise InputError(
                f"{places[role]} has {len(column):,} rows and {matrix} has {count:,} vectors; give one {role[:-1]} for each vector."
            )


# How each layout is read; `layouts.LAYOUTS` names them.
READERS: Mapping[str, Reader] = {
    "table": open_table,
    "npy": open_npy,
    "huggingface": open_huggingface,
    "clip-retrieval": open_clip_retrieval,
    "img2dataset": open_img2dataset,
}
