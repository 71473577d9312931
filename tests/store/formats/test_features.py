"""Feature tables keep the encoder's numbers, rows in their order, and names as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmap.store.errors import ArtifactDamaged
from xmap.store.formats.features import ImageFeatures, TextFeatures, read_images, read_texts, write_images, write_texts
from xmap.store.formats.tables import read_table

NAMES = ("cat/a.jpg", "it's [x]*;.png", "\U0001f600/\u05d0.jpg", "a\nb", "-x", "")


def images(rows: int = 6, dtype: type = np.float32) -> ImageFeatures:
    draw = np.random.default_rng(3)
    features = draw.standard_normal((rows, 8)).astype(dtype)
    return ImageFeatures(NAMES[:rows], np.arange(rows, dtype=np.int32), np.zeros(rows, np.int16), features)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_images_come_back_as_they_were(tmp_path: Path, dtype: type) -> None:
    write_images(tmp_path / "train-00000.parquet", images(dtype=dtype), "train", "f")
    back = read_images([tmp_path / "train-00000.parquet"])
    assert back.sample_ids == NAMES
    assert (back.labels.dtype, back.views.dtype, back.features.dtype) == (np.int32, np.int16, dtype)
    np.testing.assert_array_equal(back.features, images(dtype=dtype).features)
    assert set(read_table(tmp_path / "train-00000.parquet")["split"].to_pylist()) == {"train"}


def test_shards_are_read_in_the_order_given(tmp_path: Path) -> None:
    for shard, rows in enumerate((np.array([4, 5]), np.array([0, 1]))):
        write_images(tmp_path / str(shard), images().take(rows), "val", "f")
    assert read_images([tmp_path / "0", tmp_path / "1"]).labels.tolist() == [4, 5, 0, 1]


@given(st.lists(st.integers(0, 5), max_size=8))
def test_take_is_indexing(rows: list[int]) -> None:
    taken = images().take(np.array(rows, dtype=np.int64))
    assert taken.sample_ids == tuple(NAMES[row] for row in rows)
    assert taken.labels.tolist() == rows
    assert len(taken) == len(rows)
    np.testing.assert_array_equal(taken.features, images().features[rows])


def test_an_empty_table_keeps_its_width(tmp_path: Path) -> None:
    write_images(tmp_path / "a", images(0), "test", "f")
    assert read_images([tmp_path / "a"]).features.shape == (0, 8)


def test_texts_come_back_as_they_were(tmp_path: Path) -> None:
    features = np.arange(8, dtype=np.float32).reshape(2, 4)
    rows = TextFeatures(np.array([0, 1], np.int32), ("<script>", "caf\u00e9"), ("a {}.", "a {}."), features)
    write_texts(tmp_path / "texts.parquet", rows, "f")
    back = read_texts(tmp_path / "texts.parquet")
    assert (back.class_names, back.templates, back.class_ids.tolist()) == (rows.class_names, rows.templates, [0, 1])
    np.testing.assert_array_equal(back.features, features)


def test_a_table_of_another_kind_is_damage(tmp_path: Path) -> None:
    write_images(tmp_path / "a", images(), "train", "f")
    with pytest.raises(ArtifactDamaged, match="no column class_id"):
        read_texts(tmp_path / "a")
