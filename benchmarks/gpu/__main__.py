"""python -m benchmarks.gpu        runs all GPU checks and rewrites their section of docs/benchmarks.md"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from benchmarks.gpu.checks import Check, engines, runs, searches, training
from benchmarks.page import write_section
from xmap.store.formats.index import VectorIndex, gpu_count

ASK = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--id=0"]
EVERY = 0.2


def main() -> None:
    """Run the checks; exit with 1 where one fails, with 2 where there is no GPU."""
    if not torch.cuda.is_available() or not gpu_count():
        missing = "torch" if not torch.cuda.is_available() else "faiss"
        print(f"These checks need an NVIDIA GPU and {missing} sees none; benchmarks/gpu/README.md says what they need.", file=sys.stderr)
        sys.exit(2)
    lines = [
        f"{torch.cuda.get_device_name(0)}, CUDA {torch.version.cuda}, tolerances as in benchmarks/gpu/README.md.",
        "",
        "| check | error | tolerance | CPU s | GPU s | CPU / GPU | |",
        "|---|---|---|---|---|---|---|",
    ]
    passed, busy = True, []
    with tempfile.TemporaryDirectory() as folder:
        parts: dict[str, Callable[[], Iterator[Check]]] = {
            "extraction to metrics": lambda: runs(Path(folder), "cuda"),
            "Ray beside the local engine (its seconds stand under CPU)": lambda: engines(Path(folder), "cuda"),
            "search": lambda: searches(VectorIndex.on_gpu),
            "training": lambda: training("cuda"),
        }
        for name, part in parts.items():
            with Busy() as seen:
                found = list(part())
            passed &= all(check.passed for check in found)
            lines += [row(check) for check in found]
            busy.append(f"{name} {seen.share:.0f} %")
    busy_line = f"Share of time the GPU was busy, the parts that ran on the CPU included: {', '.join(busy)}."
    write_section("GPU", "python -m benchmarks.gpu", [*lines, "", busy_line])
    sys.exit(0 if passed else 1)


def row(check: Check) -> str:
    """The check as a line of the table."""
    ratio = f"{check.cpu_seconds / check.device_seconds:.1f}"
    seconds = [f"{value:.4f}" for value in (check.cpu_seconds, check.device_seconds)]
    cells = [check.name, f"{check.error:.2g}", f"{check.tolerance:.2g}", *seconds, ratio, "same" if check.passed else "DIFFERS"]
    return f"| {' | '.join(cells)} |"


class Busy:
    """Asks the driver how busy the GPU is while the work inside runs; `share` is the mean in percent."""

    def __init__(self) -> None:
        self._seen: list[float] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    @property
    def share(self) -> float:
        return sum(self._seen) / len(self._seen) if self._seen else float("nan")

    def __enter__(self) -> Busy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(EVERY):
            asked = subprocess.run(ASK, capture_output=True, text=True)  # noqa: S603  (our own command)
            if asked.returncode == 0 and asked.stdout.strip().isdigit():
                self._seen.append(float(asked.stdout))


if __name__ == "__main__":
    main()
