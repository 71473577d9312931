"""How long work shows itself on stderr: bars on a terminal, plain lines elsewhere; and what became of each step."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from xmap.cli.console import duration, plain, say
from xmap.stages.workplace.progress import Progress, Silent

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

    from xmap.pipeline.run.execute import StepOutcome

EVERY_SECONDS = 5.0


def outcome_line(outcome: StepOutcome) -> str:
    """`reused` or `built`, what, how long, and why."""
    took = f" in {outcome.seconds:.1f} s" if outcome.state == "built" else ""
    reason = f" ({outcome.why})" if outcome.why else ""
    return f"{outcome.state:6}  {outcome.title}{took}{reason}"


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
        self._task = self._bars.add_task(plain(what), total=total, completed=done, rate="")

    def advance(self, units: int) -> None:
        self._rate.advance(units)
        if self._task is None:
            return
        self._bars.update(self._task, advance=units, rate=self._rate.shown)
        if self._rate.done >= self._rate.total:
            # What is printed next is not to stand below a bar.
            self._bars.remove_task(self._task)
            self._bars.refresh()
            self._task = None

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
