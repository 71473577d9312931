"""Answers as Parquet, written while they come: one file in row groups, or a folder of shards of a fixed number of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from xmap.stages.predict.answers import Answers
from xmap.stages.predict.columns import schema_of, table_of
from xmap.stages.predict.prediction import Asked
from xmap.store.formats.answers import shard_name
from xmap.store.formats.row_groups import Write, written_rows, written_shards

Opening = Callable[[pa.Schema, dict[str, str]], AbstractContextManager[Write]]


def write_file(file: BinaryIO, answers: Iterable[Answers], asked: Asked, top: int | None) -> None:
    """Write answers into an open file as one Parquet table, one row an image; `top` classes of each, as `listed` has it.

    The footer says what sets and rejection promise. Raises `InputError` for columns of the user's own that Parquet lacks.
    """
    _write(answers, asked, top, lambda schema, labels: written_rows(file, schema, labels))


def write_shards(folder: Path, answers: Iterable[Answers], asked: Asked, top: int | None) -> None:
    """Write answers as Parquet tables into `folder`, as `write_file` has it."""
    _write(answers, asked, top, lambda schema, labels: written_shards(folder, shard_name, schema, labels))


def promises(asked: Asked) -> dict[str, str]:
    """What is promised of answers, in words, by what was asked for."""
    found = {"sets": asked.sets, "rejection": asked.rejection}
    return {f"xmap.{name}": str(promised) for name, promised in found.items() if promised}


def _write(answers: Iterable[Answers], asked: Asked, top: int | None, opened: Opening) -> None:
    # The columns of the user's own table are those of the first answers.
    batches = iter(answers)
    for first in batches:
        schema = schema_of(asked, None if first.columns is None else first.columns.schema)
        with opened(schema, promises(asked)) as write:
            for batch in chain([first], batches):
                write(table_of(batch, asked, top))
