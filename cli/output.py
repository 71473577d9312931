"""Where a result goes and in which format: stdout, or the file that -o names, whose suffix says the format."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import PurePath

from xmap.store.disk.output import STDOUT, Output
from xmap.store.errors import InputError, UnknownName

TABLE, CSV, JSON, JSONL, PARQUET, MARKDOWN, LATEX = "table", "csv", "json", "jsonl", "parquet", "markdown", "latex"
SUFFIXES = {
    ".csv": CSV,
    ".json": JSON,
    ".jsonl": JSONL,
    ".ndjson": JSONL,
    ".parquet": PARQUET,
    ".txt": TABLE,
    ".md": MARKDOWN,
    ".tex": LATEX,
}
# What people call two of them.
SHORT = {"md": MARKDOWN, "tex": LATEX}
SPREADSHEETS = (".xlsx", ".xls", ".ods")
BOM = "\ufeff"


def chosen_output(named: str) -> Output | None:
    """What -o names, checked; None for stdout."""
    return Output(named) if named else None


def chosen_format(given: str, output: Output | None, formats: Sequence[str], by_suffix: dict[str, str] = SUFFIXES) -> str:
    """The format given, else that of the file's suffix, else a table.

    Raises `UnknownName` for one that is not of `formats`, and `InputError` for a name that says another format or none.
    """
    given = SHORT.get(given, given)
    # What leaves line by line is JSON lines by either name.
    given = JSONL if given == JSON and JSON not in formats and JSONL in formats else given
    if given and given not in formats:
        raise UnknownName("format", given, formats)
    if output is None or not output.is_file:
        if given == PARQUET and (output is None or (output.name == STDOUT and sys.stdout.isatty())):
            raise InputError("--format parquet: name the file to write with -o FILE.")
        return given or TABLE
    suffix = PurePath(output.name).suffix.lower()
    said = by_suffix.get(suffix)
    names = " ".join(known for known, form in by_suffix.items() if form in formats)
    if suffix in SPREADSHEETS:
        raise InputError(f"{output.name}: workbooks are not written; name a .csv file with -o, a spreadsheet opens it.")
    if said and given and said != given:
        raise InputError(f"{output.name} is a name for {said}, and --format {given} was given; leave out one of the two.")
    if not (given or said in formats):
        raise InputError(
            f"{output.name}: its suffix names no format; use one of {names}, or give --format with one of {', '.join(formats)}."
        )
    return given or str(said)


@contextmanager
def printed_to(output: Output | None, spreadsheet: bool) -> Iterator[None]:
    """What the block prints goes to `output`, in UTF-8; with `spreadsheet` a file begins with the mark by which these know it."""
    if output is None or output.name == STDOUT:
        yield
        return
    with output.open() as file:
        text = io.TextIOWrapper(file, encoding="utf-8", errors="surrogateescape", newline="")
        if spreadsheet and output.is_file:
            text.write(BOM)
        try:
            with redirect_stdout(text):
                yield
        finally:
            text.detach()
