"""Forward and backward of the image branch with trained keys, beside the published formula and the products it cannot avoid.

python -m benchmarks.training        rewrites its section of docs/benchmarks.md
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from benchmarks.page import write_section
from stages.affinity import affinity
from stages.task import Segments
from stages.trained_keys import TrainedKeySums

CLASSES, SHOTS, BATCH = 1000, 16, 256
KEYS = CLASSES * SHOTS
WIDTHS = (512, 1024)
BETA = 2.0
REPEATS = 9


def steps(width: int) -> dict[str, Callable[[], object]]:
    """What is timed, on the same tensors."""
    draw = torch.Generator().manual_seed(1)
    features = normalize(torch.randn(BATCH, width, generator=draw), dim=-1)
    keys = normalize(torch.randn(KEYS, width, generator=draw), dim=-1).requires_grad_()
    upstream = torch.randn(BATCH, CLASSES, generator=draw)
    split = Segments.of(torch.arange(CLASSES).repeat_interleave(SHOTS), CLASSES, SHOTS)
    hot = one_hot(split.labels, CLASSES).float()
    values = torch.randn(BATCH, KEYS, generator=draw)
    fast = TrainedKeySums(split, BETA, unit=False)
    optimizer = torch.optim.AdamW([keys], lr=1e-6)
    plain_keys = keys.detach()

    def formula() -> object:
        sums = affinity(features @ keys.T, BETA) @ hot
        return torch.autograd.grad((sums * upstream).sum(), keys)

    def ours() -> object:
        return torch.autograd.grad((fast(features, keys) * upstream).sum(), keys)

    def products() -> tuple[Tensor, Tensor]:
        return features @ plain_keys.T, values.T @ features

    def optimise() -> None:
        keys.grad = plain_keys
        optimizer.step()

    return {"formula": formula, "xmap": ours, "two products": products, "AdamW step": optimise}


def measure(width: int) -> dict[str, float]:
    """Seconds of each, the least of interleaved repeats."""
    todo = steps(width)
    least = dict.fromkeys(todo, float("inf"))
    for _ in range(REPEATS):
        for name, call in todo.items():
            started = time.perf_counter()
            call()
            least[name] = min(least[name], time.perf_counter() - started)
    return least


def main() -> None:
    """Measure, print and write the table."""
    lines = [
        f"One step of {BATCH} queries and {KEYS:,} trained keys of {CLASSES:,} classes, forward and backward, float32, "
        f"{torch.get_num_threads()} threads; milliseconds, the least of {REPEATS} interleaved repeats.",
        "",
        "| width | published formula | xmap | two bare products | formula / xmap | xmap / products | AdamW step, apart |",
        "|---|---|---|---|---|---|---|",
    ]
    for width in WIDTHS:
        found = measure(width)
        plain, ours, bare = found["formula"], found["xmap"], found["two products"]
        cells = [f"{1000 * seconds:.0f}" for seconds in (plain, ours, bare)]
        ratios = [f"{plain / ours:.2f}", f"{ours / bare:.2f}", f"{1000 * found['AdamW step']:.0f}"]
        lines.append(f"| {' | '.join([str(width), *cells, *ratios])} |")
    write_section("Training the image keys", "python -m benchmarks.training", lines)


if __name__ == "__main__":
    main()
