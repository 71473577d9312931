"""A run on images of which every name that somebody chooses is hostile to a terminal, and what is harmless to print."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from PIL import Image
from typer.testing import Result

from tests.worlds.commands import call

# What makes a terminal do something: colours, titles, its clipboard, tmux's passage, one-byte controls; and marks that turn text.
HOSTILE = (
    "\x1b[31mred",
    "\x1b]0;title\x07",
    "\x1b]52;c;cm0=\x07",
    "\x1bPtmux;\x1b\x1b]0;x\x07\x1b\\",
    "\x9b2Jcleared",
    "\u202egnp.exe",
    "\u2066isolated\u2069",
    "a\rb",
    "a\nxmap: no damage found",
    "bell\x07",
    "back\x08\x08",
    "\u2028line",
    "[bold]markup[/bold]",
    "=1+1",
)
HARMFUL = re.compile("[\0-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069\ud800-\udfff]")
# A spreadsheet needs breaks within cells, and marks of direction; on a terminal it gets neither.
IN_CSV = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
RUN = ("--model", "xmap-tiny", "--views", "0", "--workers", "0", "--shots", "1", "--seeds", "1", "--methods", "zero-shot,tip-adapter")


def is_harmless(result: Result, form: str = "") -> None:
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert not (IN_CSV if form == "csv" else HARMFUL).search(result.stdout), result.stdout
    assert not HARMFUL.search(result.stderr), result.stderr


def hostile_run(folder: Path) -> Path:
    """Images of three classes and a store of a run on them, where every name that somebody chooses is hostile."""
    folder = folder / "\x1b[32mfolder"
    folder.mkdir()
    draw = np.random.default_rng(0)
    for split, count in (("train", 3), ("val", 2), ("test", 5)):
        for label, name in enumerate(HOSTILE[:3]):
            for number in range(count):
                path = (
                    folder / "photos" / split / name / f"{HOSTILE[(number + label * count) % len(HOSTILE)].replace('/', '')} {number}.png"
                )
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = np.clip(draw.normal(90 * label + 30, 25, (32, 32, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(path)
    (folder / "photos" / "test" / HOSTILE[0] / "\x1b[31mbroken.png").write_text("no picture")
    done = call("run", "--data", folder / "photos", *RUN, "--store", folder / "store")
    assert done.exit_code == 0, done.output
    is_harmless(done)
    return folder
