"""Wall time of whole processes: `xmap --help`, and a run of the demo's digits that builds nothing.

python -m benchmarks.startup        rewrites its section of docs/benchmarks.md
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.page import write_section
from benchmarks.process import COMMAND

RUNS = 7


def seconds(arguments: list[str]) -> list[float]:
    """Wall times of `RUNS` processes, after one that is not counted."""
    times = []
    for _ in range(RUNS + 1):
        started = time.perf_counter()
        subprocess.run([*COMMAND, *arguments], check=True, capture_output=True)  # noqa: S603  (our own command)
        times.append(time.perf_counter() - started)
    return times[1:]


def main() -> None:
    """Measure, print and write the table."""
    with tempfile.TemporaryDirectory() as folder:
        images, store = Path(folder) / "digits", Path(folder) / "store"
        from xmap.stages.datasets.digits import write_digits

        write_digits(images)
        run = ["run", "--data", str(images), "--model", "xmap-tiny", "--views", "0", "--store", str(store)]
        subprocess.run([*COMMAND, *run], check=True, capture_output=True)  # noqa: S603  (our own command)
        python = [sys.executable, "-c", "pass"]
        bare = []
        for _ in range(RUNS):
            started = time.perf_counter()
            subprocess.run(python, check=True)  # noqa: S603  (an empty Python)
            bare.append(time.perf_counter() - started)
        rows = {"python -c pass": bare, "xmap --help": seconds(["--help"]), "xmap run (1,797 images, nothing to build)": seconds(run)}
    table = ["| whole process | median s | min s | max s | x an empty Python |", "|---|---|---|---|---|"]
    base = statistics.median(bare)
    for name, times in rows.items():
        middle = statistics.median(times)
        table.append(f"| `{name}` | {middle:.2f} | {min(times):.2f} | {max(times):.2f} | {middle / base:.1f} |")
    write_section("Start-up", "python -m benchmarks.startup", table)


if __name__ == "__main__":
    main()
