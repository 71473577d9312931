"""Tables fit any terminal without a broken word, say what they leave out, and are whole in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from xmap.cli.columns import require_columns
from xmap.cli.results import explained, marks_of, print_results
from xmap.cli.tables import CUT, aligned, fitted, print_table
from xmap.store.errors import InputError, UnknownName

WORDS = st.text("abc漢é-/ ", max_size=30)
COLUMNS = ("image", "class", "probability %", "zero-shot")
ROWS = [
    ["held/new/banded/banded_0002.jpg", "banded", "93.1", "cracked fine"],
    ["held/a-much-longer-folder-name/of/several/parts/crosshatched_0027.jpg", "crosshatched", "8.0", "banded"],
]


class Terminal:
    """Stands where stdout is a terminal of some width."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("TERM", "dumb")


@given(st.data())
def test_no_table_is_wider_than_its_terminal(data: st.DataObject) -> None:
    columns = [f"column {number}" for number in range(data.draw(st.integers(1, 6)))]
    rows = data.draw(st.lists(st.lists(WORDS, min_size=len(columns), max_size=len(columns)), max_size=4))
    width = data.draw(st.integers(10, 120))
    layout = fitted(columns, rows, width, spare=columns[2:4], paths=columns[:2])
    wide = [max(map(cell_len, column)) for column in zip(layout.columns, *layout.rows, strict=True)]
    assert layout.records or sum(wide) + 2 + 3 * (len(wide) - 1) <= width
    assert set(layout.columns) | set(layout.left_out) == set(columns)
    for name, column in zip(layout.columns, zip(*layout.rows, strict=True) if layout.rows else [], strict=False):
        for cell, row in zip(column, rows, strict=True):
            whole = row[columns.index(name)]
            assert cell == whole or (layout.cut and name in columns[:2] and whole.endswith(cell.removeprefix(CUT).lstrip()))


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 132, 200])
def test_what_is_printed_has_no_line_that_a_terminal_would_break(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Terminal(monkeypatch, width)
    print_table(COLUMNS, ROWS, right=COLUMNS[2:3], spare=COLUMNS[3:], paths=COLUMNS[:1])
    printed = capsys.readouterr()
    if printed.out.startswith("image "):
        # One line a column, so that a value is whole however the terminal shows it.
        assert ROWS[1][0] in printed.out
        return
    assert max(map(cell_len, printed.out.splitlines())) <= width
    assert "crosshatched_0027.jpg" in printed.out
    assert ("zero-shot" in printed.out) or ("1 column left out: zero-shot" in printed.err)
    assert (CUT in printed.out) == (CUT in printed.err)


def test_paths_lose_their_beginning_before_a_column_goes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    Terminal(monkeypatch, 90)
    print_table(COLUMNS, ROWS, spare=COLUMNS[3:], paths=COLUMNS[:1])
    printed = capsys.readouterr()
    assert "held/new/banded/banded_0002.jpg" in printed.out
    assert "zero-shot" in printed.out
    assert "a wider terminal or --json shows all" in printed.err


def test_records_name_each_column_and_part_rows(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    Terminal(monkeypatch, 30)
    print_table(("a", "long name"), [["x" * 20, "y" * 20], ["1", ""]])
    assert capsys.readouterr().out == f"a          {'x' * 20}\nlong name  {'y' * 20}\n\na          1\nlong name\n\n"


@pytest.mark.parametrize("width", [30, 45, 60, 80])
def test_a_grid_goes_on_below_with_its_first_column(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Terminal(monkeypatch, width)
    columns = ("method", *(f"{shots} shots" for shots in (1, 2, 4, 8, 16)), "source")
    rows = [[f"method-{number}", *(["92.38 ±14.34"] * 5), "measured here"] for number in range(3)]
    print_table(columns, rows, right=columns[1:-1], spare=("source",), repeat=1)
    printed = capsys.readouterr()
    assert max(map(cell_len, printed.out.splitlines())) <= width
    assert printed.out.count("method-0") == -(-5 // ((width - 10) // 15))
    assert printed.out.count("92.38 ±14.34") == 15
    assert "1 column left out: source" in printed.err.replace("\n", " ")


def test_a_grid_with_a_column_too_wide_for_anything_becomes_records(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Terminal(monkeypatch, 30)
    print_table(("method", "said"), [["a", "x" * 40]], repeat=1)
    assert "said    " + "x" * 40 in capsys.readouterr().out


def test_nothing_in_many_columns_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    Terminal(monkeypatch, 20)
    print_table(("one column", "another column"), [])
    assert capsys.readouterr().out == "no rows of one\ncolumn, another\ncolumn\n"


def test_a_pipe_gets_whole_values(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("path", "x"), [["folder/" * 60 + "end.jpg", "1"]], spare=["x"], paths=["path"])
    printed = capsys.readouterr()
    assert "folder/" * 60 + "end.jpg   1" in printed.out
    assert printed.err == ""


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ((12.0, 12.12, 14.3), ["12.00", "12.12", "14.30"]),
        ((1, 2, None), ["1", "2", ""]),
        ((0.5, 3), ["0.5", "3"]),
        ((1e-9, 2.0), ["1e-09", "2"]),
        ((float("nan"), 1.5), ["nan", "1.5"]),
        ((True, False), None),
        (("1", 2), None),
        ((), []),
    ],
)
def test_numbers_of_a_column_have_equal_decimals(values: Sequence[object], shown: list[str] | None) -> None:
    assert aligned(values) == shown


def row(method: str, kind: str, accuracy: float = 50.0) -> dict[str, object]:
    ends = {"accuracy_ci95": [accuracy - 1, accuracy + 1], "ci_kind": kind, "accuracy_mean": accuracy}
    rest = {"trials": 3, "selected_on": "validation", "trainable_parameters": 7, "train_seconds": 0.1, "stored_bytes": 5}
    return {"method": method, "shots": 2, "seeds": [1], **ends, **rest}


def test_two_kinds_of_intervals_are_told_apart_in_the_column(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row("zero-shot", "bootstrap over test samples"), row("a", "student-t over seeds"), row("b", "student-t over seeds")]
    print_results(rows, [])
    printed = capsys.readouterr().out
    assert printed.count("[49.00, 51.00]*") == 1
    assert "intervals: student-t over seeds; * bootstrap over test samples" in printed
    assert explained(marks_of(rows[1:])) == "student-t over seeds"


def test_columns_are_chosen_by_name_and_uneven_classes_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    counts = {"class_samples": [1000, 500, 500], "largest_share": 50.0, "balanced_accuracy_mean": 33.333, "log_loss_mean": 1.25}
    rows = [{**row("zero-shot", "bootstrap over test samples"), **counts}, row("a", "bootstrap over test samples")]
    print_results(rows, [])
    printed = capsys.readouterr().out
    assert "balanced %" in printed
    assert "33.33" in printed
    assert "the largest class has 50.0 % of the test images: naming it always would be right as often" in printed
    print_results(rows, [], "log-loss, largest")
    head, _, first, *_ = (line for line in capsys.readouterr().out.splitlines() if line.strip())
    assert head.split() == ["method", "log", "loss", "largest", "class", "%"]
    assert first.split() == ["zero-shot", "1.250", "50.0"]
    print_results([row("a", "student-t over seeds")], [])
    assert "largest class" not in capsys.readouterr().out


def test_a_column_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(UnknownName, match=r"column 'accurate'.*accuracy"):
        require_columns("accurate")
    with pytest.raises(InputError, match="name columns"):
        require_columns(" , ")
    assert require_columns("") == ()
