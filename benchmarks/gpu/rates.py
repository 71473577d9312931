"""How fast a GPU extracts and trains in each number format, and what the format does to the numbers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.extraction import extraction, write_model
from benchmarks.gpu.checks import BATCH, CLASSES, SHOTS, image_features, timed, training_step
from benchmarks.photographs import SIZE, write_photographs
from xmap.stages.machine.threads import TOGETHER, loading_processes, loading_threads

IMAGES, ENCODED = 16_384, 256
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# Threads that decode: as many as get along in one process, and the default.
RUNS: tuple[tuple[str, int | None], ...] = (("fp32", TOGETHER), *((precision, None) for precision in PRECISIONS))


def extraction_rates(folder: Path, device: str = "cuda") -> Iterator[str]:
    """Images a second of a random-weight ViT-B-32: the bare forward pass, and `xmap extract` from files to stored rows."""
    import open_clip

    write_photographs(folder / "photos", IMAGES)
    model = write_model("ViT-B-32", folder / "model")
    yield "| ViT-B-32 at | decoding threads | processes | bare forward images/s | xmap extract images/s | share | least cosine with fp32 |"
    yield "|---|---|---|---|---|---|---|"
    plain: np.ndarray | None = None
    for precision, workers in RUNS:
        dtype = PRECISIONS[precision]
        made = open_clip.create_model(model, precision=precision, device=device)
        batch = torch.randn(ENCODED, 3, 224, 224, device=device, dtype=dtype)
        with torch.inference_mode():
            seconds, _ = timed(lambda made=made, batch=batch: made.encode_image(batch).float().cpu(), 10)
        del made, batch
        store, threads = folder / f"{precision}-{workers}", loading_threads(device, IMAGES, workers)
        processes = loading_processes(device, IMAGES, threads)
        settings = {"encoder.precision": precision, "run.device": device, "run.workers": workers, "extract.batch_size": ENCODED}
        rate = extraction(folder / "photos", model, store, settings)
        rows = image_features(store)
        plain = rows if plain is None else plain
        cosine = float((rows * plain).sum(1).min())
        bare = ENCODED / seconds
        yield f"| {precision} | {threads} | {processes} | {bare:,.0f} | {rate:,.0f} | {rate / bare:.2f} | {cosine:.5f} |"
    yield ""
    yield f"{IMAGES:,} JPEG images of {SIZE} x {SIZE} pixels, batches of {ENCODED}, random weights; the images are decoded on the CPU."


@contextmanager
def _tf32() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def step_rates(_: Path, device: str = "cuda") -> Iterator[str]:
    """One step of the image branch with trained keys in float32, TF32 and bfloat16: milliseconds, and the error of the keys' gradient."""
    modes: dict[str, Callable[[], AbstractContextManager[Any]]] = {
        "float32": nullcontext,
        "TF32 products": _tf32,
        "bfloat16 autocast": lambda: torch.autocast(device, dtype=torch.bfloat16),
    }
    yield f"| a step, {CLASSES * SHOTS:,} keys, batch {BATCH} | ms | steps/s beside float32 | error of the keys' gradient |"
    yield "|---|---|---|---|"
    found: dict[str, tuple[float, torch.Tensor]] = {}
    step = training_step(device)
    for name, mode in modes.items():
        with mode():
            found[name] = _mean_seconds(step)
        seconds, gradient = found[name]
        least, exact = found["float32"]
        error = float((gradient - exact).abs().max() / exact.abs().max())
        yield f"| {name} | {1000 * seconds:.2f} | {least / seconds:.2f} | {error:.1g} |"


def _mean_seconds(step: Callable[[], tuple[torch.Tensor, torch.Tensor]], repeats: int = 50) -> tuple[float, torch.Tensor]:
    """Mean seconds of a step, all of them queued before the device is waited for, and the last gradient of the keys."""
    _, gradient = step()
    gradient.cpu()
    started = time.perf_counter()
    for _ in range(repeats):
        _, gradient = step()
    last = gradient.float().cpu()
    return (time.perf_counter() - started) / repeats, last
