"""Images in the cells of a Parquet table: a column of bytes, or of {bytes, path} as Hugging Face writes them.

A table is listed a few rows at a time, whatever its size. Class names come from the schema where it has Hugging Face's.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
from blake3 import blake3

from xmap.stages.datasets.classes.labels import group_of, label_of, unfit
from xmap.stages.datasets.sources.columns import GROUP, LABEL, SPLIT, roles_of
from xmap.stages.datasets.splits.names import is_split, says_splits
from xmap.store.errors import InputError
from xmap.store.formats.tables import open_foreign

IMAGE, BYTES = "image", "bytes"
FEATURES = b"huggingface"
AT_ONCE = 64
# A process that loads keeps one row group in memory.
MAX_GROUP = 4 << 30


def list_cells(file: BinaryIO, place: str, labelled: bool = True) -> dict[str, Any] | None:
    """What the table `file`, called `place`, holds, as JSON values; None where it has no column of images.

    `column` is that of the images; `names` are its class names, if it has any; `rows` are [row group, row in it, blake3, label, split,
    group]. Where they are not `labelled` no label is read, and none is missed.
    Raises `ArtifactDamaged`, and `InputError` for a table whose columns or labels cannot be used.
    """
    with open_foreign(file, place) as table:
        column = _image_column(table.schema_arrow, place)
        if column is None:
            return None
        _require_groups(table, column, place)
        label = _label_column(table, column, place) if labelled else None
        names = class_names(table.schema_arrow, label, place) if label else None
        labels = _labels(table, label, names, place) if label else [""] * table.metadata.num_rows
        return {"column": column, "names": names, "rows": list(_rows(table, column, labels, place))}


def read_group(file: BinaryIO, place: str, column: str, group: int) -> pa.ChunkedArray:
    """The bytes of all images of a row group. Raises `ArtifactDamaged`."""
    with open_foreign(file, place) as table:
        if group >= table.num_row_groups or table.schema_arrow.names.count(column) != 1:
            raise pa.ArrowInvalid("it is not the table that was listed")
        # Threads that load are many already.
        return _bytes(table.read_row_group(group, [column], use_threads=False)[column])


def _image_column(schema: pa.Schema, place: str) -> str | None:
    """The column called image, or the only one that holds bytes."""
    labels = {schema.names[number] for number in roles_of(schema.names).get(LABEL, ())}
    holding = [field.name for field in schema if _is_bytes(field.type) and field.name not in labels]
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


def _label_column(table: Any, column: str, place: str) -> str:
    """The column of labels. Raises `InputError` where there is none or another is there twice."""
    names = table.schema_arrow.names
    labels = roles_of([name for name in names if name != column]).get(LABEL)
    if labels is None:
        listed = ", ".join(map(repr, names))
        raise InputError(f"{place} has images in {column!r} and no column 'label' but {listed}; rename its column of labels.")
    label: str = [name for name in names if name != column][labels[0]]
    doubled = label if len(labels) > 1 else next((name for name in (column, SPLIT, GROUP) if names.count(name) > 1), None)
    if doubled:
        raise InputError(f"{place} has several columns {doubled!r}; rename all but one.")
    return label


def _require_groups(table: Any, column: str, place: str) -> None:
    """Raise `InputError` for a table that cannot be read a row group at a time."""
    for number in range(table.num_row_groups):
        group = table.metadata.row_group(number)
        parts = (group.column(index) for index in range(group.num_columns))
        size = sum(part.total_uncompressed_size for part in parts if part.path_in_schema.split(".")[0] == column)
        if size > MAX_GROUP:
            raise InputError(f"{place}: row group {number} holds {size:,} bytes of images; write row groups of 1,000 rows or fewer.")


def class_names(schema: pa.Schema, column: str, place: str) -> list[str] | None:
    """The names of a Hugging Face ClassLabel, by number; None where the schema has none. Raises `InputError`."""
    written = (schema.metadata or {}).get(FEATURES)
    if written is None:
        return None
    try:
        label = json.loads(written)["info"]["features"][column]
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


def _labels(table: Any, column: str, names: list[str] | None, place: str) -> list[str]:
    """The label of each row. They are read before any image, so that all rows without one are counted. Raises `InputError`."""
    labels: list[str] = []
    bad: list[tuple[int, object, str]] = []
    for batch in table.iter_batches(columns=[column], use_threads=False):
        for value in batch.column(0).to_pylist():
            text, why = _label(value, names)
            labels.append(text)
            bad += [(len(labels), value, why)] * bool(why)
    if bad:
        number, value, why = bad[0]
        more = f", nor have {len(bad) - 1:,} other rows" * (len(bad) > 1)
        raise InputError(
            f"{place} row {number} has no usable label ({value!r:.80}){why}{more}; give each row a class number or name, or remove the row."
        )
    return labels


def _rows(table: Any, column: str, labels: Sequence[str], place: str) -> Iterator[list[Any]]:
    divided, grouped = _split_column(table), _one_column(table, GROUP)
    wanted = [name for name in (column, divided, grouped) if name]
    number = 0
    for group in range(table.num_row_groups):
        inside = 0
        for batch in table.iter_batches(AT_ONCE, row_groups=[group], columns=wanted, use_threads=False):
            part = pa.Table.from_batches([batch])
            splits, groups = (part[name].to_pylist() if name else [""] * len(part) for name in (divided, grouped))
            for data, split, said in zip(_bytes(part[column]), splits, groups, strict=True):
                content = blake3(data.as_buffer()).hexdigest() if data.is_valid else None
                row = f"{place} row {number + 1}"
                yield [group, inside, content, labels[number], _split(split, row), _group(said, row)]
                number += 1
                inside += 1


def _one_column(table: Any, role: str) -> str | None:
    names: list[str] = table.schema_arrow.names
    places = roles_of(names).get(role, [])
    return names[places[0]] if len(places) == 1 else None


def _split_column(table: Any) -> str | None:
    """The column that says the splits, if there is one."""
    name = _one_column(table, SPLIT)
    return name if name and says_splits(name, table.read(columns=[name])[name].unique().to_pylist()) else None


def _label(value: object, names: Sequence[str] | None) -> tuple[str, str]:
    """The class that a label says, and why it says none."""
    text, why = label_of(value)
    if isinstance(value, float) and not why and not value.is_integer():
        return "", " (it is no whole number)"
    number = value if isinstance(value, int) else int(value) if isinstance(value, float) and value.is_integer() else None
    if why or number is None or isinstance(value, bool):
        return text, why
    if names is None:
        return text, ""
    if number < 0:
        return "", " (it is negative, and the table names its classes)"
    return (names[number], "") if number < len(names) else ("", f" (the table names {len(names)} classes)")


def _split(value: object, row: str) -> str:
    """The split of a row by any of its usual names, as written; empty where the table has none."""
    if value != "" and not (isinstance(value, str) and is_split(value)):
        raise InputError(f"{row} has split {value!r:.80}; write one of train, val, test.")
    return str(value).strip()


def _group(value: object, row: str) -> str:
    group, why = group_of(value)
    if why:
        raise InputError(f"{row} has group {value!r:.80}{why}; write a name or a number, or rename the column.")
    return group
