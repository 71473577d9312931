"""Extraction against what it cannot avoid: images a second beside the bare forward pass and a plain open_clip loop, and its memory.

python -m benchmarks.extraction [PHOTOS]        rewrites its section of docs/benchmarks.md; PHOTOS is a folder with train, val, test
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from PIL import Image

from benchmarks.page import write_section
from benchmarks.process import measure
from benchmarks.small_images import write_small_images
from xmap.pipeline.engines.registry import workplace_of
from xmap.pipeline.run.execute import execute
from xmap.pipeline.run.plan import make_plan
from xmap.pipeline.settings.config import XmapConfig
from xmap.stages.encoder.names import BUNDLED
from xmap.stages.encoder.names import MODELS as FOLDER
from xmap.stages.names import IMAGES
from xmap.store.artifacts.artifact import Store

# Real photographs lie beside a development checkout.
PHOTOS = Path(__file__).resolve().parents[2] / "shared/data/photos"
# In batches of 60 the copies of each split fill whole batches: nothing is spent on padding.
BATCH, PASSES, TURNS = 60, 3, 2
SMALL, LARGE = 1_000, 20_000
MODELS = ("ViT-B-32", "xmap-tiny")


@dataclass
class Clock:
    """A `Progress` that takes the time from the first image's request to the finished artifact."""

    started: float = 0.0
    ended: float = 0.0
    images: int = field(default=0)

    def start(self, what: str, total: int, done: int = 0) -> None:
        """The model is loaded and images come next; or they are done, and prompts come next."""
        if what == "encode images":
            self.started, self.images = time.perf_counter(), total - done

    def advance(self, units: int) -> None:
        """Counted by the last shard's file, not here: what comes last is encoding and writing."""

    def end(self) -> None:
        """The first artifact, that of the images, is there."""
        self.ended = self.ended or time.perf_counter()

    def say(self, line: str) -> None:
        """Remarks are of no interest here."""


def write_model(name: str, folder: Path) -> str:
    """An open_clip architecture with random weights as a local model; a bundled one as it is."""
    import open_clip
    from safetensors.torch import save_file

    if name.startswith("xmap-"):
        return name
    folder.mkdir()
    torch.manual_seed(0)
    made = open_clip.create_model(name)
    config = {"model_cfg": open_clip.get_model_config(name), "preprocess_cfg": open_clip.get_model_preprocess_cfg(made)}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    save_file({key: tensor.contiguous() for key, tensor in made.state_dict().items()}, folder / "open_clip_model.safetensors")
    return f"local-dir:{folder}"


def open_model(model: str, precision: str = "fp32") -> tuple[Any, Any]:
    """The model and its preprocessing, as open_clip gives them."""
    import open_clip

    name = f"local-dir:{FOLDER / model}" if model in BUNDLED else model
    made, _, preprocess = open_clip.create_model_and_transforms(name, precision=precision)
    return made.eval(), preprocess


def bare(model: Any, preprocess: Any, images: int, precision: str = "fp32") -> float:
    """Images a second of the forward pass alone, on batches that are there."""
    batch = torch.stack([preprocess(Image.new("RGB", (300, 300)))] * BATCH).to(torch.bfloat16 if precision == "bf16" else torch.float32)
    with torch.inference_mode():
        model.encode_image(batch)
        started = time.perf_counter()
        for _ in range(-(-images // BATCH)):
            model.encode_image(batch)
    return BATCH * -(-images // BATCH) / (time.perf_counter() - started)


def plain_loop(model: Any, preprocess: Any, paths: list[Path]) -> float:
    """Images a second of what people write: open, preprocess, stack, encode."""
    started = time.perf_counter()
    with torch.inference_mode():
        for start in range(0, len(paths), BATCH):
            model.encode_image(torch.stack([preprocess(Image.open(path).convert("RGB")) for path in paths[start : start + BATCH]]))
    return len(paths) / (time.perf_counter() - started)


def extraction(data: Path, model: str, store: Path, settings: Mapping[str, object] | None = None) -> float:
    """Images a second of the stage, from the first request to the last shard written."""
    plain = {"data.data": str(data), "encoder.model": model, "extract.views": 0, "extract.batch_size": BATCH}
    config = XmapConfig().override({**plain, **(settings or {})})
    clock = Clock()
    opened = Store(store)
    execute(workplace_of(opened, config.run, clock), make_plan(opened, config, IMAGES), report=lambda outcome: clock.end())
    return clock.images / (clock.ended - clock.started)


def rates(model: str, stores: Path, paths: list[Path]) -> list[float]:
    """Images a second of the bare forward pass, the stage, the stage without giving way and the plain loop; the most over turns.

    In turns: what else the machine does drifts, by more than what is measured.
    """
    made, preprocess = open_model(model)
    photos, number = stores.parent / "photos", count()

    def kept() -> float:
        with patch("xmap.stages.extract.shard_encoder.giving_way", nullcontext):
            return whole()

    def whole() -> float:
        return extraction(photos, model, stores / str(next(number)))

    ways = (lambda: bare(made, preprocess, len(paths) // 4), whole, kept, lambda: plain_loop(made, preprocess, paths))
    return [max(turns) for turns in zip(*([way() for way in ways] for _ in range(TURNS)), strict=True)]


def decoding(photos: Path) -> list[str]:
    """The table of `benchmarks.decoding`, from a process of its own: one that starts others measures what theirs hold."""
    command = [sys.executable, "-m", "benchmarks.decoding", str(photos)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()  # noqa: S603  (our own command)


def memory(images: int, folder: Path) -> float:
    """Peak resident MB of `xmap extract` over so many small images, of its largest process."""
    write_small_images(folder / "data", images)
    words = ["extract", "--data", str(folder / "data"), "--model", "xmap-tiny", "--views", "0", "--quiet", "--store", str(folder / "store")]
    return measure(words).peak / 1e6


def main(photos: Path) -> None:
    """Measure, print and write the tables."""
    if not photos.is_dir():
        raise SystemExit(f"there are no photographs in {photos}; name a folder with train, val and test.")
    heads = "bare forward images/s", "xmap extract", "torch's threads not giving way", "plain loop", "xmap / bare", "xmap / loop"
    lines = [f"| model | {' | '.join(heads)} |", "|---|---|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        paths = copies_of(photos, folder / "photos")
        for name in MODELS:
            forward, xmap, kept, loop = rates(write_model(name, folder / name), folder / f"stores-{name}", paths)
            lines.append(f"| {name} | {forward:.1f} | {xmap:.1f} | {kept:.1f} | {loop:.1f} | {xmap / forward:.2f} | {xmap / loop:.2f} |")
        copies = f"{len(paths):,} photographs ({PASSES} copies of each), batches of {BATCH}, float32, the best of {TURNS} in turn"
        told = f"{copies}, {torch.get_num_threads()} threads; ViT-B-32 has random weights."
        loaded = decoding(photos)
        few, many = (memory(count, folder / str(count)) for count in (SMALL, LARGE))
    grown = f"{few:.0f} MB over {SMALL:,} images, {many:.0f} MB over {LARGE:,}: x {many / few:.2f}."
    said = [told, "", *lines, "", "Without an encoder:", "", *loaded, "", f"Peak memory of `xmap extract` with xmap-tiny: {grown}"]
    write_section("Extraction", "python -m benchmarks.extraction", said)


def copies_of(photos: Path, target: Path) -> list[Path]:
    """`PASSES` copies of each photograph, in the same splits and classes; where they are."""
    for split in ("train", "val", "test"):
        for number in range(PASSES):
            for source in (photos / split).iterdir():
                shutil.copytree(source, target / split / source.name, dirs_exist_ok=True, copy_function=_numbered(number))
    return sorted(target.rglob("*.jpg"))


def _numbered(number: int) -> Any:
    """A copy function that gives each pass names and bytes of its own: the same pixels, which are encoded all the same."""

    def copied(source: str, target: str) -> None:
        path = Path(target)
        path.with_stem(f"{path.stem}-{number}").write_bytes(Path(source).read_bytes() + bytes([number]))

    return copied


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PHOTOS)
