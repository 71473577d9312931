"""Tars of samples: the features of the same images in folders, bit for bit, wherever one tar ends and the next begins."""

from __future__ import annotations

import os
import random
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.worlds.contents import having
from tests.worlds.datasets import read
from tests.worlds.extraction import ONE, Plan, Told, planner, tree
from tests.worlds.pictures import picture
from tests.worlds.tars import encoded, samples, write_shards, write_tar
from xmap.stages.datasets.dataset import TEST, TRAIN, VAL
from xmap.stages.datasets.places.place import Container
from xmap.stages.images.decode import BadImage
from xmap.stages.images.read import read_place
from xmap.store.errors import InputError
from xmap.store.formats.features import read_errors, read_images


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    return write_shards(tmp_path / "pets")


@pytest.fixture
def plan(shards: Path, tiny_model_dir: Path, tmp_path: Path) -> Plan:
    return planner(shards, tiny_model_dir, tmp_path, ONE)


@pytest.mark.parametrize("workers", [0, 2])
def test_features_are_those_of_the_same_images_in_folders(plan: Plan, tmp_path: Path, workers: int) -> None:
    job = plan()
    folder = tmp_path / "folder"
    for sample in job.dataset.samples:
        path = folder / sample.split / job.dataset.classes[sample.label] / sample.sample_id.replace("/", "_")
        path.parent.mkdir(parents=True, exist_ok=True)
        data = read_place(sample.place)
        assert isinstance(data, bytes)
        path.write_bytes(data)
    tars, files = job.run(workers), plan(store="files", root=folder).run()
    for split in (VAL, TEST):
        one, other = (read_images(artifact.files(f"{split}-")) for artifact in (tars, files))
        order = np.argsort([Path(name).name.split("_", 1)[-1] for name in other.sample_ids])
        assert one.labels.tolist() == other.labels[order].tolist()
        assert one.features.tobytes() == other.features[order].tobytes()
    told = Told()
    replace(plan(root=folder), store=job.store).run(progress=told)
    assert told.starts == [("encode images", 10, 10)]


def test_replacing_one_tar_encodes_its_new_images_alone(plan: Plan, shards: Path) -> None:
    before = plan().run()
    kept = samples({"1": "cat", "2": "dog", "3": "cat"})[2:4]
    write_tar(shards / "train/a.tar", [*samples({"1": "cat", "3": "dog", "4": "dog"}, 30), *kept])
    told = Told()
    after = plan().run(progress=told)
    assert after.fingerprint != before.fingerprint
    assert told.starts == [("encode images", 11, 8)]
    assert tree(plan(store="other").run()) == tree(after)


def test_places_of_tars_are_no_part_of_the_identity(plan: Plan, shards: Path, tmp_path: Path) -> None:
    control = plan().run()
    moved = tmp_path / "deeper" / "again"
    shutil.copytree(shards, moved)
    # The same samples in another order of members.
    members = samples({"1": "cat", "2": "dog", "3": "cat"})
    write_tar(moved / "train/a.tar", members[::-1])
    again = plan(store="other", root=moved).run()
    assert again.fingerprint == control.fingerprint
    assert tree(again) == tree(control)


def test_where_tars_end_is_no_part_of_the_identity(plan: Plan) -> None:
    """The same ids and bytes in one tar give the same rows, so the same features."""
    job = plan()
    moved = [replace(sample, place=replace(sample.place, container=Container(Path("one.tar")))) for sample in job.dataset.samples]
    samples = having(moved, (sample.place.content for sample in moved))
    other = replace(job, dataset=replace(job.dataset, samples=samples))
    assert job.identity == other.identity


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_images_in_a_tar_are_listed_by_name(plan: Plan, shards: Path, workers: int) -> None:
    bad = [
        ("web.png", b"<html>"),
        ("web.cls", b"cat"),
        ("none.jpg", b""),
        ("none.cls", b"cat"),
        ("cut.png", encoded(picture(0))[:200]),
        ("cut.cls", b"dog"),
    ]
    write_tar(shards / "train/b.tar", [*samples({"1": "dog", "2": "dog", "3": "cat"}, 3), *bad])
    artifact = plan().run(workers)
    rows = read_errors(artifact.file("errors.parquet"))
    assert [(row.path, row.kind) for row in rows] == [
        ("train/b.tar/cut.png", "truncated"), ("train/b.tar/none.jpg", "empty"), ("train/b.tar/web.png", "not-an-image"),
    ]  # fmt: skip
    assert tree(plan(store="other").run()) == tree(artifact)


@pytest.mark.failure("changed input")
@pytest.mark.parametrize("change", ["replace", "truncate", "remove"])
def test_a_tar_that_changes_during_the_work_is_noticed(plan: Plan, shards: Path, change: str) -> None:
    job, path = plan(), shards / "train" / "b.tar"
    if change == "replace":
        write_tar(shards / "new.tar", samples({"1": "dog", "2": "dog", "3": "cat"}, 40))
        os.replace(shards / "new.tar", path)
    elif change == "truncate":
        os.truncate(path, 700)
    else:
        path.unlink()
    with pytest.raises(InputError, match=r"train/b.tar/1.png (changed while|was there when).*; run the same command again"):
        job.run()


def test_a_replaced_tar_is_not_read_through_an_old_handle(shards: Path) -> None:
    first = read(shards).split(TRAIN)[0].place
    assert read_place(first) == encoded(picture(0))
    write_tar(shards / "new.tar", samples({"1": "cat", "2": "cat", "3": "dog"}, 50))
    os.replace(shards / "new.tar", shards / "train" / "a.tar")
    assert read_place(read(shards).split(TRAIN)[0].place) == encoded(picture(50))


def test_a_tar_that_is_gone_has_no_image(shards: Path) -> None:
    place = read(shards).split(VAL)[0].place
    (shards / "val/a.tar").unlink()
    assert read_place(place) == BadImage("missing", "there is no such file, or it is a link to none")


def test_threads_may_read_more_tars_than_are_kept_open(tmp_path: Path) -> None:
    for number in range(12):
        write_tar(tmp_path / f"{number}.tar", [(f"{key}{end}", f"{number} {key}".encode()) for key in range(5) for end in (".png", ".cls")])
    places = [sample.place for sample in read(tmp_path).samples] * 20
    random.Random(1).shuffle(places)  # noqa: S311
    expected = [f"{Path(str(place)).parent.stem} {Path(str(place)).stem}".encode() for place in places]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read_place, places)) == expected
