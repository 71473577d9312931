"""Images that are encoded again when a data set changes: the new contents, and nothing else, in every form that data comes in.

python -m benchmarks.changes [PHOTOS]        rewrites its section of docs/benchmarks.md; PHOTOS is a folder of photographs, in any folders

Each change is made to a data set that was extracted before. The rows that result are compared, bit for bit, with those of an extraction of
the changed data set into an empty store.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.extraction import PHOTOS, write_model
from benchmarks.page import write_section
from tests.worlds.forms import FORMS, Photo, Photos
from tests.worlds.s3 import environment, server
from xmap.pipeline.engines.registry import workplace_of
from xmap.pipeline.run.execute import execute
from xmap.pipeline.run.plan import make_plan
from xmap.pipeline.settings.config import XmapConfig
from xmap.stages.names import IMAGES
from xmap.stages.workplace.progress import Silent
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.formats.features import ImageFeatures, read_images
from xmap.store.formats.packs import all_packs, pack_keys

CLASSES, EACH, LARGE_EACH = 8, 5, 2
Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """What becomes of a data set: other photographs, settings or a name; `before` are data sets that were extracted first."""

    title: str
    photos: Callable[[Photos], Photos] = lambda photos: photos
    settings: Settings = field(default_factory=dict)
    name: str = "pets"
    before: Callable[[Photos], Sequence[Photos]] = lambda photos: [photos]
    form: str = ""


def _labelled(photos: Photos, wrong: Callable[[int], bool]) -> Photos:
    classes = sorted({photo.label for photo in photos})
    other = dict(zip(classes, [*classes[1:], classes[0]], strict=True))
    return tuple(replace(photo, label=other[photo.label]) if wrong(number) else photo for number, photo in enumerate(photos))


def _new(photos: Photos, label: str, name: str) -> Photo:
    """An image that nobody has seen: the first one mirrored."""
    whole = io.BytesIO()
    with Image.open(io.BytesIO(photos[0].data)) as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(whole, "PNG")
    return Photo(name, label, whole.getvalue() + name.encode())


CHANGES: tuple[Change, ...] = (
    Change("nothing"),
    Change("one image added early in the order", lambda photos: (_new(photos, photos[0].label, "0000"), *photos)),
    Change("one image replaced by another", lambda photos: (replace(photos[0], data=_new(photos, "", "x").data), *photos[1:])),
    Change("one image removed", lambda photos: photos[1:]),
    Change("every image renamed", lambda photos: tuple(replace(photo, name=f"other-{photo.name}") for photo in photos)),
    Change(
        "a class renamed",
        lambda photos: tuple(replace(photo, label="zebra") if photo.label == photos[0].label else photo for photo in photos),
    ),
    Change("a class removed", lambda photos: tuple(photo for photo in photos if photo.label != photos[0].label)),
    Change("a class of 3 added that sorts first", lambda photos: (*(_new(photos, "aaa", f"a{n}") for n in range(3)), *photos)),
    Change("5 % of the labels corrected", lambda photos: _labelled(photos, lambda number: number % 20 == 7)),
    Change("every third image moved to another class", lambda photos: _labelled(photos, lambda number: number % 3 == 0)),
    Change("another --split-seed", settings={"data.split_seed": 7}),
    Change("another --val-share", settings={"data.val_share": 0.4}),
    Change("another --template", settings={"data.templates": ("a picture of a {}.",)}),
    Change("another folder's name", name="animals"),
    Change("an image there twice, under another name", lambda photos: (*photos, replace(photos[3], name="again"))),
    Change("two data sets joined", before=lambda photos: [photos[: len(photos) // 2 + 3], photos[len(photos) // 2 :]]),
    Change("an image cut short, then whole again", before=lambda photos: [(replace(photos[0], data=photos[0].data[:99]), *photos[1:])]),
    Change("a folder before, packed or moved since", form="folder"),
)


def extracted(store: Path, data: str, model: str, settings: Settings) -> Artifact:
    """The image features of what `data` names."""
    config = XmapConfig().override({"data.data": data, "encoder.model": model, "extract.views": 0, **settings})
    opened = Store(store)
    plan = make_plan(opened, config, IMAGES)
    execute(workplace_of(opened, config.run, Silent()), plan)
    return opened.require(plan.steps[0].identity)


def rows_in(store: Path) -> int:
    """Feature rows that a store holds."""
    return sum(len(pack_keys(packs, path)) for packs in all_packs(Store(store)) for path in packs.paths())


def features_of(images: Artifact) -> ImageFeatures:
    return read_images(images.files(prefix="t", suffix=".parquet") + images.files(prefix="v", suffix=".parquet"))


def encoded(change: Change, form: str, photos: Photos, model: str, place: Path) -> tuple[int, bool]:
    """Images that went through the encoder because of a change, and whether all rows are those of an extraction from nothing."""
    for number, before in enumerate(change.before(photos)):
        extracted(place / "store", FORMS[change.form or form](place / f"before-{number}" / "pets", before), model, {})
    there = rows_in(place / "store")
    data = FORMS[form](place / "after" / change.name, change.photos(photos))
    found = features_of(extracted(place / "store", data, model, change.settings))
    control = features_of(extracted(place / "control", data, model, change.settings))
    same = found.sample_ids == control.sample_ids and np.array_equal(found.features, control.features)
    return rows_in(place / "store") - there, bool(same and np.array_equal(found.labels, control.labels))


def new_contents(change: Change, photos: Photos) -> int:
    """The contents that no data set had before; one that is cut short is no image."""
    known = {photo.data for before in change.before(photos) for photo in before}
    return len({photo.data for photo in change.photos(photos)} - known)


def table(photos: Photos, model: str, forms: Sequence[str]) -> list[str]:
    """The rows of the table, a change each."""
    lines = [f"| change | new contents | {' | '.join(forms)} | bit for bit |", f"|---|---:|{'---:|' * len(forms)}---|"]
    for change in CHANGES:
        found = []
        for form in forms:
            with tempfile.TemporaryDirectory() as place:
                found.append(encoded(change, form, photos, model, Path(place)))
        same = sum(equal for _, equal in found)
        counts = " | ".join(str(count) for count, _ in found)
        lines.append(f"| {change.title} | {new_contents(change, photos)} | {counts} | {same} of {len(found)} |")
        print(lines[-1], file=sys.stderr)
    return lines


def photos_in(folder: Path, each: int) -> Photos:
    """So many photographs of each of the first classes below `folder`, whatever split they lie in."""
    paths: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*.jpg")):
        paths.setdefault(path.parent.name, []).append(path)
    chosen = [(label, path) for label in sorted(paths)[:CLASSES] for path in paths[label][:each]]
    return tuple(Photo(f"{path.parent.parent.name}-{path.stem}", label, path.read_bytes()) for label, path in chosen)


@contextmanager
def storage() -> Iterator[None]:
    """An S3-compatible server of this machine's own, for the bucket."""
    with server() as address:
        os.environ.update(environment(address))
        yield


def main(folder: Path) -> None:
    """Make every change in every form, and write the tables."""
    if not folder.is_dir():
        raise SystemExit(f"there are no photographs in {folder}; name a folder with some.")
    photos, few = photos_in(folder, EACH), photos_in(folder, LARGE_EACH)
    lines = [
        f"Images that go through the encoder when a data set of {len(photos)} photographs changes (`--views 0`), and in how many forms all "
        "rows equal, bit for bit, those of an extraction from nothing. xmap-tiny:",
        "",
    ]
    with storage(), tempfile.TemporaryDirectory() as place:
        lines += table(photos, "xmap-tiny", list(FORMS))
        for name in ("ViT-B-32", "RN50"):
            model = write_model(name, Path(place) / name)
            lines += ["", f"{name} with random weights, {len(few)} photographs:", "", *table(few, model, ["folder"])]
            shutil.rmtree(Path(place) / name)
    write_section("Changes", "python -m benchmarks.changes", lines)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PHOTOS)
