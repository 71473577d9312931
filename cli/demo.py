"""`xmap demo`."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from xmap.cli.console import say
from xmap.cli.options import JsonOption, QuietOption
from xmap.pipeline.settings.config import FILE
from xmap.store.errors import InputError

# The prompt that xmap-tiny's captions name for digits; nothing here was chosen by its results.
TEMPLATE = "a photo of the digit {}."
QUERY = (
    "select sample_id, class_name as digit, predicted_name as predicted, round(affinity_image, 3) as image, "
    "round(affinity_text, 3) as text, neighbors[1].sample_id as nearest_cached "
    "from affinity where method = 'xmadapter' and split = 'test' and seed = 1 and not correct order by margin limit 5"
)


def command(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Where to put images and store.", show_default=False)] = "demo",
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Adapt a tiny CLIP, which has only seen print, to 1,797 handwritten digits: the whole job, offline, command by command.

    Writes DIR/digits and DIR/.xmap (default DIR: demo). Needs scikit-learn for the digits: pip install 'xmap[demo]'.

    Example: xmap demo
    """
    started = time.monotonic()
    if Path(FILE).exists():
        raise InputError(f"the {FILE} here would change what the demo does; start it in another folder.")
    told, say = ["--quiet"] * quiet, _silent if quiet else _say
    # At once: importing what the digits come with takes a while.
    say("Writes handwritten digits as images, adapts a tiny CLIP to them and shows what came of it; under a minute on a quiet machine.\n")
    from xmap.stages.datasets.digits import write_digits

    images, store = Path(folder) / "digits", Path(folder) / ".xmap"
    count = write_digits(images)
    say(f"{count:,} handwritten digits are in {images}, one folder a class, as your own images would be.\n")
    _type(["xmap", "run", *run_flags(images, store), *told, *(["--json"] * json)], say)
    if json:
        return
    say("\nThe five worst mistakes, the affinity of each to its true class, and the cached image nearest to it:\n")
    _type(["xmap", "sql", "--store", str(store), QUERY], say)
    page = Path(folder) / "report.html"
    say("\nAll of it to look at and click through, each prediction with its evidence:\n")
    _type(["xmap", "report", "--store", str(store), "-o", str(page), *told], say)
    say(_next(images, store, page, time.monotonic() - started))


def run_flags(images: Path, store: Path) -> list[str]:
    """The flags of the demo's run: as a user would give them for images of their own."""
    named = ["--data", str(images), "--model", "xmap-tiny", "--template", TEMPLATE]
    # Writing has a left and a right: the mirrored crops that views make of photographs would be other signs.
    return [*named, "--views", "0", "--shots", "16", "--seeds", "1,2,3", "--store", str(store)]


def _type(words: list[str], say: Callable[[str], None]) -> None:
    """Show a command, then do what the console script does with it. Ends the demo with the command's exit code if that is not 0."""
    from xmap.cli.main import app

    say(f"$ {' '.join(map(_quoted, words))}")
    code = app(words[1:], prog_name=words[0], standalone_mode=False)
    sys.stdout.flush()
    if code:
        raise typer.Exit(int(code))


def _quoted(word: str) -> str:
    """A word as a person would quote it: double quotes around text with single ones."""
    return f'"{word}"' if "'" in word and not set(word) & set('"$`\\!') else shlex.quote(word)


def _say(line: str) -> None:
    for part in line.split("\n"):
        say(part)


def _silent(line: str) -> None:
    """Says nothing."""


def _next(images: Path, store: Path, page: Path, seconds: float) -> str:
    again = shlex.join(["xmap", "run", *run_flags(images, store)])
    return (
        f"That took {seconds:.0f} s. What to do next:\n"
        f"  {again}\n"
        "      once more: every stage is reused\n"
        f"  xmap status --store {shlex.quote(str(store))}\n"
        "      what is stored\n"
        f"  xmap predict {shlex.quote(str(images / '3'))} --explain --store {shlex.quote(str(store))}\n"
        "      the adapter on new images, with the evidence\n"
        "  xmap run --data FOLDER --model xmap-tiny\n"
        "      your own images, one folder a class (docs/guide.md)\n"
        f"Open in a browser: {page}"
    )
