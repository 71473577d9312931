"""From vectors to artifacts: splits, texts, pools, what is one artifact and what is not, and files that change meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.worlds.imported import CLASSES, Told, column, table, take, vectors, write_arrays, write_table, write_texts
from xmap.stages.imports import split_tables
from xmap.stages.imports import vectors as imports_vectors
from xmap.stages.imports.npy import Npy
from xmap.store.artifacts.artifact import Store
from xmap.store.errors import InputError
from xmap.store.formats.features import read_images, read_texts


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    return write_table(tmp_path / "a.parquet", table())


@pytest.mark.parametrize("kind", ["npy", "parquet"])
def test_texts_go_to_their_classes(store: Store, tmp_path: Path, kind: str) -> None:
    """By place where labels are numbers, by name in a table."""
    named, texts = write_table(tmp_path / "a.parquet", table(label=vectors()[1])), write_texts(tmp_path)
    (tmp_path / "names.txt").write_text("\n".join(CLASSES))
    told = Told()
    chosen = texts[0] if kind == "npy" else texts[1]
    _, stored = take(store, "table", named, told, classes=str(tmp_path / "names.txt"), texts=str(chosen))
    rows = read_texts(stored.file("texts.parquet"))
    assert (rows.class_names, stored.summary["classes"]) == (CLASSES, list(CLASSES))
    assert np.array_equal(rows.features, vectors()[2])
    assert ("1 class texts of no class with images were left out: 'dog'" in told.lines) == (kind == "parquet")


TEXTS: dict[str, tuple[Callable[[], Any], str]] = {
    "order": (lambda: np.ones((3, 8), np.float32), "give --classes FILE with names in the order"),
    "turned": (lambda: np.ones((8, 5), np.float32), "has texts of width 5, the vectors have 8; it looks turned"),
    "fewer": (lambda: np.ones((2, 8), np.float32), "class numbers count from 0 and there are 2 class texts"),
    "zero": (lambda: np.zeros((3, 8), np.float32), "row 0 is a vector of length 0"),
    "lacking": (lambda: {"class": ["ant", "bee"]}, "lacks 1 of 3 classes: 'cat'; it has 'ant', 'bee'"),
    "twice": (lambda: {"class": ["ant", "bee", "cat", "cat"]}, "has several rows of 'cat'"),
    "nameless": (lambda: {"x": [1, 2], "y": [3, 4]}, "has no column 'class' but"),
    "hollow": (lambda: {"class": ["ant", None]}, "row 1 has no usable class"),
}


@pytest.mark.failure("odd label")
@pytest.mark.parametrize("fault", TEXTS)
def test_texts_that_do_not_fit_are_refused(store: Store, tmp_path: Path, fault: str) -> None:
    made, said = TEXTS[fault][0](), TEXTS[fault][1]
    if isinstance(made, dict):
        texts = tmp_path / "t.parquet"
        write_table(texts, pa.table({**made, "text": column(np.eye(len(next(iter(made.values()))), 8, dtype=np.float32))}))
    else:
        texts = tmp_path / "t.npy"
        np.save(texts, made)
    labels: dict[str, Any] = {"label": vectors()[1]} if fault in ("turned", "fewer") else {}
    place = write_table(tmp_path / "a.parquet", table(**labels))
    with pytest.raises(InputError) as caught:
        take(store, "table", place, texts=str(texts))
    assert said in str(caught.value)
    assert store.artifacts() == []


def test_given_splits_hold_and_rows_without_a_label_are_a_pool(store: Store, tmp_path: Path) -> None:
    words = ["Training", "validation", "test"]
    labels = [None if row < 4 else CLASSES[row % 3] for row in range(60)]
    place = write_table(tmp_path / "a.parquet", table(label=labels, split=[words[row // 3 % 3] for row in range(60)]))
    told = Told()
    images = take(store, "table", place, told)[0]
    assert images.summary["counts"] == {"train": 18, "val": 20, "test": 18, "pool": 4}
    assert read_images(images.files("pool-")).labels.tolist() == [-1] * 4
    assert any(line.startswith("4 ids ('img/0.jpg'") and "kept as a pool" in line for line in told.lines)
    assert "drawn" not in images.fields


@pytest.mark.parametrize(
    ("splits", "said"),
    [
        (["train"] * 59 + ["elsewhere"], "row 59 has the split 'elsewhere'; write train, val or test"),
        (["train"] * 59 + [None], "row 59 has the split ''"),
        (["test"] * 3 + ["train", "test", "test"] * 19, "no training image of 'bee', 'cat', which other splits have"),
    ],
)
@pytest.mark.failure("odd label")
def test_splits_that_cannot_be_used_are_refused(store: Store, tmp_path: Path, splits: list[str | None], said: str) -> None:
    with pytest.raises(InputError) as caught:
        take(store, "table", write_table(tmp_path / "a.parquet", table(split=splits)))
    assert said in str(caught.value)


def test_one_split_divides_nothing(store: Store, tmp_path: Path) -> None:
    told = Told()
    images = take(store, "table", write_table(tmp_path / "a.parquet", table(split=["train"] * 60)), told)[0]
    assert set(images.summary["counts"]) == {"train", "val", "test"}
    assert "all rows are in the split 'train', which divides nothing" in told.lines
    assert images.fields["drawn"] == {"split_seed": 1, "val_share": 0.2, "test_share": 0.3}


def test_equal_vectors_are_on_one_side_of_drawn_splits(store: Store, tmp_path: Path) -> None:
    found = vectors()[0]
    found[3:33:3] = found[0]
    images = take(store, "table", write_table(tmp_path / "a.parquet", table(embedding=column(found))))[0]
    holding = {split for split in ("train", "val", "test") if (read_images(images.files(f"{split}-")).features == found[0]).all(1).any()}
    assert len(holding) == 1


def test_asked_for_none_or_by_file(store: Store, plain: Path, tmp_path: Path) -> None:
    assert take(store, "table", plain, labels="none", name="pool")[0].summary["counts"] == {"pool": 60}
    np.save(tmp_path / "ids.npy", np.arange(60) + 100)
    write_table(tmp_path / "labels.parquet", pa.table({"id": range(159, 99, -1), "label": [["ant", "bee"][row % 2] for row in range(60)]}))
    images = take(store, "table", plain, ids="ids.npy", labels="labels.parquet", name="other")[0]
    rows = read_images(images.files("train-"))
    assert all(label == (int(name) + 1) % 2 for name, label in zip(rows.sample_ids, rows.labels, strict=True))
    for flag, value in (("labels", "absent.npy"), ("labels", "absent"), ("vectors", "label"), ("vectors", "absent"), ("ids", "absent.csv")):
        with pytest.raises(InputError, match=r"there is no such file|has no column 'absent'|holds string, not lists of floats"):
            take(store, "table", plain, None, name="wrong", **{flag: value})


def test_the_same_again_is_the_same_and_other_rows_are_refused(store: Store, plain: Path, tmp_path: Path) -> None:
    texts = str(write_texts(tmp_path)[1])
    first, again = (take(store, "table", plain, texts=texts) for _ in range(2))
    assert [found.fingerprint for found in first] == [found.fingerprint for found in again]
    untaught = take(store, "table", plain)
    assert [found.fingerprint for found in untaught] == [first[0].fingerprint]
    write_table(plain, table(embedding=column(vectors(seed=1)[0])))
    with pytest.raises(InputError, match="choose another name with --name"):
        take(store, "table", plain)


def test_tables_are_cut_without_changing_what_a_split_is(store: Store, plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = take(store, "table", plain, name="whole")[0]
    monkeypatch.setattr(split_tables, "TABLE", 7 * 8 * 4)
    monkeypatch.setattr(imports_vectors, "BYTES", 5 * 8 * 4)
    cut = take(store, "table", plain, name="cut")[0]
    assert cut.summary["parts"] == whole.summary["parts"]
    assert len(cut.files("train-")) > 1
    assert read_images(cut.files("train-")).sample_ids == read_images(whole.files("train-")).sample_ids


def test_vectors_that_change_while_they_are_read_are_refused(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_arrays(tmp_path / "npy", features=vectors()[0], labels=vectors()[1])
    opened, calls = Npy.chunks, []

    def chunks(self: Npy, rows: int) -> object:
        calls.append(self.path.name)
        if calls.count("features.npy") == 2:
            np.save(folder / "features.npy", vectors(seed=1)[0])
        return opened(self, rows)

    monkeypatch.setattr(Npy, "chunks", chunks)
    with pytest.raises(InputError, match="the vectors changed while they were read"):
        take(store, "npy", folder)
    assert store.artifacts() == []


def test_kinds_of_floats_are_kept_or_cast(store: Store, tmp_path: Path) -> None:
    found = vectors()[0]
    for kind, kept in ((np.float16, np.float16), (np.float64, np.float32), (">f4", np.float32)):
        folder = write_arrays(tmp_path / np.dtype(kind).name / str(kind)[-3:-1], features=np.asfortranarray(found.astype(kind)))
        rows = read_images(take(store, "npy", folder, name=str(kind))[0].files("pool-"))
        assert rows.features.dtype == kept
        assert np.array_equal(rows.features, found.astype(kind).astype(kept))
