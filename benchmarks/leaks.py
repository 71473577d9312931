"""Images on both sides of a split: how many are found byte for byte and nearly, and how many are named that are not the same.

python -m benchmarks.leaks [PHOTOS]        rewrites its section of docs/benchmarks.md; PHOTOS is a folder with train, val, test

The threshold for near ones was chosen on what the first table shows, of training and validation photographs alone: how far a changed copy
is from its original, and a photograph from the nearest other one. Then copies of training photographs are put among the test ones.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.changes import features_of
from benchmarks.extraction import PHOTOS, write_model
from benchmarks.page import write_section
from xmap.pipeline.engines.registry import workplace_of
from xmap.pipeline.run.execute import execute
from xmap.pipeline.run.plan import make_plan
from xmap.pipeline.settings.config import XmapConfig
from xmap.stages.names import IMAGES, PAIRS
from xmap.stages.pairs.stage import SHARE
from xmap.stages.workplace.progress import Silent
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.formats.pairs import PAIRS_TABLE
from xmap.store.formats.tables import Array, read_table

MODELS = ("xmap-tiny", "ViT-B-32")
PLANTED, SEED = 50, 1
# A stem of its own tells a copy from what is there.
MARK = "copy-of-"


def jpeg(image: Image.Image, target: Path) -> None:
    image.save(target.with_suffix(".jpg"), quality=75)


def smaller(image: Image.Image, target: Path) -> None:
    size = (round(0.95 * image.width), round(0.95 * image.height))
    image.resize(size, Image.Resampling.BICUBIC).save(target.with_suffix(".png"))


def cropped(image: Image.Image, target: Path) -> None:
    """Without a hundredth at each side."""
    x, y = round(0.01 * image.width), round(0.01 * image.height)
    image.crop((x, y, image.width - x, image.height - y)).save(target.with_suffix(".png"))


COPIES: Mapping[str, Callable[[Image.Image, Path], None]] = {
    "re-encoded as JPEG": jpeg,
    "resized by 5 %": smaller,
    "cropped by 2 %": cropped,
}


def built(store: Path, data: Path, model: str, last: str) -> Artifact:
    """The artifact of the stage `last` for the images below `data`."""
    settings = {"data.data": str(data), "encoder.model": model, "extract.views": 0, "cache.shots": 1}
    config = XmapConfig().override({**settings, "run.methods": "zero-shot", "run.seeds": "1"})
    opened = Store(store)
    plan = make_plan(opened, config, last)
    execute(workplace_of(opened, config.run, Silent()), plan)
    return opened.require(next(step.identity for step in plan.steps if step.stage == last))


def originals(photos: Path, splits: Sequence[str]) -> list[Path]:
    return sorted(path for split in splits for path in (photos / split).rglob("*.jpg"))


def write_copy(kind: str, original: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with Image.open(original) as image:
        COPIES[kind](image.convert("RGB"), folder / f"{MARK}{original.stem}")


# ---- what the threshold was chosen on


def distances(photos: Path, model: str, place: Path) -> dict[str, Array]:
    """How far copies are from their originals, and photographs from the nearest other one, as shares of the median of the latter."""
    chosen = originals(photos, ("train", "val"))
    for original in chosen:
        name = original.parent.name
        target = place / "photos" / "none" / name / original.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(original, target)
        for kind in COPIES:
            write_copy(kind, original, place / "photos" / kind.replace(" ", "-").replace("%", "percent") / name)
    found = {}
    for kind in ("none", *COPIES):
        folder = place / "photos" / kind.replace(" ", "-").replace("%", "percent")
        rows = features_of(built(place / "store", folder, model, IMAGES))
        units = rows.features / np.linalg.norm(rows.features, axis=1, keepdims=True)
        found[kind] = {Path(name).stem.removeprefix(MARK): unit for name, unit in zip(rows.sample_ids, units, strict=True)}
    names = sorted(found["none"])
    units = {kind: np.stack([vectors[name] for name in names]) for kind, vectors in found.items()}
    cosines = units["none"] @ units["none"].T
    np.fill_diagonal(cosines, -1.0)
    apart = 1.0 - cosines.max(1)
    shares = {kind: (1.0 - (units["none"] * units[kind]).sum(1)) / np.median(apart) for kind in COPIES}
    return {**shares, "the nearest other photograph": apart / np.median(apart)}


def distance_lines(model: str, found: Mapping[str, Array]) -> Iterator[str]:
    for what, shares in found.items():
        points = " | ".join(f"{value:.3f}" for value in np.quantile(shares, (0.01, 0.05, 0.5, 0.95, 0.99)))
        yield f"| {model} | {what} | {points} | {100 * float((shares <= SHARE).mean()):.0f} % |"


# ---- copies of training photographs among the test ones


def plant(photos: Path, root: Path) -> dict[str, dict[str, str]]:
    """Write the photographs with copies among the test ones; for each kind the original's sample id by that of the copy."""
    shutil.copytree(photos, root, copy_function=shutil.copyfile)
    train = originals(photos, ("train",))
    drawn = [train[number] for number in np.random.default_rng(SEED).permutation(len(train))]
    planted: dict[str, dict[str, str]] = {}
    for number, original in enumerate(drawn[: 2 * PLANTED]):
        kind = "byte for byte" if number < PLANTED else list(COPIES)[number % len(COPIES)]
        folder = root / "test" / original.parent.name
        if number < PLANTED:
            shutil.copyfile(original, folder / f"{MARK}{original.name}")
        else:
            write_copy(kind, original, folder)
        (copy,) = folder.glob(f"{MARK}{original.stem}.*")
        planted.setdefault(kind, {})[copy.relative_to(root).as_posix()] = original.relative_to(photos).as_posix()
    return planted


def leak_line(photos: Path, model: str, place: Path) -> str:
    planted = plant(photos, place / "photos")
    pairs = built(place / "store", place / "photos", model, PAIRS)
    rows = read_table(pairs.file(PAIRS_TABLE)).to_pylist()
    known = {pair for copies in planted.values() for pair in copies.items()}
    named = {(row["sample_id"], row["other_id"]): row["exact"] for row in rows}
    exact = {pair for pair, same in named.items() if same}
    shares = {kind: (sum(pair in named for pair in copies.items()), len(copies)) for kind, copies in planted.items()}
    near = [shares[kind] for kind in COPIES]
    found = [shares["byte for byte"], *near, tuple(map(sum, zip(*near, strict=True)))]
    splits = {(row["sample_id"], row["other_id"]): row["split"] != row["other_split"] for row in rows}
    wrong = [pair for pair in named.keys() - known - exact if not _of_one(pair)]
    between = sum(splits[pair] for pair in wrong)
    counts = " | ".join(f"{there} of {total}" for there, total in found)
    return f"| {model} | {pairs.summary['threshold']:.4f} | {counts} | {between} | {len(wrong) - between} |"


def _of_one(pair: tuple[str, str]) -> bool:
    """Whether two are copies of one photograph."""
    first, second = (Path(name).stem.removeprefix(MARK) for name in pair)
    return first == second


def main(photos: Path) -> None:
    """Measure both, and write the tables."""
    if not (photos / "train").is_dir():
        raise SystemExit(f"there are no photographs in {photos}; name a folder with train, val and test.")
    chosen, leaks = [], []
    for name in MODELS:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            model = write_model(name, place / "model")
            shown = name if model == name else f"{name}, random weights"
            chosen += distance_lines(shown, distances(photos, model, place / "chosen"))
            leaks.append(leak_line(photos, model, place / "planted").replace(f"| {model} |", f"| {shown} |"))
            print(chosen[-1], leaks[-1], sep="\n", file=sys.stderr)
    seen = len(originals(photos, ("train", "val")))
    lines = [
        f"How far images are apart (one minus the cosine), as a share of how far a photograph usually is from the nearest other one; "
        f"{seen} training and validation photographs. Within {SHARE:g} they count as nearly the same, unless `--near` says otherwise:",
        "",
        "| model | image and | 1 % | 5 % | half | 95 % | 99 % | within |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
        *chosen,
        "",
        f"{PLANTED} training photographs put among the test ones byte for byte, and {PLANTED} changed; pairs found, and pairs named of two "
        "different photographs:",
        "",
        f"| model | cosine from | byte for byte | {' | '.join(COPIES)} | changed, all | wrong, between splits | wrong, within one |",
        f"|---|---:|---:|{'---:|' * len(COPIES)}---:|---:|---:|",
        *leaks,
        "",
        "xmap-tiny knows printed characters only, and random weights know nothing: a trained CLIP tells photographs apart better.",
    ]  # fmt: skip
    write_section("Leaks", "python -m benchmarks.leaks", lines)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PHOTOS)
