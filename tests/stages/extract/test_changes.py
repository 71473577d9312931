"""A feature belongs to an image, not to its place in a list: after each kind of change only new contents are encoded, to the same bits."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from blake3 import blake3

from tests.worlds.extraction import Job, Row, Told, plan_job, stored_rows
from tests.worlds.pictures import picture
from tests.worlds.tars import encoded, write_tar
from xmap.stages.config import ExtractConfig
from xmap.stages.datasets.dataset import TRAIN
from xmap.stages.encoder.model import Encoder
from xmap.stages.images.crop import plain_crop
from xmap.stages.images.decode import use_image
from xmap.stages.images.views import ViewMaker, normalised
from xmap.store.formats.features import read_errors, read_images
from xmap.store.formats.packs import all_packs

CONFIG = ExtractConfig(views=1, batch_size=4, shard_batches=1)
CLASSES = ("bee", "cat", "dog")
EACH = 5
PNG = [encoded(picture(number)) for number in range(24)]
BY_CONTENT = {blake3(data).hexdigest(): data for data in PNG}


def write(folder: Path) -> Path:
    for number in range(EACH * len(CLASSES)):
        path = folder / CLASSES[number % len(CLASSES)] / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PNG[number])
    return folder


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.png"))


def put(folder: Path, name: str, number: int) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(PNG[number])


def as_tar(folder: Path) -> None:
    members = [
        (f"{number}{end}", data)
        for number, path in enumerate(files(folder))
        for end, data in ((".png", path.read_bytes()), (".cls", path.parent.name.encode()))
    ]
    shutil.rmtree(folder)
    write_tar(folder / "all.tar", members)


def as_parquet(folder: Path) -> None:
    table = pa.table({"image": [path.read_bytes() for path in files(folder)], "label": [path.parent.name for path in files(folder)]})
    shutil.rmtree(folder)
    folder.mkdir()
    pq.write_table(table, folder / "all.parquet", row_group_size=4)


def as_list(folder: Path) -> None:
    lines = [f"{path.relative_to(folder)},{path.parent.name}" for path in reversed(files(folder))]
    (folder / "list.csv").write_text("\n".join(["path,label", *lines, ""]))


def joined(folder: Path) -> None:
    for number in (1, 2, 20, 21):
        put(folder, f"bee/other-{number}.png", number)


def relabelled(folder: Path) -> None:
    (folder.parent / "labels.csv").write_text("sample_id,label\nbee/00.png,cat\ncat/01.png,dog\ndog/02.png,leave-out\n")


def renumbered(folder: Path) -> None:
    for number, path in enumerate(files(folder)):
        path.rename(path.with_name(f"{99 - number}x.png"))


def first_class(folder: Path) -> None:
    for number in (20, 21, 22):
        put(folder, f"ant/{number}.png", number)


Change = Callable[[Path], object]
# A change, the settings that come with it ({} stands for the world's folder), and how many contents are new.
CHANGES: Mapping[str, tuple[Change, dict[str, Any], int]] = {
    "nothing": (lambda folder: None, {}, 0),
    "an image added early in the order": (lambda folder: put(folder, "bee/!.png", 20), {}, 1),
    "an image replaced": (lambda folder: put(folder, "bee/00.png", 20), {}, 1),
    "a class renamed": (lambda folder: (folder / "bee").rename(folder / "wasp"), {}, 0),
    "images renamed, in another order": (renumbered, {}, 0),
    "another split seed": (lambda folder: None, {"split_seed": 5}, 0),
    "another share of validation": (lambda folder: None, {"val_share": 0.4}, 0),
    "fewer training images": (lambda folder: None, {"train_per_class": 1}, 0),
    "another folder": (lambda folder: folder.rename(folder.with_name("elsewhere")), {"data": "{}/elsewhere"}, 0),
    "labels corrected": (relabelled, {"labels": "{}/labels.csv"}, 0),
    "images moved between classes": (lambda folder: (folder / "bee/00.png").rename(folder / "cat/z.png"), {}, 0),
    "a class that sorts first": (first_class, {}, 3),
    "two data sets joined": (joined, {}, 2),
    "packed as a tar": (as_tar, {}, 0),
    "packed as a table": (as_parquet, {}, 0),
    "listed in a table": (as_list, {"data": "{}/pics/list.csv"}, 0),
    "an image twice": (lambda folder: put(folder, "dog/again.png", 2), {}, 0),
    "images removed": (lambda folder: [path.unlink() for path in files(folder)[::4]], {}, 0),
}


@pytest.fixture(scope="module")
def before(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images and a store that has their features. Not to be changed."""
    world = tmp_path_factory.mktemp("before")
    plan_job(write(world / "pics"), tiny_model_dir, world / "store", CONFIG).run()
    return world


@pytest.fixture(scope="module")
def alone(tiny_model_dir: Path, before: Path) -> Callable[[Row], bytes]:
    """The bytes of a row whose image is encoded alone, from scratch and by no store."""
    encoder = plan_job(before / "pics", tiny_model_dir, before / "store", CONFIG).encoder
    model, preprocess = Encoder.load(encoder, "cpu"), encoder.preprocess
    maker = ViewMaker(plain_crop(preprocess), preprocess, CONFIG.view_seed)
    known: dict[Row, bytes] = {}

    def row(wanted: Row) -> bytes:
        if wanted not in known:
            content, view = wanted
            pixels = use_image(BY_CONTENT[content], lambda image: maker.views(image, content, (view,)))
            assert isinstance(pixels, np.ndarray)
            batch = np.zeros((CONFIG.batch_size, *pixels.shape[1:]), np.uint8)
            batch[0] = pixels[0]
            known[wanted] = model.encode_images(normalised(batch, preprocess))[0].tobytes()
        return known[wanted]

    return row


def wanted_rows(job: Job) -> set[Row]:
    """All rows that a data set needs, told slowly."""
    return {(job.hashes[sample.place], view) for sample in job.dataset.samples for view in range(2 if sample.split == TRAIN else 1)}


def rows_in(job: Job) -> dict[Row, bytes]:
    return {row: data for rows in stored_rows(job.store).values() for row, data in rows.items()}


@pytest.mark.promise
@pytest.mark.failure("changed input")
@pytest.mark.parametrize("name", CHANGES)
def test_only_new_contents_are_encoded_and_every_row_is_that_of_a_store_from_scratch(
    before: Path, alone: Callable[[Row], bytes], tiny_model_dir: Path, tmp_path: Path, name: str
) -> None:
    change, given, new = CHANGES[name]
    world = tmp_path / "world"
    shutil.copytree(before, world)
    change(world / "pics")
    data = {"data": "{}/pics", **given}
    data = {key: value.replace("{}", str(world)) if isinstance(value, str) else value for key, value in data.items()}
    job = plan_job(Path(data.pop("data")), tiny_model_dir, world / "store", CONFIG, **data)
    there, wanted, told = rows_in(job), wanted_rows(job), Told()
    artifact = job.run(progress=told)
    after = rows_in(job)
    assert after.keys() == there.keys() | wanted
    assert len({content for content, _ in after} - {content for content, _ in there}) == new
    assert told.encoded == len({content for content, _ in wanted - there.keys()})
    assert {row: alone(row) for row in after} == after
    for split in artifact.summary["counts"]:
        rows, samples = read_images(artifact.files(f"{split}-")), job.dataset.split(split)
        views = 2 if split == TRAIN else 1
        assert rows.sample_ids == tuple(sample.sample_id for sample in samples for _ in range(views))
        assert rows.labels.tolist() == [sample.label for sample in samples for _ in range(views)]
        expected = [alone((job.hashes[sample.place], view)) for sample in samples for view in range(views)]
        assert [row.tobytes() for row in rows.features] == expected


def test_a_picture_that_is_corrupted_and_mended_is_encoded_once(before: Path, tiny_model_dir: Path, tmp_path: Path) -> None:
    """Its bad bytes are remembered, and looked at once."""
    world = tmp_path / "world"
    shutil.copytree(before, world)
    path = world / "pics" / "bee" / "00.png"
    encoded_images, errors = [], []
    for data in (PNG[0][:200], PNG[0], PNG[0][:200], PNG[0]):
        path.write_bytes(data)
        job, told = plan_job(world / "pics", tiny_model_dir, world / "store", CONFIG), Told()
        artifact = job.run(progress=told)
        encoded_images.append(told.encoded)
        errors.append([row.path for row in read_errors(artifact.file("errors.parquet"))])
    # With one image less others may come into training, and get their augmented views then.
    moved = encoded_images[0] - 1
    assert moved <= 2
    assert encoded_images[1:] == [0, 0, 0]
    assert errors == [["bee/00.png"], [], ["bee/00.png"], []]
    assert [reason for packs in all_packs(job.store) for reason in packs.reasons()] == [blake3(PNG[0][:200]).hexdigest()]
