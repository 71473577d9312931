"""Rows that a real extraction left: exactly what is damaged is named, its remedy works, and no row goes that is needed."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.worlds.extraction import Plan, Told, stored_rows, tree
from tests.worlds.pictures import picture
from xmap.pipeline.upkeep.collect import UNREFERENCED, remove, waste
from xmap.pipeline.upkeep.packs import idle, wrong
from xmap.stages.config import ExtractConfig
from xmap.store.artifacts.artifact import Store
from xmap.store.artifacts.manifest import MANIFEST
from xmap.store.formats.feature_rows import Rows
from xmap.store.formats.packs import Packs, all_packs

REMEDY = re.compile(r"delete this file, (.+), and run `xmap extract.*` to build it again: its images alone are encoded again\.$")


def packs_of(store: Store) -> list[Path]:
    return [path for packs in all_packs(store) for path in [*packs.paths(), *packs.paths(bad=True)]]


def rows_of(path: Path) -> set[tuple[str, int]]:
    table = pq.read_table(path, columns=["content", "view"]).to_pydict()
    return {(content.hex(), view) for content, view in zip(table["content"], table["view"], strict=True)}


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 8
    path.write_bytes(data)


@pytest.mark.promise
@pytest.mark.failure("flipped bit")
def test_exactly_the_damaged_pack_is_named_and_its_remedy_works(plan: Plan) -> None:
    job = plan()
    expected = tree(job.run())
    rows = stored_rows(job.store)
    for number in range(len(packs_of(job.store))):
        path = packs_of(job.store)[number]
        images = {content for content, _ in rows_of(path)}
        flip(path)
        (damage,) = wrong(job.store)
        assert damage.path == str(path)
        named = REMEDY.search(damage.remedy)
        assert named, damage.remedy
        for name in (str(path), *named[1].split(", ")):
            assert Path(name).exists()
            os.unlink(name)
        told = Told()
        assert tree(job.run(progress=told)) == expected
        assert told.encoded == len(images)
        assert wrong(job.store) == []
        assert stored_rows(job.store) == rows


def test_all_artifacts_that_refer_to_a_damaged_pack_are_in_its_remedy(plan: Plan, photos: Path) -> None:
    one = plan().run()
    picture(50).save(photos / "train" / "cat" / "new.png")
    other = plan().run()
    path = max(packs_of(plan().store), key=lambda path: path.stat().st_size)
    flip(path)
    (damage,) = wrong(plan().store)
    assert all(f"{artifact.path / MANIFEST}, " in damage.remedy and artifact.again in damage.remedy for artifact in (one, other))


def test_rows_that_are_gone_are_told_at_the_features_that_need_them(plan: Plan) -> None:
    job = plan()
    artifact = job.run()
    lost = packs_of(job.store)[0]
    count = len(rows_of(lost))
    lost.unlink()
    (damage,) = wrong(job.store)
    assert damage.path == str(artifact.path)
    assert f"{count} rows of features that it refers to are not there" in str(damage)
    assert f"delete {artifact.path / MANIFEST}" in damage.remedy


def test_a_damaged_list_of_bad_images_may_go(plan: Plan, bad_photos: Path) -> None:
    job = plan()
    expected = tree(job.run())
    path = next(path for packs in all_packs(job.store) for path in packs.paths(bad=True))
    path.write_bytes(b"cut")
    (damage,) = wrong(job.store)
    assert (damage.path, damage.remedy) == (str(path), "delete it: nothing else is made from it.")
    path.unlink()
    assert wrong(job.store) == []
    (job.store.find(job.identity).path / MANIFEST).unlink()  # type: ignore[union-attr]
    assert tree(job.run()) == expected


def test_gc_removes_only_rows_that_nothing_refers_to(plan: Plan, photos: Path) -> None:
    job = plan()
    artifact = job.run()
    before = set(packs_of(job.store))
    orphans = Packs(job.store.root, "gone-0123456789abcdef")
    orphans.write(Rows(["aa" * 32], np.zeros(1, np.int16), np.ones((1, 2), np.float32)))
    found = waste(job.store, [job.identity])
    assert [(item.path, item.why) for item in found] == [(orphans.paths()[0], UNREFERENCED)]
    remove(job.store, [job.identity])
    assert set(packs_of(job.store)) == before
    assert not orphans.folder.exists()
    assert wrong(job.store) == []
    remove(job.store)
    assert packs_of(job.store) == []
    assert not artifact.path.exists()
    assert list((job.store.root / "features").glob("*/*")) == []


def test_no_table_is_read_through_a_link_to_say_what_is_wrong_or_idle(plan: Plan, tmp_path: Path) -> None:
    artifact = plan().run()
    table = artifact.files("train-")[0]
    table.rename(tmp_path / "outside.parquet")
    table.symlink_to(tmp_path / "outside.parquet")
    assert wrong(plan().store) == []
    assert list(idle(plan().store, [artifact])) == []
    assert [damage.path for damage in artifact.verify()] == [str(table)]


def test_plain_rows_of_an_extraction_with_views_fill_packs(plan: Plan) -> None:
    """Shards of few images, for their views count: the plain rows wait for others, whatever ends the work."""
    job = plan(ExtractConfig(views=3, batch_size=4, shard_batches=2))
    job.run()
    plain, augmented = sorted(([len(rows_of(path)) for path in packs.paths()] for packs in all_packs(job.store)), key=sum)
    assert len(plain) < len(augmented)
    assert sum(size < 8 for size in plain) <= 1
