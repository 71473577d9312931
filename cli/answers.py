"""How answers leave `xmap predict`: as a table on the terminal, CSV, JSON lines, one Parquet file or a folder of them, as they come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xmap.cli.answer_table import SHOWN, print_answers
from xmap.cli.console import json_line
from xmap.cli.options import GENERAL
from xmap.cli.output import CSV, JSONL, PARQUET, SUFFIXES, TABLE, chosen_format, chosen_output, printed_to
from xmap.cli.spreadsheet import print_row, print_rows
from xmap.store.disk.new_folder import NewFolder
from xmap.store.disk.output import Output
from xmap.store.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

    from xmap.stages.predict.answers import Answers
    from xmap.stages.predict.prediction import Asked

FORMATS = (TABLE, CSV, JSONL, PARQUET)
NOTHING = "nothing"
COLUMNS = ("path", "class", "probability", "second", "second_probability", "zero_shot", "known", "set", "error")
SET_COLUMNS = ("set_size",)
STRANGE_COLUMNS = ("nearest", "strangeness")
POOL_COLUMNS = ("pool",)
ENCODER_COLUMNS = ("encoder_said", "encoder_share")
# One JSON object a line, also under the name .json.
BY_SUFFIX = {**SUFFIXES, ".json": JSONL}
FormOption = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="table, csv, jsonl, or parquet with -o. [as FILE's suffix says, else table]",
        show_default=False,
    ),
]
AnswersOption = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write to a file instead of stdout; DIR/ gets Parquet files of 65,536 images each.",
        show_default=False,
        rich_help_panel=GENERAL,
    ),
]
KeepOption = Annotated[
    str,
    typer.Option(
        "--store-as",
        metavar="NAME",
        help="Keep the answers in the store under this name, for sql and report; asked again, nothing is scored.",
        show_default=False,
    ),
]
IntoOption = Annotated[
    str,
    typer.Option("--into", metavar="DIR", help="Sort links to the images into a new folder of class folders.", show_default=False),
]
CopyOption = Annotated[bool, typer.Option("--copy", help="With --into, copies instead of links.")]
LinesOption = Annotated[bool, typer.Option("--json", help="The same as --format jsonl: one JSON object a line.")]
TopOption = Annotated[
    int | None,
    typer.Option(
        "--top",
        min=1,
        metavar="N",
        help="Classes of each image, the most probable first. [3 in a table; else all up to 50 classes, 10 of more]",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class Way:
    """How answers leave: the format, where to, what was asked, and how many classes of each image are named (None: the usual)."""

    form: str
    output: Output | NewFolder | None
    asked: Asked
    top: int | None


def chosen_way(form: str, output: str, json: bool, explain: bool, elsewhere: bool) -> tuple[str, Output | NewFolder | None]:
    """The format and the file or folder that the flags name; where answers go `elsewhere` too, they are printed only if that is asked for.

    Raises `InputError` where flags do not go together.
    """
    given = JSONL if json else form
    if elsewhere and not (given or output):
        return NOTHING, None
    # A name for a file is one even where a folder is in the way.
    if output.endswith("/") or (Path(output).suffix.lower() not in BY_SUFFIX and output and Path(output).is_dir()):
        if given not in ("", PARQUET):
            raise InputError(f"{output} is a folder, which gets Parquet files, and {given} was asked for; name a file with -o FILE.")
        return PARQUET, NewFolder(output, "-o DIR/")
    target = chosen_output(output)
    chosen = chosen_format(given, target, FORMATS, BY_SUFFIX)
    if explain and chosen == CSV:
        raise InputError("--explain: a CSV has no place for the evidence; give --json, -o FILE.parquet or a table.")
    return chosen, target


def write(answers: Iterable[Answers], way: Way) -> None:
    """Write answers as they come; only a table waits for all of them."""
    WRITERS[way.form](answers, way)


def _table(answers: Iterable[Answers], way: Way) -> None:
    with printed_to(_file(way), spreadsheet=False):
        print_answers((prediction for batch in answers for prediction in batch), way.asked, way.top or SHOWN)


def _csv(answers: Iterable[Answers], way: Way) -> None:
    from xmap.stages.predict.columns import schema_of, table_of

    asked = way.asked
    more = ((asked.rejection, STRANGE_COLUMNS), (asked.sets, SET_COLUMNS), (asked.encoders, ENCODER_COLUMNS), (asked.pool, POOL_COLUMNS))
    names = [*COLUMNS, *(name for wanted, columns in more if wanted for name in columns)]
    with printed_to(_file(way), spreadsheet=True):
        for number, batch in enumerate(answers):
            table = table_of(batch, asked, top=0)
            columns = [*names, *table.column_names[len(schema_of(asked, None)) :]]
            if not number:
                print_row(columns)
            print_rows(_reason(table) if name == "error" else table[name].combine_chunks() for name in columns)


def _reason(table: pa.Table) -> pa.Array:
    """Why images cannot be read, in one cell."""
    import pyarrow.compute as pc

    return pc.binary_join_element_wise(table["error"].combine_chunks(), table["message"].combine_chunks(), ": ")


def _jsonl(answers: Iterable[Answers], way: Way) -> None:
    from xmap.stages.predict.columns import listed

    level: dict[str, Any] = {"set_level": way.asked.sets.level} if way.asked.sets else {}
    level |= {"pool": way.asked.pool} if way.asked.pool else {}
    with printed_to(_file(way), spreadsheet=False):
        for batch in answers:
            top = listed(way.top, len(batch.classes))
            said = (prediction.facts(bool(way.asked.neighbors), top) | ({} if prediction.error else level) for prediction in batch)
            typer.echo("\n".join(map(json_line, said)))


def _parquet(answers: Iterable[Answers], way: Way) -> None:
    from xmap.stages.predict.written import write_file, write_shards

    if isinstance(way.output, NewFolder):
        with way.output.open() as folder:
            write_shards(folder, answers, way.asked, way.top)
    elif way.output:
        with way.output.open() as file:
            write_file(file, answers, way.asked, way.top)


def _nothing(answers: Iterable[Answers], way: Way) -> None:
    deque(answers, maxlen=0)


def _file(way: Way) -> Output | None:
    return way.output if isinstance(way.output, Output) else None


WRITERS: Mapping[str, Callable[[Iterable[Answers], Way], None]] = {
    TABLE: _table,
    CSV: _csv,
    JSONL: _jsonl,
    PARQUET: _parquet,
    NOTHING: _nothing,
}
