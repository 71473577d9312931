"""Training of trained keys: the step of the image branch beside the published formula, torch.compile and the products it cannot
avoid; and whole epochs of XMAdapter.

python -m benchmarks.training        rewrites its section of docs/benchmarks.md
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from benchmarks.page import write_section
from xmap.pipeline.upkeep.probe import least_seconds
from xmap.stages.fewshot.task import FewShotTask, Segments, Support, Text
from xmap.stages.methods import xmadapter
from xmap.stages.methods.maths.affinity import affinity, class_scale, class_sums, left_out_scale
from xmap.stages.methods.maths.discriminant import Anchor, Spaces
from xmap.stages.methods.maths.trained_keys import TrainedKeySums
from xmap.stages.methods.options import XMAdapterOptions
from xmap.stages.methods.protocol import NoLog

CLASSES, SHOTS, BATCH = 1000, 16, 256
KEYS = CLASSES * SHOTS
WIDTHS = (512, 1024)
BETA = 2.0
REPEATS, TURNS = 9, 3


def tensors(width: int) -> tuple[Tensor, Tensor, Tensor, Segments]:
    """Unit queries (B, C), unit keys (M, C) that are trained, the gradient (B, N) of their class sums, and which key is of which class."""
    draw = torch.Generator().manual_seed(1)
    features = normalize(torch.randn(BATCH, width, generator=draw), dim=-1)
    keys = normalize(torch.randn(KEYS, width, generator=draw), dim=-1).requires_grad_()
    upstream = torch.randn(BATCH, CLASSES, generator=draw)
    return features, keys, upstream, Segments.of(torch.arange(CLASSES).repeat_interleave(SHOTS), CLASSES, SHOTS)


def steps(width: int) -> dict[str, Callable[[], object]]:
    """What is timed, on the same tensors."""
    features, keys, upstream, split = tensors(width)
    hot = one_hot(split.labels, CLASSES).float()
    values = torch.randn(BATCH, KEYS, generator=torch.Generator().manual_seed(2))
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


def compiled(width: int) -> Callable[[], object]:
    """The class sums as plain torch, compiled: what our own gradient has to be better than."""
    features, keys, upstream, split = tensors(width)
    _ = split.even

    @torch.compile
    def sums(features: Tensor, keys: Tensor) -> Tensor:
        return class_sums(affinity(features @ keys.T, BETA), split)

    return lambda: torch.autograd.grad((sums(features, keys) * upstream).sum(), keys)


class PublishedSums:
    """The class sums as papers write them: a product with the one-hot values, and autograd."""

    def __init__(self, segments: Segments, beta: float, unit: bool) -> None:
        self._segments, self._beta, self._unit = segments, beta, unit
        self._values = one_hot(segments.labels, segments.classes).float()

    def __call__(self, features: Tensor, keys: Tensor, own: Tensor) -> Tensor:
        values = affinity(features @ (normalize(keys, dim=-1) if self._unit else keys).T, self._beta)
        keep = torch.ones_like(values)
        keep[torch.arange(len(own)), own] = 0.0
        return (values * keep) @ self._values * class_scale(self._segments) * left_out_scale(own, self._segments)


def training_seconds(sums: type, epochs: int) -> float:
    """So many epochs of XMAdapter with trained keys, 512 wide, without the leave-one-out sides before the first and after the last."""
    draw = torch.Generator().manual_seed(1)

    def directions(count: int) -> Tensor:
        return normalize(torch.randn(count, 512, generator=draw), dim=-1)

    # Classes as near to each other as CLIP's are: with classes far apart all gradients would be too small for ordinary numbers.
    texts = normalize(directions(1) + 0.35 * directions(CLASSES), dim=-1)
    labels = torch.arange(CLASSES).repeat_interleave(SHOTS)
    views = (texts[labels] + 0.8 * directions(KEYS))[:, None]
    support = Support.of([f"{row:05d}" for row in range(KEYS)], labels, views, SHOTS, CLASSES)
    text = Text(tuple(map(str, range(CLASSES))), texts, 100.0)
    task = FewShotTask(text, support, None, 1, "nothing")
    identity = torch.eye(512)
    anchor = Anchor(identity, torch.ones(512), texts, texts, torch.full((CLASSES,), float(SHOTS)))
    spaces = Spaces(torch.zeros(512), identity, identity, support.keys, texts, texts[labels], anchor)
    options = XMAdapterOptions(epochs=epochs, min_steps=1, batch_size=BATCH)
    # What the sides are before and after all epochs is computed once a training: zeros stand for it here.
    before = dict.fromkeys(("own_image", "own_text"), lambda *_: torch.zeros(KEYS, CLASSES))
    with patch.object(xmadapter, "TrainedKeySums", sums), patch.multiple(xmadapter, **before):
        started = time.perf_counter()
        xmadapter.train(task, options, spaces, xmadapter.defaults(task, options), True, NoLog())
        return time.perf_counter() - started


def measure(width: int) -> dict[str, float]:
    """Seconds of each, the least of interleaved repeats."""
    return least_seconds(steps(width), REPEATS)


def compile_line() -> str:
    """What torch.compile makes of the same sums, at width 512."""
    if shutil.which("g++") is None:
        return "torch.compile was not measured: it needs a C++ compiler."
    started = time.perf_counter()
    call = compiled(WIDTHS[0])
    call()
    took = time.perf_counter() - started
    todo = {"torch.compile": call, "xmap": steps(WIDTHS[0])["xmap"]}
    plain, ours = (1000 * seconds for seconds in least_seconds(todo, REPEATS).values())
    return f"torch.compile of the class sums at 512: {plain:.0f} ms beside {ours:.0f} ms of xmap, after {took:.0f} s of compiling."


def epoch_lines() -> list[str]:
    """Epochs of XMAdapter with our sums and with the published ones, and the bare products of as many steps, in turn.

    An epoch is what a training of two takes longer than one of one: what comes before and after is spent once a training.
    """
    products, count = steps(WIDTHS[0])["two products"], -(-KEYS // BATCH)

    def epoch(sums: type) -> float:
        return -training_seconds(sums, 1) + training_seconds(sums, 2)

    def bare() -> float:
        started = time.perf_counter()
        for _ in range(count):
            products()
        return time.perf_counter() - started

    ways: dict[str, Callable[[], float]] = {
        "products": bare, "xmap": lambda: epoch(TrainedKeySums), "formula": lambda: epoch(PublishedSums)
    }  # fmt: skip
    least = dict.fromkeys(ways, float("inf"))
    for _ in range(TURNS):
        for name, way in ways.items():
            least[name] = min(least[name], way())
    formula, ours, base = least["formula"], least["xmap"], least["products"]
    return [
        f"A whole epoch of XMAdapter over {KEYS:,} support images at 512, optimiser and text side included, in seconds, the least of "
        f"{TURNS} in turn:",
        "",
        "| with the published formula | xmap | the bare products of all steps | formula / xmap | xmap / products |",
        "|---|---|---|---|---|",
        f"| {formula:.1f} | {ours:.1f} | {base:.1f} | {formula / ours:.2f} | {ours / base:.2f} |",
    ]


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
    lines += ["", compile_line(), "", *epoch_lines()]
    write_section("Training the image keys", "python -m benchmarks.training", lines)


if __name__ == "__main__":
    main()
