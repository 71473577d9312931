"""Images in the cells of a Parquet table: a column of bytes, or of {bytes, path} as Hugging Face writes them.

A table is listed a few rows at a time, whatever its size. Class names come from the schema where it has Hugging Face's.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
from blake3 import blake3

from stages.datasets.labels import unfit
from stages.datasets.split_names import is_split
from store.errors import InputError
from store.tables import open_foreign

IMAGE, LABEL, SPLIT, BYTES = "image", "label", "split", "bytes"
FEATURES = b"huggingface"
AT_ONCE = 64
# A loading process keeps one row group in memory.
MAX_GROUP = 4 << 30


def list_cells(file: BinaryIO, place: str) -> dict[str, Any] | None:
    """What the table `file`, called `place`, holds, as JSON values; None where it has no column of images.

    `column` is that of the images; `names` are its class names, if it has any; `rows` are [group, row in it, blake3, label, split].
    Raises `ArtifactDamaged`, and `InputError` for a table whose columns or labels cannot be used.
    """
    with open_foreign(file, place) as table:
        column = _image_column(table.schema_arrow, place)
        if column is None:
            return None
        _require(table, column, place)
        names = _class_names(table.schema_arrow, place)
        return {"column": column, "names": names, "rows": list(_rows(table, column, names, place))}


def read_group(file: BinaryIO, place: str, column: str, group: int) -> pa.ChunkedArray:
    """The bytes of all images of a row group. Raises `ArtifactDamaged`."""
    with open_foreign(file, place) as table:
        if group >= table.num_row_groups or table.schema_arrow.names.count(column) != 1:
            raise pa.ArrowInvalid("it is not the table that was listed")
        # Loading processes are many already.
        return _bytes(table.read_row_group(group, [column], use_threads=False)[column])


def _image_column(schema: pa.Schema, place: str) -> str | None:
    """The column called image, or the only one that holds bytes."""
    holding = [field.name for field in schema if _is_bytes(field.type)]
    if IMAGE in holding or len(holding) < 2:
        return IMAGE if IMAGE in holding else next(iter(holding), None)
    raise InputError(f"{place} has several columns of bytes ({', '.join(map(repr, holding))}); call the one with the images 'image'.")


def _is_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return kind.get_field_index(BYTES) >= 0 and _is_binary(kind.field(BYTES).type)
    return _is_binary(kind)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _bytes(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.struct_field(column, BYTES) if pa.types.is_struct(column.type) else column


def _require(table: Any, column: str, place: str) -> None:
    names = table.schema_arrow.names
    if LABEL not in names:
        listed = ", ".join(map(repr, names))
        raise InputError(f"{place} has images in {column!r} and no column 'label' but {listed}; rename its column of labels.")
    doubled = next((name for name in (column, LABEL, SPLIT) if names.count(name) > 1), None)
    if doubled:
        raise InputError(f"{place} has several columns {doubled!r}; rename all but one.")
    for number in range(table.num_row_groups):
        group = table.metadata.row_group(number)
        parts = (group.column(index) for index in range(group.num_columns))
        size = sum(part.total_uncompressed_size for part in parts if part.path_in_schema.split(".")[0] == column)
        if size > MAX_GROUP:
            raise InputError(f"{place}: row group {number} holds {size:,} bytes of images; write row groups of 1,000 rows or fewer.")


def _class_names(schema: pa.Schema, place: str) -> list[str] | None:
    """The names of a Hugging Face ClassLabel, by number."""
    written = (schema.metadata or {}).get(FEATURES)
    if written is None:
        return None
    try:
        label = json.loads(written)["info"]["features"][LABEL]
        names = label.get("names") if isinstance(label, dict) else None
    except (KeyError, TypeError):
        return None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: what Hugging Face wrote of its columns is no JSON; write the table again.") from error
    if names is None:
        return None
    plain = [unicodedata.normalize("NFC", name.strip()) for name in names if isinstance(name, str)] if isinstance(names, list) else []
    why = next(filter(None, map(unfit, plain)), "")
    if not plain or not all(plain) or why or len(set(plain)) != len(names):
        raise InputError(
            f"{place}: its class names are not different, non-empty names{why}; give names with --classes FILE and remove these."
        )
    return plain


def _rows(table: Any, column: str, names: list[str] | None, place: str) -> Iterator[list[Any]]:
    wanted = [name for name in (column, LABEL, SPLIT) if name in table.schema_arrow.names]
    number = 0
    for group in range(table.num_row_groups):
        inside = 0
        for batch in table.iter_batches(AT_ONCE, row_groups=[group], columns=wanted, use_threads=False):
            part = pa.Table.from_batches([batch])
            labels = part[LABEL].to_pylist()
            splits = part[SPLIT].to_pylist() if SPLIT in wanted else [""] * len(labels)
            for data, label, split in zip(_bytes(part[column]), labels, splits, strict=True):
                number += 1
                content = blake3(data.as_buffer()).hexdigest() if data.is_valid else None
                yield [group, inside, content, _label(label, names, f"{place} row {number}"), _split(split, f"{place} row {number}")]
                inside += 1


def _label(value: object, names: list[str] | None, row: str) -> str:
    text = unicodedata.normalize("NFC", value.strip()) if isinstance(value, str) else str(value) if type(value) is int else ""
    why = unfit(text)
    if not text or why or (type(value) is int and value < 0):
        raise InputError(f"{row} has no usable label ({value!r:.80}){why}; give each row a class number or name, or remove the row.")
    if names is None or type(value) is not int:
        return text
    if value >= len(names):
        raise InputError(f"{row} has the label {value}, the table names {len(names)} classes; correct the label.")
    return names[value]


def _split(value: object, row: str) -> str:
    """The split of a row by any of its usual names, as written; empty where the table has none."""
    if value != "" and not (isinstance(value, str) and is_split(value)):
        raise InputError(f"{row} has split {value!r:.80}; write one of train, val, test.")
    return str(value).strip()
