"""`xmap predict` on many images: its rate beside the bare forward pass, a pool labelled again, a million stored features, its memory.

python -m benchmarks.predict            rewrites its section of docs/benchmarks.md
python -m benchmarks.predict PART ...   prints the parts named: rate (with labelling again), million, memory
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch

from benchmarks.extraction import BATCH, PASSES, PHOTOS, Clock, _numbered, bare, open_model, write_model
from benchmarks.label_world import CLASSES, NAME, SHOTS, WIDTH, write_layout, write_million
from benchmarks.page import measure_parts
from benchmarks.process import measure
from benchmarks.small_images import write_small_images
from xmap.cli.answers import Way, write
from xmap.cli.output import CSV
from xmap.pipeline.adapters.adapter import Adapter
from xmap.pipeline.adapters.choice import load_chosen
from xmap.pipeline.adapters.labelling import answers_of
from xmap.pipeline.adapters.pool import CHUNK, PoolRequest
from xmap.pipeline.run.execute import run
from xmap.pipeline.settings.config import XmapConfig
from xmap.stages.workplace.progress import Progress, Silent
from xmap.store.artifacts.artifact import Store
from xmap.store.disk.output import Output

MODEL = "ViT-B-32"
# What labels the pool first, and what labels it again.
FIRST, AGAIN = "tip-adapter", "gda"
IMAGES = 1_000_000
METHODS = ("tip-adapter", "xmadapter")
SMALL, LARGE = 1_000, 20_000


@contextmanager
def labelled_photographs(folder: Path) -> Iterator[tuple[Store, Path, str]]:
    """A store with adapters of the photographs, a pool of copies of these with bytes of their own, and the encoder of both."""
    if not PHOTOS.is_dir():
        raise SystemExit(f"there are no photographs in {PHOTOS}.")
    model = write_model(MODEL, folder / MODEL)
    plain = {"data.data": str(PHOTOS), "encoder.model": model, "extract.views": 0, "extract.batch_size": BATCH}
    settings = {**plain, "run.methods": f"{FIRST},{AGAIN}", "run.seeds": "1", "cache.shots": 8}
    store = Store(folder / "store")
    run(store, XmapConfig().override(settings))
    for number in range(PASSES):
        for source in sorted(PHOTOS.glob("*/*")):
            shutil.copytree(source, folder / "pool" / source.name, dirs_exist_ok=True, copy_function=_numbered(number))
    yield store, folder / "pool", model


def labelled(adapter: Adapter, asked: PoolRequest, progress: Progress, target: Path) -> float:
    """Seconds that labelling takes, from looking for the images to the last line of a CSV."""
    started, saying = time.perf_counter(), adapter.asked()
    write(answers_of(adapter, asked, adapter.store, saying, progress), Way(CSV, Output(target), saying, None))
    return time.perf_counter() - started


def rate(folder: Path) -> list[str]:
    """Images a second of a pool that nobody has seen, and of the same pool by another adapter."""
    with labelled_photographs(folder) as (store, pool, model):
        count = sum(1 for path in pool.rglob("*.jpg"))
        asked = PoolRequest(data=str(pool))
        first, again = (load_chosen(store, "photos", method, None) for method in (FIRST, AGAIN))
        # Before and after, and never beside the encoder: two models would be twice the memory.
        before, clock = bare(*open_model(model), count // 2), Clock()
        whole = labelled(first, asked, clock, folder / "first.csv")
        seconds = time.perf_counter() - clock.started
        after = bare(*open_model(model), count // 2)
        repeated = min(labelled(again, asked, Silent(), folder / "again.csv") for _ in range(3))
    forward, found = (before + after) / 2, count / seconds
    return [
        f"{count:,} photographs ({PASSES} copies of each), {MODEL} with random weights, batches of {BATCH}, "
        f"{torch.get_num_threads()} threads: {forward:.1f} images/s by the bare forward pass, {found:.1f} by `xmap predict --data`, "
        f"answers written: **{found / forward:.2f}** of it.",
        "",
        f"Labelled first by {FIRST} in {whole:.1f} s, hashing and loading the encoder included; again by {AGAIN}, "
        f"from kept features, in {repeated:.2f} s: **{whole / repeated:.0f}** times faster.",
    ]


def products(method: str, images: int) -> float:
    """Seconds of the matrix products alone that a method's formula has for so many images, in parts as they are scored."""
    draw = torch.Generator().manual_seed(0)
    features = torch.randn(CHUNK, WIDTH, generator=draw)
    keys, values = torch.randn(WIDTH, CLASSES * SHOTS, generator=draw), torch.randn(CLASSES * SHOTS, CLASSES, generator=draw)
    texts, maps = torch.randn(WIDTH, CLASSES, generator=draw), torch.randn(WIDTH, WIDTH, generator=draw)
    started = time.perf_counter()
    with torch.inference_mode():
        for _ in range(-(-images // CHUNK)):
            (features @ keys) @ values
            # Zero-shot beside the answer, and XMAdapter's two spaces and text keys.
            for _ in range(1 if method == "tip-adapter" else 3):
                features @ texts
            for _ in range(0 if method == "tip-adapter" else 2):
                features @ maps
    return time.perf_counter() - started


def million(folder: Path) -> list[str]:
    """Stored features labelled without an encoder."""
    centres, store = write_layout(folder / "layout"), Store(folder / "store")
    from xmap.stages.imports.tip_adapter import import_tip_adapter

    import_tip_adapter(store, folder / "layout", "hundred", 100.0, Silent())
    run(store, XmapConfig().override({"run.features": "hundred", "run.methods": ",".join(METHODS), "run.seeds": "1", "cache.shots": SHOTS}))
    write_million(store, centres, IMAGES)
    rows = ["| method | the bare products, s | labelling and writing a CSV, s | labelling / products | whole process, s | its peak, GB |"]
    rows.append("|---|---|---|---|---|---|")
    for method in METHODS:
        adapter = load_chosen(store, "hundred", method, None)
        before = products(method, IMAGES // 2)
        seconds = labelled(adapter, PoolRequest(features=NAME), Silent(), folder / "million.csv")
        base = before + products(method, IMAGES // 2)
        words = ["predict", "--features", NAME, "--adapter", "hundred", "--method", method, "--quiet"]
        cost = measure([*words, "--store", str(store.root), "-o", str(folder / "whole.csv")])
        shares = f"**{seconds / base:.2f}** | {cost.seconds:.1f} | {cost.peak / 1e9:.2f}"
        rows.append(f"| {method} | {base:.1f} | {seconds:.1f} | {shares} |")
    about = (
        f"{IMAGES:,} stored features of width {WIDTH}, adapters of {CLASSES} classes and {SHOTS} shots, {torch.get_num_threads()} threads."
    )
    return [about, "", *rows]


def memory(folder: Path) -> list[str]:
    """The peak of a whole process over few and many images that it encodes."""
    write_small_images(folder / "known", 200)
    store = str(folder / "store")
    plain = ["--model", "xmap-tiny", "--views", "0", "--quiet", "--store", store]
    measure(["run", "--data", str(folder / "known"), *plain, "--methods", "tip-adapter", "--seeds", "1", "--shots", "4"])
    peaks = []
    for count in (SMALL, LARGE):
        # In one row of folders the names, and with them the images, would be those of the other pool.
        shutil.rmtree(folder / "pool", ignore_errors=True)
        write_small_images(folder / "pool", count)
        words = ["predict", "--data", str(folder / "pool"), "--quiet", "--store", store, "-o", str(folder / "answers.csv")]
        peaks.append(measure(words).peak / 1e6)
    few, many = peaks
    return [
        f"Peak memory of `xmap predict --data` with xmap-tiny: {few:.0f} MB over {SMALL:,} images, {many:.0f} MB over {LARGE:,}: "
        f"x **{many / few:.2f}**."
    ]


PARTS: Mapping[str, Callable[[Path], list[str]]] = {"rate": rate, "million": million, "memory": memory}


def main(named: list[str]) -> None:
    """Measure the parts named, or all and write the section."""
    measure_parts(PARTS, named, "Labelling", "python -m benchmarks.predict")


if __name__ == "__main__":
    main(sys.argv[1:])
