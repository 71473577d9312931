"""Planning and a run that finds everything over many small files, beside a bare walk over the same files; and over a listing of no files.

python -m benchmarks.planning [DIR]        rewrites its table of docs/scale.md; the files are made in DIR where they are not there

A run finds everything in a store that holds the identities of features and no rows: planning asks for no more.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from benchmarks.page import PAGE, machine, replace_between
from benchmarks.process import Cost, measure
from xmap.pipeline.run.plan import make_plan
from xmap.pipeline.settings.config import XmapConfig
from xmap.stages.names import IMAGES, part_of
from xmap.store.artifacts.artifact import Draft, Store

SCALE = PAGE.with_name("scale.md")
FEW, SIZES, LISTED, CLASSES = 20, (200_000, 1_000_000), 10_000_000, 100
WALK = """
import os, sys, time
started, waiting = time.process_time(), [sys.argv[1]]
while waiting:
    with os.scandir(waiting.pop()) as listing:
        for entry in listing:
            waiting.append(entry.path) if entry.is_dir() else entry.stat()
print(time.process_time() - started)
"""


def write_files(folder: Path, count: int) -> Path:
    """So many small images in class folders, each of its own bytes."""
    data = io.BytesIO()
    Image.new("L", (8, 8)).save(data, "png")
    for label in range(CLASSES):
        (folder / f"class{label}").mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = folder / f"class{number % CLASSES}" / f"{number:07d}.png"
        if not path.exists():
            path.write_bytes(data.getvalue() + b"%07d" % number)
    return folder


def complete(store: Store, data: Path) -> list[str]:
    """Have the store hold what a run over `data` makes, and return the words of such a run."""
    config = XmapConfig().override({"data.data": str(data), "encoder.model": "xmap-tiny", "extract.views": 0})
    about = {"dataset": data.name, "classes": ["a", "b"], "logit_scale": 100.0, "width": 8}
    images = {"counts": {"train": 1}, "parts": {"train": part_of({"made": "up"})}, "errors": 0, "bad": 0, "views": 0}
    texts = {"templates": ["a photo of a {}."], "cut_prompts": 0}
    for step in make_plan(store, config, IMAGES).steps[:2]:
        with store.build(step.identity) as draft:
            if isinstance(draft, Draft):
                draft.commit({**about, **(images if step.stage == IMAGES else texts)})
    return ["extract", "--data", str(data), "--model", "xmap-tiny", "--views", "0", "--quiet", "--store", str(store.root)]


def printed(*command: str) -> str:
    """What a command of Python prints."""
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, check=True).stdout  # noqa: S603  (our own)


def row(count: int, found: Cost, start: Cost, walk: float) -> str:
    """One line of the table."""
    above = found.processor - start.processor
    each = (found.peak - start.peak) / count
    return f"| {count:,} | {walk:.2f} | {found.processor:.2f} | {found.processor / walk:.1f} | {above / walk:.1f} | {each:.0f} |"


def main() -> None:
    """Measure, print and write the table."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(name)
        start = measure(complete(Store(Path(name) / "store-few"), write_files(root / "few", FEW)))
        lines = []
        for count in SIZES:
            data = write_files(root / f"files-{count}", count)
            words = complete(Store(Path(name) / f"store-{count}"), data)
            lines.append(row(count, measure(words), start, float(printed("-c", WALK, str(data)))))
    listed = json.loads(printed("-m", "benchmarks.listing", str(LISTED)))
    memory = (listed["peak"] - listed["start"]) / LISTED
    table = [
        "| files | bare walk, s | run that finds all, s | times the walk | over its start | bytes an image over its start |",
        "|---|---|---|---|---|---|",
        *lines,
        "",
        f"Seconds of the processor; the start alone takes {start.processor:.2f} s. {LISTED:,} listed images that nobody has are planned in "
        f"{listed['seconds']:.0f} s and {listed['peak'] / 1e9:.1f} GB, {memory:.0f} bytes an image; a billion would take "
        f"{listed['seconds'] / LISTED * 1e9 / 3600:,.1f} hours and {memory:,.0f} GB. {machine()}.",
    ]
    replace_between(SCALE, "python -m benchmarks.planning", {"planning": table})


if __name__ == "__main__":
    main()
