"""`xmap datasets`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xmap.cli.console import show
from xmap.cli.ends import FOUND
from xmap.cli.formats import Destination, Sheet, rows_of
from xmap.cli.options import FormatOption, JsonOption, OutputOption, QuietOption
from xmap.cli.tables import print_table
from xmap.store.errors import InputError, UnknownName

if TYPE_CHECKING:
    from xmap.stages.datasets.benchmarks.layouts import Benchmark
    from xmap.stages.datasets.benchmarks.table import Check

ACTIONS = ("list", "check")


def command(
    action: Annotated[str, typer.Argument(metavar="check", help="check: say what is there of a benchmark.", show_default=False)] = "list",
    name: Annotated[str, typer.Argument(metavar="NAME", help="A benchmark, or all.", show_default=False)] = "",
    root: Annotated[str, typer.Option("--root", metavar="DIR", help="Folder that holds the benchmarks in CoOp's layout.")] = "",
    form: FormatOption = "",
    output: OutputOption = "",
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """List the benchmarks; `check NAME --root DIR` says what is there, what is missing and how to lay it out.

    A check of something incomplete exits with 1.

    Example: xmap datasets check oxford_pets --root benchmarks
    """
    destination = Destination(form, output, json)
    if action not in ACTIONS:
        raise UnknownName("action", action, ACTIONS)
    if action == "list":
        from xmap.stages.datasets.benchmarks.table import ENTRIES

        destination.write(Sheet(rows_of([_facts(entry) for entry in ENTRIES]), show=_list))
    else:
        _check(name, root, destination)


def _list() -> None:
    from xmap.stages.datasets.benchmarks.table import ENTRIES

    columns = ("name", "benchmark", "folder", "classes", "train", "val", "test", "prompts")
    rows = [
        (
            entry.name,
            f"{entry.title}, target of ImageNet" if entry.target else entry.title,
            f"{entry.folder}/",
            *(f"{count:,}" if count else "" for count in (entry.classes, *entry.sizes)),
            entry.templates[0] if len(entry.templates) == 1 else f"{len(entry.templates)} prompts",
        )
        for entry in ENTRIES
    ]
    print_table(columns, rows, right=columns[3:7], spare=("prompts", "folder", "train", "val", "test"))
    show("use one with --data coop:NAME --root DIR, several with `xmap bench --datasets NAMES --root DIR`")


def _facts(entry: Benchmark) -> dict[str, Any]:
    names = ("name", "title", "folder", "images", "files", "templates", "classes", "sizes", "target")
    return {name: getattr(entry, name) for name in names}


def _check(name: str, root: str, destination: Destination) -> None:
    from xmap.stages.datasets.benchmarks.table import ENTRIES, benchmark, check, require_root

    if not name:
        raise InputError("name a benchmark: xmap datasets check NAME --root DIR, or all.")
    entries = list(ENTRIES) if name == "all" else [benchmark(name)]
    folder = require_root(root)
    checks = [check(entry, folder) for entry in entries]
    destination.write(Sheet(rows_of([_report(one) for one in checks]), show=partial(_show_all, checks)))
    if not all(one.complete for one in checks):
        raise typer.Exit(FOUND)


def _report(checked: Check) -> dict[str, Any]:
    return {
        "name": checked.entry.name,
        "complete": checked.complete,
        "missing": checked.missing,
        "problem": checked.problem,
        "classes": checked.classes,
        "images": checked.images,
        "absent": len(checked.absent),
        "absent_examples": checked.absent[:5],
        "remarks": checked.remarks,
    }


def _show_all(checks: Sequence[Check]) -> None:
    for one in checks:
        _show(one)


def _show(checked: Check) -> None:
    from xmap.stages.datasets.benchmarks.table import EXAMPLES, layout

    entry = checked.entry
    show(f"{entry.title}: {'complete' if checked.complete else 'not complete'}")
    if checked.images:
        counts = ", ".join(f"{count:,} {split}" for split, count in checked.images.items())
        show(f"  there: {checked.classes:,} classes, {counts}")
    for part in checked.missing:
        show(f"  missing: {part}")
    if checked.problem:
        show(f"  problem: {checked.problem}")
    if checked.absent:
        show(f"  missing: {len(checked.absent):,} listed images, such as {', '.join(checked.absent[:EXAMPLES])}")
    for remark in checked.remarks:
        show(f"  note: {remark}")
    if not checked.complete:
        show("  lay it out so:")
        for line in layout(entry):
            show(f"    {line}")
