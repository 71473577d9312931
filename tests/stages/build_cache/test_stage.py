"""The stage build-cache, on real files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.worlds.few_shot import SCALE, World, unit
from xmap.stages.build_cache.identity import cache_identity
from xmap.stages.build_cache.stage import build_cache
from xmap.stages.config import CacheConfig
from xmap.stages.fewshot.cache import OpenCache
from xmap.stages.fewshot.load import class_weights, load_text, support_of
from xmap.stages.names import Parts
from xmap.stages.workplace.place import Workplace
from xmap.stages.workplace.progress import Silent
from xmap.store.artifacts.artifact import Artifact
from xmap.store.artifacts.identity import Identity
from xmap.store.errors import InputError
from xmap.store.formats.features import ImageFeatures, TextFeatures, read_images
from xmap.store.formats.index import VectorIndex
from xmap.store.formats.log import read_values


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def build(world: World, images: Artifact, texts: Artifact, seed: int | None = 1, **config: Any) -> Artifact:
    fields = {**config, "seed": seed, "images": images.fingerprint, "texts": texts.fingerprint}
    return build_cache(Workplace(world.store), Identity("cache", "toy", fields), images, texts, CacheConfig(**config), seed)


def test_keys_are_unit_means_of_all_views_in_label_then_id_order(world: World) -> None:
    images = world.images({"train": world.rows("train", 6, views=3), "test": world.rows("test", 2)})
    cache = build(world, images, world.texts(), shots=4)
    values = read_values(cache.file("values.parquet"))
    assert list(zip(values.labels.tolist(), values.sample_ids, strict=True)) == sorted(
        zip(values.labels.tolist(), values.sample_ids, strict=True)
    )
    assert values.class_names == tuple(world.names[label] for label in values.labels)
    rows = read_images(images.files(prefix="train-"))
    ids = np.asarray(rows.sample_ids)
    expected = np.stack([rows.features[ids == sample].mean(axis=0) for sample in values.sample_ids])
    keys = VectorIndex.load(cache.file("image.faiss")).keys()
    np.testing.assert_allclose(keys, unit(expected), atol=1e-6)


def test_row_j_of_the_index_is_row_j_of_the_values(world: World) -> None:
    images = world.images({"train": world.rows("train", 4)})
    cache = OpenCache(build(world, images, texts := world.texts(), shots=3), texts)
    support = cache.support(images)
    assert cache.index.search(support.keys.numpy(), 1).rows[:, 0].tolist() == list(range(len(support)))
    assert cache.segments.labels.tolist() == support.labels.tolist()
    assert cache.segments.shots == 3


def test_the_text_index_holds_one_unit_key_a_class(world: World) -> None:
    texts = world.texts(templates=3)
    cache = build(world, world.images({"train": world.rows("train", 2)}), texts, shots=2)
    keys = VectorIndex.load(cache.file("text.faiss")).keys()
    np.testing.assert_allclose(keys, load_text(texts).weights.numpy(), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(keys, axis=1), 1.0, rtol=1e-5)


def test_class_weights_are_unit_means_of_unit_prompts() -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(6, 4)) * random.uniform(1, 50, (6, 1))
    labels = np.asarray([0, 1, 0, 1, 0, 1], np.int32)
    found = class_weights(TextFeatures(labels, ("a", "b") * 3, ("{}",) * 6, features.astype(np.float32)), 2)
    expected = np.stack([unit(unit(features[labels == label]).mean(axis=0)) for label in range(2)])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_summary_says_what_the_cache_is(world: World) -> None:
    images = world.images({"train": world.rows("train", [4, 1, 4, 4], views=2)})
    summary = build(world, images, world.texts(), shots=3, short="keep").summary
    assert summary["short_classes"] == {"class b": 1}
    assert (summary["entries"], summary["views"], summary["shots"], summary["seed"]) == (10, 2, 3, 1)
    assert (summary["split"], summary["fixed"], summary["index"], summary["logit_scale"]) == ("train", False, "Flat", SCALE)
    assert len(summary["remarks"]) == 1


def test_a_fixed_support_forgets_the_seed(world: World) -> None:
    images = world.images({"support-1": world.rows("s1", 1), "support-10": world.rows("s10", 10)})
    cache = build(world, images, world.texts(), seed=None, shots=1)
    assert (cache.summary["fixed"], cache.summary["seed"], cache.summary["entries"]) == (True, None, 4)


def test_a_second_build_is_reused_and_equal_elsewhere(world: World, tmp_path: Path) -> None:
    images, texts = world.images({"train": world.rows("train", 4)}), world.texts()
    first = build(world, images, texts, shots=2)
    assert build(world, images, texts, shots=2).manifest == first.manifest
    other = World(tmp_path / "other")
    second = build_cache(Workplace(other.store), Identity("cache", "toy", dict(first.fields)), images, texts, CacheConfig(shots=2), 1)
    assert second.manifest["files"] == first.manifest["files"]


def test_any_faiss_factory_serves_and_a_bad_one_is_refused(world: World) -> None:
    images, texts = world.images({"train": world.rows("train", 4)}), world.texts()
    cache = build(world, images, texts, shots=4, index="HNSW8")
    assert len(VectorIndex.load(cache.file("image.faiss"))) == 16
    with pytest.raises(InputError, match="Nonsense"):
        build(world, images, texts, shots=4, index="Nonsense")


def test_a_cache_built_in_chunks_is_the_cache_built_at_once(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, texts = world.images({"train": world.rows("train", 6, views=2)}), world.texts()
    whole = build(world, images, texts, shots=5)
    monkeypatch.setattr("xmap.stages.build_cache.stage.CHUNK", 3)
    other = World(tmp_path / "other")
    parts = build_cache(Workplace(other.store), Identity("cache", "toy", dict(whole.fields)), images, texts, CacheConfig(shots=5), 1)
    assert parts.manifest["files"] == whole.manifest["files"]


def test_an_approximate_index_states_its_recall_and_keeps_its_effort(world: World) -> None:
    images, texts = world.images({"train": world.rows("train", 12)}), world.texts()
    cache = build(world, images, texts, shots=12, index="IVF8,Flat", recall=1.0)
    assert (cache.summary["index"], cache.summary["recall"]) == ("IVF8,Flat", 1.0)
    assert VectorIndex.load(cache.file("image.faiss")).effort == cache.summary["effort"]
    assert "recall" not in build(world, images, texts, shots=12).summary


def test_auto_says_what_it_takes(world: World) -> None:
    said: list[str] = []

    class Heard(Silent):
        def say(self, line: str) -> None:
            said.append(line)

    images, texts = world.images({"train": world.rows("train", 12)}), world.texts()
    for memory, factory in ((1.0, "Flat"), (1e-6, "IVF4,SQ8")):
        config = CacheConfig(shots=12, index="auto", index_memory=memory)
        identity = Identity("cache", f"toy-{factory}", {"memory": memory})
        cache = build_cache(Workplace(world.store, Heard()), identity, images, texts, config, 1)
        assert cache.summary["index"] == factory
    assert [line for line in said if line.startswith("index auto: Flat")]
    assert [line for line in said if "recall" in line]


def test_features_of_two_encoders_are_refused(world: World) -> None:
    images = world.images({"train": world.rows("train", 2)})
    with pytest.raises(InputError, match="width 8 and 5"):
        build(world, images, world.texts(width=5), shots=2)


def test_samples_with_unlike_views_are_refused() -> None:
    rows = ImageFeatures(("a", "a", "b"), np.zeros(3, np.int32), np.asarray([0, 1, 0], np.int16), np.ones((3, 2), np.float32))
    with pytest.raises(InputError, match="1 to 2 views"):
        support_of(rows, 2, 1)


def test_half_precision_features_become_single_precision_keys(world: World) -> None:
    rows = world.rows("train", 2)
    half = ImageFeatures(rows.sample_ids, rows.labels, rows.views, rows.features.astype(np.float16))
    cache = build(world, world.images({"support-2": half}), world.texts(), seed=None, shots=2)
    np.testing.assert_allclose(np.linalg.norm(VectorIndex.load(cache.file("image.faiss")).keys(), axis=1), 1.0, rtol=1e-5)


def test_validation_samples_measure_the_recall_and_are_an_input_then_alone(world: World) -> None:
    images, texts = world.images({"train": world.rows("train", 12), "val": world.rows("val", 5)}), world.texts()
    cache = build(world, images, texts, shots=12, index="IVF8,Flat", recall=1.0)
    assert cache.summary["recall"] == 1.0
    parts = {"train": "t", "val": "v"}
    inputs = [cache_identity(Parts("toy", parts), "x", CacheConfig(index=index), 1).inputs for index in ("Flat", "IVF8,Flat", "auto")]
    assert ["validation" in found for found in inputs] == [False, True, True]
