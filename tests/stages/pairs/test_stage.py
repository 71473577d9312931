"""Pairs against all cosines and contents compared one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from xmap.stages.build_cache.index_choice import IndexChoice
from xmap.stages.config import PairsConfig
from xmap.stages.datasets.dataset import SPLITS
from xmap.stages.pairs import stage
from xmap.stages.pairs.stage import SHARE, find_pairs
from xmap.stages.workplace.place import Workplace
from xmap.store.artifacts.artifact import Artifact, Draft, Store
from xmap.store.artifacts.identity import Identity
from xmap.store.formats.feature_rows import Rows
from xmap.store.formats.features import ImageFeatures, write_images
from xmap.store.formats.packs import Packs
from xmap.store.formats.pairs import PAIRS, PAIRS_TABLE
from xmap.store.formats.samples import Samples, write_samples
from xmap.store.formats.tables import Array, read_table

CLASSES = ["ant", "bee"]
# The contents of each split's images, by number.
Splits = Mapping[str, Sequence[int]]
splits = st.fixed_dictionaries({"train": st.lists(st.integers(0, 9), min_size=2, max_size=9)}, optional={
    split: st.lists(st.integers(0, 9), min_size=1, max_size=9) for split in ("val", "test")
})  # fmt: skip


def vectors(seed: int) -> Array:
    """Ten contents' features, some of them near each other."""
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(4, 6))
    return (centres[draw.integers(0, 4, 10)] + 0.15 * draw.normal(size=(10, 6))).astype(np.float32)


def name(split: str, number: int) -> str:
    return f"{split}/{number:03d}.jpg"


def stored(root: Path, found: Splits, features: Array, by_content: bool = True) -> Artifact:
    """Image features of such splits, in packs or, as those of version 1, in tables of their own; two files a split."""
    store = Store(root)
    contents = [blake3(str(number).encode()).hexdigest() for number in range(len(features))]
    packs = Packs.of(root, "toy", {})
    packs.write(Rows(contents, np.zeros(len(features), np.int16), features))
    with store.build(Identity("images", "toy", {"of": {split: list(rows) for split, rows in found.items()}, "packs": by_content})) as held:
        assert isinstance(held, Draft)
        for split, rows in found.items():
            half = len(rows) // 2
            for part, numbers in enumerate((range(half), range(half, len(rows)))):
                ids, data = [name(split, number) for number in numbers], [rows[number] for number in numbers]
                labels, views = np.asarray([number % 2 for number in data], np.int32), np.zeros(len(ids), np.int16)
                path = held.path / f"{split}-{part:05d}.parquet"
                if by_content:
                    samples = Samples(ids, labels, views, [contents[number] for number in data], [""] * len(ids), ids)
                    write_samples(path, samples, split, "f", (packs.name, packs.name))
                else:
                    write_images(path, ImageFeatures(tuple(ids), labels, views, features[np.asarray(data, np.int64)]), split, "f")
        return held.commit({"dataset": "toy", "classes": CLASSES, "counts": {}, "parts": {}})


def pairs_of(images: Artifact, near: Any = "auto") -> tuple[list[dict[str, Any]], Artifact]:
    config = PairsConfig(near=near)
    found = find_pairs(
        Workplace(Store(images.root)), Identity("pairs", "toy", {"near": near}, {"train": images.fingerprint}), images, config
    )
    return read_table(found.path / PAIRS_TABLE, types=PAIRS).to_pylist(), found


def expected(found: Splits, features: Array, threshold: float) -> dict[tuple[str, str], tuple[float, bool]]:
    """For each image and each content of an earlier or its own split: all that is the same or near."""
    units = features / np.linalg.norm(features, axis=1, keepdims=True)
    pairs = {}
    for source in found:
        for target in SPLITS[: SPLITS.index(source) + 1]:
            for number, content in enumerate(found[source]):
                for place, other in enumerate(found.get(target, ())):
                    first = list(found[target]).index(other) == place
                    itself = source == target and number == place
                    cosine = float(units[content] @ units[other])
                    if first and not itself and (content == other or cosine >= threshold):
                        pair = name(source, number), name(target, place)
                        pairs[pair if source != target else (max(pair), min(pair))] = (cosine, content == other)
    return pairs


@settings(max_examples=15)
@given(splits, st.integers(0, 99), st.sampled_from(["auto", 0.9, 0.99, 1.0]))
def test_pairs_are_those_of_all_images_compared_one_by_one(found: Splits, seed: int, near: Any) -> None:
    features = vectors(seed)
    with TemporaryDirectory() as folder:
        rows, artifact = pairs_of(stored(Path(folder) / "store", found, features), near)
    threshold = artifact.summary["threshold"]
    said = {(row["sample_id"], row["other_id"]): (row["cosine"], row["exact"]) for row in rows}
    assert len(said) == len(rows)
    wanted = expected(found, features, threshold)
    # On the threshold itself the last digit decides.
    certain = {pair for pair, (cosine, exact) in wanted.items() if exact or cosine > threshold + 1e-5}
    assert certain <= said.keys() <= expected(found, features, threshold - 1e-5).keys()
    assert all(said[pair][1] == wanted[pair][1] and abs(said[pair][0] - wanted[pair][0]) < 1e-5 for pair in certain)
    for split, counts in artifact.summary["leaks"].items():
        between = [row for row in rows if row["split"] == split != row["other_split"]]
        exact, near_ones = ({row["sample_id"] for row in between if row["exact"] is kind} for kind in (True, False))
        assert counts == {"images": len(found[split]), "exact": len(exact), "near": len(near_ones - exact)}
    assert set(artifact.summary["leaks"]) == found.keys() - {"train"}


def test_the_threshold_is_a_share_of_how_far_the_nearest_training_image_usually_is(tmp_path: Path) -> None:
    features = vectors(1)
    units = features / np.linalg.norm(features, axis=1, keepdims=True)
    _, artifact = pairs_of(stored(tmp_path, {"train": [*range(8), 0], "test": [8, 9]}, features))
    cosines = units[:8] @ units[:8].T
    np.fill_diagonal(cosines, -1)
    assert artifact.summary["threshold"] == pytest.approx(1 - SHARE * np.median(1 - cosines.max(1)), abs=1e-6)


def test_a_search_that_is_exact_is_not_held_against_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "raise_effort", pytest.fail)
    images = stored(tmp_path, {"train": [*range(8)], "test": [8, 9]}, vectors(3))
    assert pairs_of(images)[1].summary["threshold"] < 1


def test_many_alike_are_bounded_and_exact_ones_are_there_still(tmp_path: Path) -> None:
    """A thousand images of one picture: a few pairs each, and not half a million; the same bytes are among them."""
    features = np.ones((256, 6), np.float32) + 1e-4 * np.random.default_rng(1).normal(size=(256, 6)).astype(np.float32)
    rows, artifact = pairs_of(stored(tmp_path, {"train": list(range(256)) * 3, "test": list(range(256))}, features), 0.99)
    assert len(rows) <= (stage.NEAREST + 2) * 1024 * 2
    assert artifact.summary["leaks"]["test"] == {"images": 256, "exact": 256, "near": 0}
    exact = [row for row in rows if row["exact"]]
    assert {(row["sample_id"], row["other_id"]) for row in exact if row["split"] == "test"} == {
        (name("test", number), name("train", number)) for number in range(256)
    }
    assert len([row for row in exact if row["split"] == "train"]) == 2 * 256


def test_features_of_version_1_have_no_contents_and_are_compared_by_cosine(tmp_path: Path) -> None:
    rows, _ = pairs_of(stored(tmp_path, {"train": [0, 1, 2], "test": [1, 7]}, np.eye(8, 6, dtype=np.float32) + 0.1, by_content=False))
    assert ("test/000.jpg", "train/001.jpg") in {(row["sample_id"], row["other_id"]) for row in rows}
    assert not any(row["exact"] for row in rows)


def test_lists_of_codes_find_the_same_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with more images than an exact search is for."""
    draw = np.random.default_rng(2)
    seen = draw.normal(size=(400, 32)).astype(np.float32)
    near = seen[:40] + 0.02 * draw.normal(size=(40, 32)).astype(np.float32)
    features = np.concatenate([seen, near])

    monkeypatch.setattr(stage, "choose_index", lambda *asked: IndexChoice("IVF4,SQ8", ""))
    rows, _ = pairs_of(stored(tmp_path, {"train": list(range(400)), "test": list(range(400, 440))}, features), 0.98)
    found = {(row["sample_id"], row["other_id"]) for row in rows if row["split"] == "test"}
    assert found == {(name("test", number), name("train", number)) for number in range(40)}
