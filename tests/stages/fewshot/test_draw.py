"""Drawing the support and the few validation samples beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.worlds.few_shot import World
from xmap.stages.config import CacheConfig
from xmap.stages.fewshot import draw
from xmap.stages.fewshot.draw import (
    Beside,
    Drawn,
    draw_calibration,
    draw_kept,
    draw_support,
    draw_validation,
    fixed_shots,
    index_split,
    split_files,
    take_samples,
)
from xmap.stages.fewshot.split_index import rank
from xmap.store.artifacts.artifact import Artifact
from xmap.store.errors import InputError
from xmap.store.formats.features import ImageFeatures


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def drawn(world: World, images: Artifact, shots: int, seed: int | None = 1, short: str = "error") -> Drawn:
    return draw_support(images, CacheConfig.model_validate({"shots": shots, "short": short}), world.names, seed)


def with_splits(world: World, train: ImageFeatures, **more: ImageFeatures) -> Artifact:
    return world.images({"train": train, **more, "test": world.rows("test", 2)})


def test_the_draw_takes_the_lowest_hashes_of_each_class(world: World) -> None:
    rows = world.rows("train", 6)
    support = drawn(world, with_splits(world, rows), 2, seed=3)
    expected = set()
    for label in range(4):
        ids = [sample for sample, other in zip(rows.sample_ids, rows.labels, strict=True) if other == label]
        expected |= set(sorted(ids, key=lambda sample: rank(3, sample))[:2])
    assert set(support.index.sample_ids) == expected
    assert (support.split, support.fixed, support.remarks) == ("train", False, ())


def test_the_same_seed_draws_the_same_and_more_shots_contain_fewer(world: World) -> None:
    images = with_splits(world, world.rows("train", 8))
    two, four = (set(drawn(world, images, shots).index.sample_ids) for shots in (2, 4))
    assert set(drawn(world, images, 2).index.sample_ids) == two < four
    assert set(drawn(world, images, 2, seed=2).index.sample_ids) != two


def test_renumbered_classes_and_other_shards_draw_the_same_images(world: World) -> None:
    rows = world.rows("train", 6)
    turned = ImageFeatures(rows.sample_ids, (3 - rows.labels).astype(np.int32), rows.views, rows.features)
    first, second = with_splits(world, rows), world.images({"train": turned}, shard=3)
    assert set(drawn(world, first, 2).index.sample_ids) == set(drawn(world, second, 2).index.sample_ids)


def test_short_classes_are_an_error_or_are_kept_and_reported(world: World) -> None:
    images = with_splits(world, world.rows("train", [5, 2, 5, 3]))
    with pytest.raises(InputError, match=r"2 classes have fewer than 4 training images \('class b' has 2\); choose --shots 2"):
        drawn(world, images, 4)
    kept = drawn(world, images, 4, short="keep")
    assert kept.index.counts(4).tolist() == [4, 2, 4, 3]
    assert "fewer than 4" in kept.remarks[0]


def test_a_class_without_images_is_named(world: World) -> None:
    images = with_splits(world, world.rows("train", [2, 0, 2, 2]))
    with pytest.raises(InputError, match="'class b' has 0"):
        drawn(world, images, 2)
    assert drawn(world, images, 2, short="keep").index.counts(4).tolist() == [2, 0, 2, 2]


def test_a_drawn_support_needs_a_seed_and_images(world: World) -> None:
    with pytest.raises(InputError, match="give a seed"):
        drawn(world, with_splits(world, world.rows("train", 2)), 1, seed=None)
    with pytest.raises(InputError, match="no training images"):
        drawn(world, world.images({"test": world.rows("test", 2)}), 1)


def test_a_fixed_support_is_its_whole_split(world: World) -> None:
    one, sixteen = world.rows("s1", 1), world.rows("s16", 16)
    images = world.images({"support-1": one, "support-16": sixteen, "test": world.rows("test", 1)})
    assert fixed_shots(images) == (1, 16)
    for shots, rows in ((1, one), (16, sixteen)):
        support = drawn(world, images, shots, seed=None)
        assert support.fixed
        assert support.index.sample_ids == rows.sample_ids
    with pytest.raises(InputError, match="support for 1, 16 shots, not for 4"):
        drawn(world, images, 4)


@pytest.mark.parametrize(("shots", "each"), [(1, 1), (2, 2), (8, 4)])
def test_few_validation_samples_as_a_user_would_have(world: World, shots: int, each: int) -> None:
    images = with_splits(world, world.rows("train", 8), val=world.rows("val", 16))
    rows, what = draw_validation(Beside.of(images), shots, 1, "few", 4)
    assert rows is not None
    assert np.bincount(rows.labels).tolist() == [each] * 4
    assert what == f"validation, {each} a class"
    again, _ = draw_validation(Beside.of(images), shots, 2, "few", 4)
    assert again is not None
    assert set(again.sample_ids) != set(rows.sample_ids)


def test_validation_takes_what_there_is_and_says_so(world: World) -> None:
    images = with_splits(world, world.rows("train", 8), val=world.rows("val", [20, 1, 0, 2]))
    rows, what = draw_validation(Beside.of(images), 4, 1, "few", 4)
    assert rows is not None
    found = np.bincount(rows.labels, minlength=4).tolist()
    assert found[0] == 4
    assert (found[1] <= 1, found[2], found[3] <= 2) == (True, 0, True)
    assert what == "validation, up to 4 a class"


def test_the_paper_protocol_takes_all_of_validation(world: World) -> None:
    images = with_splits(world, world.rows("train", 8), val=world.rows("val", 6))
    rows, what = draw_validation(Beside.of(images), 1, 1, "paper", 4)
    assert rows is not None
    assert (len(rows), what) == (24, "validation, all 24")


def test_a_temperature_is_fitted_on_samples_as_they_come(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    images = with_splits(world, world.rows("train", 8), val=world.rows("val", [30, 6, 2, 1], views=2))
    rows, what = draw_calibration(Beside.of(images), 1)
    assert rows is not None
    assert (np.bincount(rows.labels).tolist(), set(rows.views.tolist()), what) == ([30, 6, 2, 1], {0}, "validation, 39 of 39 samples")
    monkeypatch.setattr(draw, "CALIBRATION_MOST", 10)
    few, what = draw_calibration(Beside.of(images), 1)
    assert few is not None
    assert (len(few), what) == (10, "validation, 10 of 39 samples")
    other = draw_calibration(Beside.of(images), 2)[0]
    assert other is not None
    assert set(other.sample_ids) != set(few.sample_ids)


def test_half_of_what_is_beside_the_support_is_kept_apart_and_chooses_nothing(world: World) -> None:
    images = with_splits(world, world.rows("train", 8), val=world.rows("val", [30, 6, 4, 1], views=2))
    for seed in range(5):
        kept, source = draw_kept(Beside.of(images), seed)
        chosen, _ = draw_validation(Beside.of(images), 16, seed, "few", 4)
        assert kept is not None
        assert chosen is not None
        assert (len(kept), set(kept.views.tolist()), source) == (20, {0}, "validation kept apart")
        assert not set(kept.sample_ids) & set(chosen.sample_ids)
    assert draw_kept(Beside.of(images), 1, "paper") == (None, "nothing kept apart")
    remainder = with_splits(world, world.rows("train", 8))
    support = drawn(world, remainder, 4).index.sample_ids
    for protocol in ("few", "paper"):
        kept, source = draw_kept(Beside.of(remainder, support), 1, protocol)  # type: ignore[arg-type]
        assert kept is not None
        assert (len(kept), source) == (8, "train remainder kept apart")
        assert not set(kept.sample_ids) & set(support)
    assert draw_kept(Beside.of(with_splits(world, world.rows("train", 4), val=world.rows("val", [1, 0, 0, 0]))), 1)[0] is None


def test_no_more_are_kept_than_a_promise_takes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    images = with_splits(world, world.rows("train", 8), val=world.rows("val", 9))
    whole = draw_kept(Beside.of(images), 1)[0]
    monkeypatch.setattr(draw, "KEPT_MOST", 10)
    few = draw_kept(Beside.of(images), 1)[0]
    assert whole is not None
    assert few is not None
    assert len(few) == 10
    assert set(few.sample_ids) < set(whole.sample_ids)


def test_without_validation_the_train_remainder_serves(world: World) -> None:
    images = with_splits(world, world.rows("train", 16, views=3))
    support = drawn(world, images, 6)
    rows, what = draw_validation(Beside.of(images, support.index.sample_ids), 2, 1, "few", 4)
    assert rows is not None
    assert what == "train remainder, 2 a class"
    assert not set(rows.sample_ids) & set(support.index.sample_ids)
    assert set(rows.views.tolist()) == {0}


def test_where_nothing_remains_nothing_is_drawn(world: World) -> None:
    images = with_splits(world, world.rows("train", 3))
    assert draw_validation(Beside.of(images, drawn(world, images, 3).index.sample_ids), 3, 1, "few", 4)[0] is None
    fixed = world.images({"support-2": world.rows("s", 2)})
    assert draw_validation(Beside.of(fixed), 2, 1, "few", 4) == (None, "nothing (fixed defaults)")


def test_all_views_of_a_sample_are_taken_over_shards(world: World) -> None:
    rows = world.rows("train", 5, views=3)
    images = world.images({"train": rows}, shard=2)
    wanted = {rows.sample_ids[0], rows.sample_ids[-1]}
    found = take_samples(images, "train", wanted)
    keep = [row for row, sample in enumerate(rows.sample_ids) if sample in wanted]
    np.testing.assert_array_equal(found.features, rows.features[keep])
    with pytest.raises(InputError, match=r"no train sample 'absent\.jpg'"):
        take_samples(images, "train", {"absent.jpg"})


def test_labels_beyond_the_classes_are_an_error(world: World) -> None:
    images = with_splits(world, world.rows("train", 2))
    with pytest.raises(InputError, match="label 3 in the image features"):
        index_split(images, "train").counts(3)


@pytest.mark.promise
def test_the_test_split_is_refused(world: World) -> None:
    images = with_splits(world, world.rows("train", 2))
    with pytest.raises(InputError, match="evaluation alone"):
        split_files(images, "test")
    with pytest.raises(InputError, match="no split 'val'; they hold train, test"):
        split_files(images, "val")
