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
REPEATS = 9


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


def epoch_seconds(sums: type) -> float:
    """One epoch of XMAdapter with trained keys, 512 wide, without the leave-one-out sides that come before the first."""
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
    options = XMAdapterOptions(epochs=1, min_steps=1, batch_size=BATCH)
    # What the sides are before the first epoch is computed once a training: zeros stand for it here.
    before = dict.fromkeys(("own_image", "own_text"), lambda *_: torch.zeros(KEYS, CLASSES))
    with patch.object(xmadapter, "TrainedKeySums", sums), patch.multiple(xmadapter, **before):
        started = time.perf_counter()
        xmadapter.train(task, options, spaces, xmadapter.defaults(task, options), True, NoLog())
        return time.perf_counter() - started


def measure(width: int) -> dict[str, float]:
    """Seconds of each, the least of interleaved repeats."""
    return interleaved(steps(width))


def interleaved(todo: dict[str, Callable[[], object]]) -> dict[str, float]:
    """The least seconds of each over repeats in turn: what else the machine does meets all alike."""
    least = dict.fromkeys(todo, float("inf"))
    for _ in range(REPEATS):
        for name, call in todo.items():
            started = time.perf_counter()
            call()
            least[name] = min(least[name], time.perf_counter() - started)
    return least


def compile_line() -> str:
    """What torch.compile makes of the same sums, at width 512."""
    if shutil.which("g++") is None:
        return "torch.compile was not measured: it needs a C++ compiler."
    started = time.perf_counter()
    call = compiled(WIDTHS[0])
    call()
    took = time.perf_counter() - started
    todo = {"torch.compile": call, "xmap": steps(WIDTHS[0])["xmap"]}
    plain, ours = (1000 * seconds for seconds in interleaved(todo).values())
    return f"torch.compile of the class sums at 512: {plain:.0f} ms beside {ours:.0f} ms of xmap, after {took:.0f} s of compiling."


def epoch_lines(products: float) -> list[str]:
    """Whole epochs of XMAdapter with our sums and with the published ones, in turn."""
    least = {"xmap": float("inf"), "formula": float("inf")}
    for _ in range(2):
        for name, sums in (("xmap", TrainedKeySums), ("formula", PublishedSums)):
            least[name] = min(least[name], epoch_seconds(sums))
    bare = -(-KEYS // BATCH) * products
    told = (
        f"{least['formula']:.1f} | {least['xmap']:.1f} | {bare:.1f} | {least['formula'] / least['xmap']:.2f} | {least['xmap'] / bare:.2f}"
    )
    return [
        f"A whole epoch of XMAdapter over {KEYS:,} support images at 512, optimiser and text side included, in seconds:",
        "",
        "| with the published formula | xmap | the bare products of all steps | formula / xmap | xmap / products |",
        "|---|---|---|---|---|",
        f"| {told} |",
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
    products = 0.0
    for width in WIDTHS:
        found = measure(width)
        plain, ours, bare = found["formula"], found["xmap"], found["two products"]
        cells = [f"{1000 * seconds:.0f}" for seconds in (plain, ours, bare)]
        ratios = [f"{plain / ours:.2f}", f"{ours / bare:.2f}", f"{1000 * found['AdamW step']:.0f}"]
        lines.append(f"| {' | '.join([str(width), *cells, *ratios])} |")
        products = products or bare
    lines += ["", compile_line(), "", *epoch_lines(products)]
    write_section("Training the image keys", "python -m benchmarks.training", lines)


if __name__ == "__main__":
    main()
