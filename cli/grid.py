"""The grid of the benchmark as people see it: methods x shots, with published numbers and differences."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from xmap.cli.console import interval, points, show
from xmap.cli.results import explained, kind_of, marks_of, print_costs, shots_of
from xmap.cli.tables import print_table

if TYPE_CHECKING:
    from xmap.pipeline.studies.bench import BenchResult, Cell
    from xmap.pipeline.studies.published import Published

HERE = "measured here"
PROTOCOLS = {
    "few": "protocol few: settings chosen on min(shots, 4) validation samples a class, test opened once",
    "paper": "protocol paper: settings were chosen on the FULL validation split, as in many papers (where there is one; see selected on)",
}


def print_grids(result: BenchResult, protocol: str) -> None:
    """A grid a data set with published numbers beside it, the differences from XMAdapter, what it costs, and the averages."""
    from xmap.pipeline.studies.published import published, published_average

    grids: dict[tuple[str, str], list[Cell]] = {}
    for cell in result.cells:
        if not cell.target:
            grids.setdefault((cell.benchmark, cell.dataset), []).append(cell)
    for (name, _), cells in grids.items():
        _grid(cells[0].title, _measured(cells), published(name), cells, protocol)
        _differences(cells, protocol)
        most = max(cells, key=lambda cell: cell.shots)
        show(f"{most.title}: costs at {_columns([most.shots])[0]}")
        print_costs(most.results)
    if len(grids) > 1:
        cells = [cell for found in grids.values() for cell in found]
        beside = published_average([name for name, _ in grids])
        _grid(f"average over {len(grids)} datasets", _averages(cells), beside, cells, protocol)
    if any(cell.target for cell in result.cells):
        _domains(result.cells, protocol)


def _measured(cells: Sequence[Cell]) -> dict[str, dict[int, str]]:
    """For each method and number of shots, accuracy and half its interval with the sign of its kind."""
    rows: dict[str, dict[int, str]] = {}
    marks = marks_of(_rows(cells))
    for cell in cells:
        for row in cell.results:
            low, high = row["accuracy_ci95"]
            rows.setdefault(row["method"], {})[cell.shots] = f"{row['accuracy_mean']:.2f} ±{(high - low) / 2:.2f}{marks[row['ci_kind']]}"
    return rows


def _rows(cells: Sequence[Cell]) -> list[Mapping[str, Any]]:
    return [row for cell in cells for row in cell.results]


def _averages(cells: Sequence[Cell]) -> dict[str, dict[int, str]]:
    from xmap.pipeline.studies.bench import means

    rows: dict[str, dict[int, str]] = {}
    for (method, shots), mean in means(cells).items():
        rows.setdefault(method, {})[shots] = f"{mean:.2f}"
    return rows


def _grid(title: str, measured: Mapping[str, Mapping[int, str]], beside: Sequence[Published], cells: Sequence[Cell], protocol: str) -> None:
    """Methods x shots: ours, then what others published."""
    shots = sorted({cell.shots for cell in cells})
    rows: list[tuple[str, ...]] = [(method, *(texts.get(count, "") for count in shots), HERE) for method, texts in measured.items()]
    for row in beside:
        numbers = [f"{row.accuracy[count]:.2f}" if count in row.accuracy else "" for count in shots]
        if any(numbers):
            rows.append((f"published {row.source.method}", *numbers, row.source.words))
    show(f"{title}: accuracy %")
    columns = _columns(shots)
    print_table(("method", *columns, "source"), rows, right=columns, spare=("source",), repeat=1)
    _caption(cells, protocol, intervals=any("±" in text for texts in measured.values() for text in texts.values()))


def _columns(shots: Sequence[int]) -> tuple[str, ...]:
    return tuple(shots_of(count) for count in shots)


def wide(cells: Sequence[Cell]) -> tuple[dict[str, list[str]], tuple[str, ...]]:
    """A row a data set and method, a column a number of shots: what a document shows, and which columns are numbers."""
    shots = sorted({cell.shots for cell in cells})
    found: dict[tuple[str, str], dict[int, str]] = {}
    for cell in cells:
        for method, numbers in _measured([cell]).items():
            found.setdefault((cell.title, method), {}).update({count: text.strip(" *+") for count, text in numbers.items()})
    kinds = {(cell.title, row["method"]): str(row["ci_kind"]) for cell in cells for row in cell.results}
    columns = {"dataset": [title for title, _ in found], "method": [method for _, method in found]}
    columns |= {shots_of(count): [texts.get(count, "") for texts in found.values()] for count in shots}
    return columns | {"interval": [kinds[place] for place in found]}, _columns(shots)


def _caption(cells: Sequence[Cell], protocol: str, intervals: bool) -> None:
    """What the numbers above are: the protocol in every table, on what was selected, and the kinds of intervals."""
    results = _rows(cells)
    seeds = ", ".join(str(seed) for seed in results[0]["seeds"]) if results else ""
    show(PROTOCOLS[protocol])
    show(f"selected on: {_several(row['selected_on'] for row in results)}")
    for row in results:
        if row.get("pool"):
            show(f"{row['method']} at {shots_of(row['shots'])} learned from images without labels too: {row['pool']}")
    kinds = f"; ± is half a 95 % interval: {explained(marks_of(results))}" if intervals else ""
    show(f"seeds {seeds}{kinds}")
    typer.echo("")


def _several(words: Any) -> str:
    return "; ".join(dict.fromkeys(str(word) for word in words))


def _differences(cells: Sequence[Cell], protocol: str) -> None:
    """How XMAdapter differs from each other method on the same samples."""
    from xmap.pipeline.studies.bench import OURS, against_ours

    by_shots = {cell.shots: against_ours(cell.differences) for cell in cells}
    shots, others = sorted(by_shots), dict.fromkeys(other for row in by_shots.values() for other in row)
    if not others:
        return
    marks = marks_of([row for rows in by_shots.values() for row in rows.values()])
    show(f"{cells[0].title}: {OURS} minus each other method, points, with the paired 95 % interval: {explained(marks)}")
    rows = [(other, *(_difference(by_shots[count].get(other), marks) for count in shots)) for other in others]
    print_table((f"{OURS} minus", *_columns(shots)), rows, right=_columns(shots), repeat=1)
    show(PROTOCOLS[protocol])
    typer.echo("")


def _difference(row: Mapping[str, Any] | None, marks: Mapping[str, str]) -> str:
    if row is None:
        return ""
    return f"{points(row['difference'])} {interval(row['ci95'])}{marks[kind_of(row)].strip()}{' tie' if row['tie'] else ''}"


def _domains(cells: Sequence[Cell], protocol: str) -> None:
    """Adapters of ImageNet on ImageNet and its variants."""
    from xmap.pipeline.studies.published import TARGETS, published_domains

    shown = [cell for cell in cells if cell.benchmark in TARGETS]
    names = [name for name in TARGETS if any(cell.benchmark == name for cell in shown)]
    titles = [next(cell.title for cell in shown if cell.benchmark == name) for name in names]
    variants = [name for name in names if name != TARGETS[0]]
    found: dict[tuple[int, str], dict[str, float]] = {}
    for cell in shown:
        for row in cell.results:
            found.setdefault((cell.shots, row["method"]), {})[cell.benchmark] = row["accuracy_mean"]
    rows = [(method, str(shots), *_numbers(values, names, variants), HERE) for (shots, method), values in sorted(found.items())]
    for source, table in published_domains():
        shots = "0" if source.method == "zero-shot" else "16"
        rows.append((f"published {source.method}", shots, *_numbers(table, names, variants), source.words))
    show("domain generalisation, adapted on ImageNet: accuracy %; logits restricted to each target's classes")
    columns = ("shots", *titles, "average of variants")
    print_table(("method", *columns, "source"), rows, right=columns, spare=("source",), repeat=2)
    _caption(shown, protocol, intervals=False)


def _numbers(values: Mapping[str, float], names: Sequence[str], variants: Collection[str]) -> list[str]:
    there = all(name in values for name in variants)
    average = f"{sum(values[name] for name in variants) / len(variants):.2f}" if there else ""
    return [*(f"{values[name]:.2f}" if name in values else "" for name in names), average]
