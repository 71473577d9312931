"""CSV for spreadsheets: it reads back as it was, and no text of it is a formula or says anything to a terminal."""

from __future__ import annotations

import csv
import io
import re
from contextlib import redirect_stdout
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.worlds.faults import Case
from xmap.cli.spreadsheet import print_row, print_rows

TEXTS = st.text(st.characters(codec=None), max_size=12) | st.builds(
    str.__add__, st.sampled_from(list("=+-@\t\r\n;,'\" \x1b\x9b\x00\uff1d")), st.text(max_size=6)
)
CELLS = st.lists(TEXTS | st.integers() | st.floats(allow_nan=False) | st.none() | st.booleans(), min_size=1, max_size=6)
CONTROL = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def printed(cells: list[Any]) -> str:
    text = io.StringIO(newline="")
    with redirect_stdout(text):
        print_row(cells)
    return text.getvalue()


@given(CELLS)
def test_no_text_starts_a_formula_and_each_cell_reads_back(cells: list[Any]) -> None:
    line = printed(cells)
    assert not CONTROL.search(line)
    (read,) = list(csv.reader(io.StringIO(line, newline=""))) or [[""]]
    assert len(read) == len(cells) or cells in ([None], [""])
    for cell, back in zip(cells, read, strict=False):
        if not isinstance(cell, str):
            assert back == ("" if cell is None else str(cell))
            continue
        assert back[:1] not in ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
        if not CONTROL.search(cell):
            assert back in (cell, f"'{cell}")


HOSTILE = {
    '=HYPERLINK("http://x")': "'=HYPERLINK",
    "+1+1": "'+1+1",
    "-2+3": "'-2+3",
    "@SUM(A1)": "'@SUM",
    "\t=1": "'\t=1",
    "\r=1": "'\r=1",
    "\x1b[31m": "\\x1b[31m",
    "\x9b2J": "\\x9b2J",
    "\uff1d1": "'\uff1d1",
}


@pytest.mark.failure("odd output")
def test_hostile_cells_are_text(case: Case) -> None:
    for text, said in HOSTILE.items():
        with case():
            assert said in printed(["x", text])


def test_numbers_lists_and_nothing_stay() -> None:
    assert printed([-1, -0.5, None, True, [{"a": "é"}], "plain"]) == '-1,-0.5,,True,"[{""a"": ""é""}]",plain\r\n'


def printed_columns(columns: list[pa.Array]) -> str:
    text = io.StringIO(newline="")
    with redirect_stdout(text):
        print_rows(columns)
    return text.getvalue()


UNICODE = st.text(max_size=8) | st.builds(
    str.__add__, st.sampled_from(list("=+-@\t\r\n;,'\" \x1b\x9b\x00\uff1d\uff0b")), st.text(max_size=3)
)


@given(st.lists(st.tuples(UNICODE | st.none(), st.floats(width=32), st.booleans() | st.none(), st.lists(UNICODE, max_size=2)), max_size=8))
def test_columns_are_the_rows_byte_for_byte(rows: list[tuple[Any, ...]]) -> None:
    types = (pa.string(), pa.float32(), pa.bool_(), pa.list_(pa.string()))
    columns = [pa.array([row[place] for row in rows], kind) for place, kind in enumerate(types)]
    assert printed_columns([*columns, columns[0]]) == "".join(printed([*row, row[0]]) for row in rows)


@pytest.mark.parametrize("sign", [*map(chr, range(256)), "\u2028", "\u202e", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_every_sign_wherever_it_stands(sign: str) -> None:
    texts = [sign, f"{sign}a", f"a{sign}", f"a{sign}b"]
    assert printed_columns([pa.array(texts)]) == "".join(printed([text]) for text in texts)
