"""Features of version 1 in a store: plain rows of the images at hand are taken over, all others are encoded, and it says which."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.worlds.extraction import SMALL, Job, Plan, Told, stored_rows
from tests.worlds.pictures import picture
from tests.worlds.version1 import plan_shards
from xmap.stages.extract.version1 import VERSION
from xmap.stages.machine.kind import this_machine
from xmap.store.artifacts.artifact import Artifact, Draft
from xmap.store.artifacts.fingerprint import Json
from xmap.store.artifacts.identity import Identity
from xmap.store.formats.features import ImageFeatures, read_images, write_images

PLAIN = SMALL.model_copy(update={"views": 0})


def write_version_1(job: Job, **made_by: str) -> Artifact:
    """What version 1 left of an extraction, with numbers that no encoder gives: each row is the place of its sample, and its view."""
    fields: dict[str, Json] = {
        "version": VERSION,
        "encoder": job.encoder.fields,
        "view_seed": job.config.view_seed,
        "batch_size": job.config.batch_size,
        "made_by": dict(this_machine("cpu").made_by) | made_by,
    }
    places = {sample.sample_id: place for place, sample in enumerate(job.dataset.samples)}
    with job.store.build(Identity("images", "old", {"version": VERSION})) as draft:
        assert isinstance(draft, Draft)
        for number, shard in enumerate(plan_shards(job.spec, fields)):
            rows = [(sample, view) for sample in shard.samples for view in range(1 + shard.views)]
            features = np.asarray([[places[sample.sample_id], view, *[7] * 30] for sample, view in rows], np.float32)
            labels, views = np.asarray([sample.label for sample, _ in rows], np.int32), np.asarray([view for _, view in rows], np.int16)
            written = ImageFeatures(tuple(sample.sample_id for sample, _ in rows), labels, views, features)
            write_images(draft.path / f"{shard.split}-{number:05d}.parquet", written, shard.split, shard.fingerprint)
        return draft.commit({"classes": list(job.dataset.classes), "dataset": "old", "logit_scale": 1.0})


def places(artifact: Artifact, split: str) -> list[float]:
    """The numbers of version 1 where rows have these; none of an encoder's is as large."""
    rows = read_images(artifact.files(f"{split}-"))
    return [float(row[0]) for row in rows.features[rows.views == 0] if row[5] == 7]


@pytest.mark.promise
@pytest.mark.failure("old store")
def test_plain_rows_of_version_1_are_taken_over_and_nothing_is_encoded(plan: Plan) -> None:
    job, told = plan(PLAIN), Told()
    write_version_1(job)
    artifact = job.run(progress=told)
    assert told.encoded == 0
    assert any(line.startswith("12 images have their features from a store of version 1") for line in told.lines)
    assert [number for split in ("train", "val", "test") for number in places(artifact, split)] == list(range(12))
    assert artifact.summary["counts"] == {"train": 7, "val": 2, "test": 3}
    # Once they are kept by content nothing more is said of them.
    told = Told()
    plan(PLAIN.model_copy(update={"shard_batches": 9}), val_share=0.3).run(progress=told)
    assert not any("version 1" in line for line in told.lines)


def test_augmented_rows_of_version_1_are_made_anew(plan: Plan) -> None:
    """Their randomness came from names."""
    job, told = plan(), Told()
    write_version_1(job)
    artifact = job.run(progress=told)
    assert told.encoded == 7
    assert [number for split in ("train", "val", "test") for number in places(artifact, split)] == list(range(12))
    rows = read_images(artifact.files("train-"))
    assert not (rows.features[rows.views > 0][:, 5] == 7).any()
    assert {row for found in stored_rows(job.store).values() for row in found} == {
        (job.hashes[sample.place], view) for sample in job.dataset.samples for view in range(3 if sample.split == "train" else 1)
    }


def test_a_shard_with_a_changed_image_is_encoded_and_the_others_are_taken_over(plan: Plan, photos: Path) -> None:
    write_version_1(plan(PLAIN))
    picture(99).save(photos / "test" / "cat" / "t.jpg")
    told = Told()
    artifact = plan(PLAIN).run(progress=told)
    assert told.encoded == 3
    assert any(line.startswith("9 images have their features from a store of version 1") for line in told.lines)
    assert (places(artifact, "train"), places(artifact, "test")) == (list(range(7)), [])


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied"])
def test_a_damaged_table_of_version_1_is_passed_over(plan: Plan, damage: str) -> None:
    old = write_version_1(plan(PLAIN)).files("train-")[0]
    data = bytearray(old.read_bytes())
    if damage == "flipped":
        # In the vectors.
        data[pq.read_metadata(old).row_group(0).column(4).data_page_offset + 60] ^= 4
        old.write_bytes(data)
    else:
        os.truncate(old, len(data) // 2 if damage == "cut" else 0)
    told = Told()
    artifact = plan(PLAIN).run(progress=told)
    assert told.encoded == 7
    assert (places(artifact, "train"), places(artifact, "val"), places(artifact, "test")) == ([], [7, 8], [9, 10, 11])


def test_rows_of_another_machine_or_batch_size_are_not_taken_over(plan: Plan) -> None:
    write_version_1(plan(PLAIN), torch="1.0")
    write_version_1(plan(PLAIN, store="other"))
    for job in (plan(PLAIN), plan(PLAIN.model_copy(update={"batch_size": 3}), store="other")):
        told = Told()
        job.run(progress=told)
        assert told.encoded == 12


@pytest.mark.parametrize("odd", ["link", "link to a folder", "pipe"])
def test_what_is_no_file_of_the_store_is_not_read_for_version_1(plan: Plan, tmp_path: Path, odd: str) -> None:
    """A table that would be taken over, were it not reached through a link."""
    job = plan(PLAIN)
    artifact = write_version_1(job)
    outside = tmp_path / "outside"
    artifact.path.rename(outside)
    if odd == "link to a folder":
        artifact.path.symlink_to(outside)
    else:
        artifact.path.mkdir()
        for table in outside.glob("*-*.parquet"):
            (artifact.path / table.name).symlink_to(table) if odd == "link" else os.mkfifo(artifact.path / table.name)
    told = Told()
    job.run(progress=told)
    assert told.encoded == 12
