"""What people see: tables on stdout; progress, outcomes and remarks on stderr."""

from __future__ import annotations

import json
import math
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unicodedata import category

import typer

from stages.progress import Progress, Silent

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

    from pipeline.run import StepOutcome

EVERY_SECONDS = 5.0
WIDTH = 160
_HALF_PAIR = re.compile("[\ud800-\udfff]")

# Marks that turn the direction of the text after them: a name must not rewrite the sentence around it.
_TURNING = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def plain(text: str) -> str:
    """`text` on one line and harmless to a terminal: what a name may hold beside letters is shown as its escape."""
    return "".join(_escaped(sign) if category(sign) in ("Cc", "Cs", "Zl", "Zp") or sign in _TURNING else sign for sign in text)


def _escaped(sign: str) -> str:
    return sign.encode("unicode_escape").decode()


def say(line: str) -> None:
    """One line on stderr."""
    typer.echo(plain(line), err=True)


def warn(line: str) -> None:
    """One line on stderr that names xmap, as errors do."""
    say(f"xmap: {line}")


def print_json(value: Any) -> None:
    """`value` as JSON on stdout; numbers that JSON cannot say are null."""
    try:
        text = _json(value)
    except ValueError:
        text = _json(_finite(value))
    # A path that is no UTF-8 holds halves of surrogate pairs, which JSON can say and an encoder cannot.
    typer.echo(_HALF_PAIR.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False, default=str)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], right: Sequence[str] = ()) -> None:
    """A table on stdout; the columns named in `right` are aligned right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_plain(cell) for cell in row))
    console.print(table, markup=False)


def _plain(cell: object) -> Any:
    from rich.text import Text

    return Text("" if cell is None else plain(str(cell)))


def outcome_line(outcome: StepOutcome) -> str:
    """`reused` or `built`, what, how long, and why."""
    took = f" in {outcome.seconds:.1f} s" if outcome.state == "built" else ""
    reason = f" ({outcome.why})" if outcome.why else ""
    return f"{outcome.state:6}  {outcome.title}{took}{reason}"


def print_results(results: Sequence[Mapping[str, Any]], differences: Sequence[Mapping[str, Any]]) -> None:
    """Methods side by side with their intervals, then what they cost, then how they differ on the same samples."""
    columns = ("method", "accuracy %", "95 % interval", "top-5 %", "ECE %", "trials", "selected on")
    rows = [
        (
            row["method"],
            f"{row['accuracy_mean']:.2f}",
            interval(row["accuracy_ci95"]),
            _number(row.get("top5_mean"), 2),
            _number(row.get("ece_mean"), 1),
            row["trials"],
            row["selected_on"],
        )
        for row in results
    ]
    print_table(columns, rows, right=columns[1:6])
    if results:
        kinds = {str(row["method"]): str(row["ci_kind"]) for row in results}
        seeds = ", ".join(str(seed) for seed in results[0]["seeds"])
        typer.echo(f"{results[0]['shots']} shots; seeds {seeds}; intervals: {_kinds(kinds)}")
        print_costs(results)
    for row in differences:
        typer.echo(difference_line(row))
    for row in results:
        if row.get("edges"):
            typer.echo(f"{row['method']}: the choice of {', '.join(row['edges'])} lies at the edge of its grid.")


def print_costs(results: Sequence[Mapping[str, Any]]) -> None:
    """What each method costs. The peak is the whole process's (or the GPU's) while training, so methods share what it begins with."""
    columns = ("method", "parameters", "train s", "peak memory", "ms a query", "stored")
    rows = [
        (
            row["method"],
            f"{row['trainable_parameters']:,}",
            _number(row["train_seconds"], 1),
            "" if row.get("peak_bytes") is None else size(row["peak_bytes"]),
            _number(row.get("ms_per_query"), 3),
            size(row["stored_bytes"]),
        )
        for row in results
    ]
    print_table(columns, rows, right=columns[1:])
    tuned = next((row for row in results if row.get("text") == "coop"), None)
    if tuned:
        numbers, tried = f"{tuned['text_parameters']:,} numbers", f"{tuned['text_trials']} trials"
        typer.echo(f"before them, CoOp tuned the class texts: {numbers}, {tuned['text_seconds']:.1f} s a seed, {tried}; in no row above")


def _kinds(kinds: Mapping[str, str]) -> str:
    if len(set(kinds.values())) == 1:
        return next(iter(kinds.values()))
    return "; ".join(f"{method} {kind}" for method, kind in kinds.items())


def difference_line(row: Mapping[str, Any]) -> str:
    """A paired difference in points, called a tie where its interval holds zero."""
    verdict = ": a tie" if row["tie"] else ""
    return f"{row['method']} - {row['against']}: {points(row['difference'])} points, paired 95 % interval {interval(row['ci95'])}{verdict}"


def points(difference: float) -> str:
    """A difference of accuracies, signed; what rounds to nothing has no minus."""
    return f"{round(difference, 2) + 0.0:+.2f}"


def interval(bounds: Any) -> str:
    """`[low, high]` with two decimals."""
    return f"[{bounds[0]:.2f}, {bounds[1]:.2f}]" if isinstance(bounds, Sequence) else str(bounds)


def _number(value: Any, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def size(count: int) -> str:
    """A number of bytes for people."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def duration(seconds: float) -> str:
    """A time span for people."""
    for limit, unit, divisor in ((120, "s", 1), (7200, "min", 60), (172800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / divisor:.0f} {unit}"
    return f"{seconds / 86400:.0f} days"


@contextmanager
def progress_on_stderr(quiet: bool) -> Iterator[Progress]:
    """Bars with rate and time left on a terminal, a plain line every few seconds elsewhere, nothing when `quiet`."""
    if quiet:
        yield Silent()
    elif sys.stderr.isatty():
        with _bars() as bars:
            yield _Terminal(bars)
    else:
        yield _Lines()


def _bars() -> Bars:
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[rate]}", markup=False),
        progress.TimeRemainingColumn(),
    )
    return progress.Progress(*columns, console=Console(stderr=True), transient=True)


class _Rate:
    """Units a second since the task began, without those that were there before."""

    def __init__(self, total: int, done: int) -> None:
        self.total, self.done, self.fresh = total, done, 0
        self.started = time.monotonic()

    def advance(self, units: int) -> None:
        self.done, self.fresh = self.done + units, self.fresh + units

    @property
    def rate(self) -> float:
        return self.fresh / max(time.monotonic() - self.started, 1e-6)

    @property
    def shown(self) -> str:
        return f"{self.rate:.0f}/s" if self.rate >= 10 else f"{self.rate:.1f}/s"

    @property
    def left(self) -> str:
        return f"{duration((self.total - self.done) / self.rate)} left" if self.rate > 0 else "time left unknown"


class _Terminal:
    """Progress as a bar; each task replaces the one before."""

    def __init__(self, bars: Bars) -> None:
        self._bars, self._task, self._rate = bars, None, _Rate(0, 0)

    _task: Any

    def start(self, what: str, total: int, done: int = 0) -> None:
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._rate = _Rate(total, done)
        self._task = self._bars.add_task(what, total=total, completed=done, rate="")

    def advance(self, units: int) -> None:
        self._rate.advance(units)
        if self._task is not None:
            self._bars.update(self._task, advance=units, rate=self._rate.shown)

    def say(self, line: str) -> None:
        self._bars.console.print(plain(line), markup=False, highlight=False, soft_wrap=True)


class _Lines:
    """Progress as plain lines."""

    def __init__(self) -> None:
        self._what, self._rate, self._spoke = "", _Rate(0, 0), time.monotonic()

    def start(self, what: str, total: int, done: int = 0) -> None:
        self._what, self._rate, self._spoke = what, _Rate(total, done), time.monotonic()
        if done:
            self.say(f"{what}: {done:,} of {total:,} are there from an earlier run")

    def advance(self, units: int) -> None:
        self._rate.advance(units)
        if time.monotonic() - self._spoke >= EVERY_SECONDS and self._rate.done < self._rate.total:
            self._spoke = time.monotonic()
            self.say(f"{self._what}: {self._rate.done:,} of {self._rate.total:,}, {self._rate.shown}, {self._rate.left}")

    def say(self, line: str) -> None:
        say(line)
