"""The plan of an extraction: each content once, views for training alone, and of these only what the store lacks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.worlds.contents import having
from tests.worlds.extraction import SMALL, Plan, stored_rows
from xmap.stages.datasets.dataset import TEST, TRAIN, VAL, Dataset, Sample, known_contents
from xmap.stages.encoder.identity import EncoderIdentity
from xmap.stages.extract.identity import ExtractSpec, makers
from xmap.stages.extract.wanted import Images, Library, Wanted, keys_at, lacking, readable, shards_of, wanted
from xmap.store.formats.feature_rows import Rows
from xmap.store.formats.packs import Packs

A, B, C = "aa" * 32, "bb" * 32, "cc" * 32


def spec_of(samples: list[tuple[str, str, str | None]], views: int = 2) -> ExtractSpec:
    """A data set of (name, split, content)."""
    made = having((Sample(name, Path(name), 0, split) for name, split, _ in samples), (content for *_, content in samples))
    encoder = EncoderIdentity.__new__(EncoderIdentity)
    return ExtractSpec(Dataset("d", made, ("a",), ("{}",), ()), encoder, SMALL.model_copy(update={"views": views}))


def shown(images: Iterable[Wanted]) -> list[tuple[str, str | None, tuple[int, ...]]]:
    return [(image.sample.sample_id, image.content, image.views) for image in images]


def test_each_content_is_wanted_once_with_the_most_views_that_any_sample_of_it_has() -> None:
    spec = spec_of([("a.png", TRAIN, A), ("b.png", TRAIN, A), ("c.png", VAL, B), ("d.png", TEST, B), ("e.png", TEST, A)])
    assert shown(wanted(spec)) == [("a.png", A, (0, 1, 2)), ("c.png", B, (0,))]
    # Whatever comes first.
    spec = spec_of([("e.png", TEST, A), ("a.png", TRAIN, A)])
    assert shown(wanted(spec)) == [("e.png", A, (0, 1, 2))]
    assert shown(wanted(spec_of([("a.png", TRAIN, A)], views=0))) == [("a.png", A, (0,))]
    assert list(keys_at(spec.dataset.samples, np.asarray([1, 0]))) == [A, A]


def test_what_cannot_be_read_is_looked_at_file_by_file() -> None:
    spec = spec_of([("a.png", TRAIN, None), ("a.png", TEST, None), ("b.png", TEST, None)])
    images = wanted(spec)
    assert shown(images) == [("a.png", None, (0, 1, 2)), ("a.png", None, (0,)), ("b.png", None, (0,))]
    assert list(keys_at(images.samples, images.rows)) == ["train\0a.png", "test\0a.png", "test\0b.png"]


def test_a_name_that_is_not_read_has_no_content_whatever_its_bytes() -> None:
    """The same bytes under a name that is read are encoded, and the other file is still told as bad."""
    spec = spec_of([("a.psd", TRAIN, A), ("b.png", TRAIN, A)])
    assert known_contents(readable(spec.dataset.samples)).tolist() == [b"", bytes.fromhex(A)]
    assert shown(wanted(spec)) == [("a.psd", None, (0, 1, 2)), ("b.png", A, (0, 1, 2))]


def library(folder: Path) -> Library:
    return Library(Packs.of(folder, "m", {"a": 1}), Packs.of(folder, "m", {"a": 2}))


def keep(packs: Packs, *rows: tuple[str, int]) -> None:
    packs.write(Rows([row[0] for row in rows], np.asarray([row[1] for row in rows], np.int16), np.ones((len(rows), 2), np.float32)))


def test_only_what_is_not_there_is_lacking(tmp_path: Path) -> None:
    found = library(tmp_path)
    images = wanted(spec_of([("a.png", TRAIN, A), ("b.png", TEST, B), ("c.png", TRAIN, C), ("d.png", VAL, None)]))
    assert shown(lacking(images, found, {})) == shown(images)
    assert shown(lacking(images, found, {C: ("damaged", "")})) == [("a.png", A, (0, 1, 2)), ("b.png", B, (0,)), ("d.png", None, (0,))]
    keep(found.plain, (A, 0), (B, 0))
    keep(found.augmented, (C, 1))
    assert shown(lacking(images, found, {})) == [("a.png", A, (1, 2)), ("c.png", C, (0, 2)), ("d.png", None, (0,))]
    # A plain row among the augmented ones is nobody's.
    keep(found.augmented, (C, 0), (A, 1), (A, 2))
    assert shown(lacking(images, found, {})) == [("c.png", C, (0, 2)), ("d.png", None, (0,))]
    assert shown(lacking(wanted(spec_of([])), found, {})) == []


@given(st.lists(st.integers(1, 5), max_size=12), st.integers(1, 8))
def test_shards_hold_whole_images_in_order_and_no_more_rows_than_may_be(counts: list[int], rows: int) -> None:
    samples = having((Sample(str(number), Path(str(number)), 0, TRAIN) for number in range(len(counts))), [A] * len(counts))
    images = Images(samples, np.arange(len(counts)), np.arange(5) < np.asarray(counts, int)[:, None])
    shards = list(shards_of(images, rows))
    assert [image for shard in shards for image in shard.images] == list(images)
    assert [image.views for image in images] == [tuple(range(count)) for count in counts]
    assert all(len(shard.images) for shard in shards)
    assert all(sum(len(image.views) for image in shard.images) <= rows for shard in shards if len(shard.images) > 1)


@pytest.mark.promise
def test_an_image_that_comes_into_training_gets_its_augmented_views_alone(plan: Plan, photos: Path) -> None:
    job = plan()
    plain, augmented = plan().run().summary["features"]
    before = stored_rows(job.store)
    (photos / "val" / "cat" / "v.png").rename(photos / "train" / "cat" / "v.png")
    (photos / "train" / "dog" / "0.jpg").rename(photos / "val" / "cat" / "0.jpg")
    content = job.hashes[next(sample.place for sample in job.dataset.samples if sample.sample_id == "val/cat/v.png")]
    plan().run()
    after = stored_rows(job.store)
    assert after[plain] == before[plain]
    assert after[augmented].keys() - before[augmented].keys() == {(content, 1), (content, 2)}
    assert after[augmented].items() >= before[augmented].items()


def test_makers_are_all_that_determines_a_row(plan: Plan) -> None:
    spec = plan().spec
    plain, augmented = makers(spec, {"torch": "1"})
    assert "view_seed" not in plain
    assert augmented == {**plain, "view_seed": SMALL.view_seed}
    assert makers(spec, {"torch": "2"})[0] != plain
    other = ExtractSpec(spec.dataset, spec.encoder, SMALL.model_copy(update={"views": 7, "shard_batches": 5}))
    assert makers(other, {"torch": "1"}) == (plain, augmented)
    unseen = [ExtractSpec(spec.dataset, spec.encoder, SMALL.model_copy(update={"views": 0, "view_seed": seed})) for seed in (1, 2)]
    assert makers(unseen[0], {"torch": "1"}) == makers(unseen[1], {"torch": "1"})
    for change in ({"batch_size": 8}, {"max_pixels": 1000}, {"depth": 12}):
        changed = ExtractSpec(spec.dataset, spec.encoder, SMALL.model_copy(update=change))
        assert makers(changed, {"torch": "1"})[0] != plain, change
