"""CSV files as Excel, pandas and Windows write them: their encoding, what divides their columns, and their rows.

Nothing is guessed from how often a character is there: what divides the columns is what makes the header say a path and a label.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from xmap.store.errors import InputError

DIVIDERS = (",", ";", "\t", "|")
# UTF-32 first: its mark begins as that of UTF-16 does.
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
WINDOWS = "cp1252"
# Excel's own line, which says what divides the columns.
DIVIDED_BY = re.compile(r"sep=(.)\r?\n")
NO_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")
ODD_WORD = re.compile(r"\w*[^\x00-\x7f]\w*")

# What Python's reader calls some mistakes, and what they are to people. A mark that is not closed takes in whatever follows.
MISTAKES: Mapping[str, str] = {
    "field larger than": f"it has a value of more than {csv.field_size_limit():,} characters",
    "unexpected end of data": "a quotation mark in it is not closed",
}

Row = tuple[int, list[str]]


def read_text(data: bytes, place: str) -> tuple[str, tuple[str, ...]]:
    """The text of a CSV file called `place`, and a remark where its encoding is not certain. Raises `InputError`."""
    encoding = next((name for mark, name in MARKS if data.startswith(mark)), "utf-8")
    remarks: tuple[str, ...] = ()
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        text = _windows(data, place, error) if encoding == "utf-8" else ""
        if not text:
            raise _no_text(place, f"it is not {encoding} text") from error
        word = ODD_WORD.search(text)
        remarks = (
            f"{place} is not UTF-8 and was read as Windows-1252, such as {word[0] if word else ''!r}; if that is wrong, save it as UTF-8",
        )
    if NO_CONTROL.search(text):
        raise _no_text(place, "it holds control characters")
    return text, remarks


def read_rows(text: str, fits: Callable[[Sequence[str]], bool], place: str) -> tuple[list[str], list[Row]]:
    """The header and the rows of a CSV, each with the number of its last line; rows without any value are left out.

    `fits` tells whether a header is one. Raises `InputError` for rows of another length, and for what is no CSV.
    """
    said = DIVIDED_BY.match(text)
    text = text[said.end() :] if said else text
    divider = said[1] if said else next((one for one in DIVIDERS if fits(_header(text, one))), DIVIDERS[0])
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=divider, skipinitialspace=_is_spaced(text, divider))
    header: list[str] = []
    rows: list[Row] = []
    for number, row in _numbered(reader, bool(said), place):
        if not any(cell.strip() for cell in row):
            continue
        if not header:
            header = row
            continue
        if len(row) < len(header) or any(cell.strip() for cell in row[len(header) :]):
            raise InputError(f"{place} row {number} has more or fewer values than the header; quote commas inside a value.")
        rows.append((number, row[: len(header)]))
    return header, rows


def _numbered(reader: Any, before: int, place: str) -> Iterator[Row]:
    """Rows, each with the number of its last line, with so many lines `before` the first."""
    number = before
    try:
        for row in reader:
            number = reader.line_num + before
            yield number, row
    except csv.Error as error:
        why = next((words for start, words in MISTAKES.items() if str(error).startswith(start)), str(error))
        raise InputError(
            f"cannot read the table {place}, row {number + 1}: {why}; look for a quotation mark that is not closed (one inside a value is "
            "written twice), or shorten the value."
        ) from error


def _header(text: str, divider: str) -> list[str]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=divider, skipinitialspace=True)
    try:
        return next((row for row in reader if any(cell.strip() for cell in row)), [])
    except csv.Error:
        return []


def _is_spaced(text: str, divider: str) -> bool:
    """Whether quotes follow spaces, as no tool writes them: `a, "b, c"`. Elsewhere a space may begin a file's name."""
    return re.search(rf'(^|{re.escape(divider)}) +"', text, re.MULTILINE) is not None


def _windows(data: bytes, place: str, error: UnicodeDecodeError) -> str:
    try:
        return data.decode(WINDOWS)
    except UnicodeDecodeError:
        raise _no_text(place, "it is not UTF-8 text") from error


def _no_text(place: str, reason: str) -> InputError:
    return InputError(f"cannot read the table {place}: {reason}; save it as a UTF-8 CSV file with a header line.")
