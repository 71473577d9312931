"""python -m benchmarks.gpu        runs all GPU checks and rewrites their section of docs/benchmarks.md"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch

from benchmarks.gpu.checks import Check, engines, orders, runs, searches, training
from benchmarks.gpu.rates import extraction_rates, step_rates
from benchmarks.page import write_section
from xmap.store.formats.index import VectorIndex, gpu_count

ASK = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--id=0"]
EVERY = 0.2
HEAD = ["| check | error | tolerance | CPU s | GPU s | CPU / GPU | |", "|---|---|---|---|---|---|---|"]


@dataclass(frozen=True)
class Part:
    """Checks that run together; `lacking` says what keeps them from running here, or nothing."""

    name: str
    run: Callable[[Path], Iterator[Check]]
    lacking: Callable[[], str] = lambda: ""


def _module(name: str) -> Callable[[], str]:
    return lambda: "" if find_spec(name) else f"{name} is not installed"


def _orders(model: str, folder: Path) -> Iterator[Check]:
    return orders(folder, "cuda", model, 1_000)


PARTS = (
    Part("extraction to metrics", lambda folder: runs(folder, "cuda"), _module("sklearn")),
    Part("Ray beside the local engine (its seconds stand under CPU)", lambda folder: engines(folder, "cuda"), _module("ray")),
    *(Part(f"{model} in two orders", partial(_orders, model), _module("open_clip")) for model in ("ViT-B-32", "RN50")),
    Part("search", lambda _: searches(VectorIndex.on_gpu), lambda: "" if gpu_count() else "this build of FAISS sees no GPU"),
    Part("training", lambda _: training("cuda")),
)
TABLES = {"extraction": extraction_rates, "training": step_rates}


def main() -> None:
    """Run the checks; exit with 1 where one fails, with 2 where there is no GPU. What cannot run is named and hinders nothing else."""
    if not torch.cuda.is_available():
        print("These checks need an NVIDIA GPU and torch sees none; benchmarks/gpu/README.md says what they need.", file=sys.stderr)
        sys.exit(2)
    device = torch.cuda.get_device_name(0)
    lines = [f"{device}, CUDA {torch.version.cuda}, tolerances as in benchmarks/gpu/README.md.", "", *HEAD]
    passed, busy, unrun = True, list[str](), list[str]()
    for part in PARTS:
        if reason := part.lacking():
            unrun.append(f"{part.name}: {reason}")
            continue
        with tempfile.TemporaryDirectory() as folder, Busy() as seen:
            try:
                found = list(part.run(Path(folder)))
            except subprocess.CalledProcessError as error:
                unrun.append(f"{part.name}: {(error.stderr or b'').decode(errors='replace').strip().splitlines()[-1:]}")
                passed = False
                continue
        passed &= all(check.passed for check in found)
        lines += [row(check) for check in found]
        busy.append(f"{part.name} {seen.share:.0f} %")
    lines += ["", f"Share of time the GPU was busy, the parts that ran on the CPU included: {', '.join(busy)}."]
    for table in TABLES.values():
        with tempfile.TemporaryDirectory() as folder:
            lines += ["", *table(Path(folder))]
    lines += ["", *(f"Not run: {reason}." for reason in unrun)]
    write_section("GPU", "python -m benchmarks.gpu", lines)
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
