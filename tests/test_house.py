"""What every Python file keeps to, tests included: it is short, and so are its lists of parameters."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("cli", "pipeline", "stages", "store", "tests", "docs", "benchmarks", "tools", "examples")
MOST_LINES, MOST_PARAMETERS = 300, 7


def files() -> list[Path]:
    return [*sorted((ROOT / "xmap").glob("*.py")), *(path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py")))]


def wide(code: str) -> Iterator[str]:
    """The functions with more parameters than they may have, `self` and `cls` aside. A Typer command has one a flag."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = node.args
            names = [each.arg for each in (*given.posonlyargs, *given.args, given.vararg, *given.kwonlyargs, given.kwarg) if each]
            if len([name for name in names if name not in ("self", "cls")]) > MOST_PARAMETERS:
                yield node.name


def test_no_file_is_long() -> None:
    assert len(files()) > 400
    long = {path.relative_to(ROOT).as_posix(): count for path in files() if (count := len(path.read_bytes().splitlines())) > MOST_LINES}
    assert long == {}


def test_no_function_takes_many_parameters() -> None:
    found = {
        f"{path.relative_to(ROOT).as_posix()} {name}"
        for path in files()
        for name in wide(path.read_text("utf-8"))
        if (path.parent, name) != (ROOT / "cli", "command")
    }
    assert found == set()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("def f(a, b, c, d, e, f, g): ...", []),
        ("def f(a, b, c, d, e, f, g, h): ...", ["f"]),
        ("async def f(a, b, /, c, *d, e, f, g, **h): ...", ["f"]),
        ("class C:\n    def f(self, a, b, c, d, e, f, g): ...", []),
        ("def g():\n    def f(a, b, c, d, e, f, g, *, h=1): ...", ["f"]),
    ],
)
def test_many_parameters_are_seen(code: str, expected: list[str]) -> None:
    assert list(wide(code)) == expected
