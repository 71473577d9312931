"""The stage train, on real files: what it chooses on, what it logs, what it never opens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.worlds.few_shot import World
from xmap.stages.adapters.files import load_adapter
from xmap.stages.build_cache.stage import build_cache
from xmap.stages.config import CacheConfig, Device, Protocol, TopK
from xmap.stages.fewshot.cache import OpenCache
from xmap.stages.machine.device import resolve_device
from xmap.stages.methods.protocol import method as load_method
from xmap.stages.methods.registry import method_entry
from xmap.stages.train.identity import TrainSpec
from xmap.stages.train.recorder import Recorder
from xmap.stages.train.stage import train
from xmap.stages.workplace.place import Workplace
from xmap.store.artifacts.artifact import Artifact
from xmap.store.artifacts.identity import Identity
from xmap.store.errors import InputError, UnknownName
from xmap.store.formats.index import VectorIndex
from xmap.store.formats.log import read_values
from xmap.store.formats.tables import read_table
from xmap.store.formats.tensors import read_tensors

EPOCHS = 3


@dataclass
class Scene:
    """A world with its artifacts, one cache, and a way to train on it."""

    world: World
    images: Artifact
    texts: Artifact
    cache: Artifact

    def train(
        self,
        method: str,
        seed: int = 1,
        protocol: Protocol = "few",
        device: Device = "cpu",
        top_k: TopK = "all",
        number: int = 1,
        **options: Any,
    ) -> Artifact:
        spec = TrainSpec(method, method_entry(method).options(**options), seed, protocol, top_k)
        fields = {"method": method, "seed": seed, "protocol": protocol, "top_k": top_k, "number": number, **options}
        identity = Identity("adapter", method, fields, {"cache": self.cache.fingerprint})
        return train(Workplace(self.world.store, device=device), identity, self.images, self.texts, self.cache, spec)


def scene(root: Path, train_counts: int | Sequence[int] = 6, val: int = 4, shots: int = 4, views: int = 1) -> Scene:
    world = World(root)
    splits = {"train": world.rows("train", train_counts, views), "test": world.rows("test", 3)}
    images = world.images({**splits, "val": world.rows("val", val)} if val else splits)
    return Scene(world, images, (texts := world.texts()), cached(world, images, texts, shots, 1))


def cached(world: World, images: Artifact, texts: Artifact, shots: int, seed: int | None) -> Artifact:
    identity = Identity("cache", "toy", {"shots": shots, "seed": seed}, {"images": images.fingerprint})
    return build_cache(Workplace(world.store), identity, images, texts, CacheConfig(shots=shots, short="keep"), seed)


def test_an_untrained_method_logs_one_row_a_sample(tmp_path: Path) -> None:
    here = scene(tmp_path)
    adapter = here.train("tip-adapter")
    log = read_table(adapter.files(prefix="affinity/")).to_pylist()
    values = read_values(here.cache.file("values.parquet"))
    assert [row["sample_id"] for row in log] == list(values.sample_ids)
    assert {row["epoch"] for row in log} == {0}
    assert {(row["run"], row["method"], row["seed"], row["split"]) for row in log} == {(adapter.path.name, "tip-adapter", 1, "train")}
    fitted, cache = load_adapter(adapter, OpenCache(here.cache, here.texts))
    scores = load_method("tip-adapter").scores(fitted, cache, fitted.tensors["keys"])
    assert scores.image is not None
    for number, row in enumerate(log):
        label = row["label"]
        assert row["predicted"] == int(scores.logits[number].argmax())
        assert row["correct"] == (row["predicted"] == label)
        assert row["affinity_image"] == pytest.approx(float(scores.image[number, label]), rel=1e-5)
        assert row["affinity_text"] is None
        assert row["weight"] is None


def test_the_log_names_the_nearest_other_cached_images(tmp_path: Path) -> None:
    here = scene(tmp_path)
    adapter = here.train("tip-adapter")
    keys = VectorIndex.load(here.cache.file("image.faiss")).keys()
    values = read_values(here.cache.file("values.parquet"))
    beta = adapter.summary["settings"]["beta"]
    cosines = keys @ keys.T
    np.fill_diagonal(cosines, -2.0)
    for number, row in enumerate(read_table(adapter.files(prefix="affinity/")).to_pylist()):
        nearest = np.argsort(-cosines[number])[:5]
        assert [found["sample_id"] for found in row["neighbors"]] == [values.sample_ids[key] for key in nearest]
        assert row["neighbor_agreement"] == pytest.approx(np.mean(values.labels[nearest] == row["label"]))
        for found, key in zip(row["neighbors"], nearest, strict=True):
            assert found["affinity"] == pytest.approx(np.exp(-beta * (1 - cosines[number, key])), rel=1e-3)


def test_a_trained_method_logs_every_epoch_and_neighbors_in_the_last(tmp_path: Path) -> None:
    here = scene(tmp_path, views=2)
    log = read_table(here.train("tip-adapter-f", epochs=EPOCHS).files(prefix="affinity/")).to_pylist()
    ids = read_values(here.cache.file("values.parquet")).sample_ids
    assert [(row["epoch"], row["sample_id"]) for row in log] == [(epoch, sample) for epoch in range(1, EPOCHS + 1) for sample in ids]
    assert all(bool(row["neighbors"]) == (row["epoch"] == EPOCHS) for row in log)
    assert all(row["loss"] is not None and row["margin"] is not None for row in log)
    by_sample = {sample: {row["zero_shot_correct"] for row in log if row["sample_id"] == sample} for sample in ids}
    assert all(len(found) == 1 for found in by_sample.values())


def test_training_twice_gives_the_same_tensors_and_leaves_the_random_state(tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        torch.manual_seed(len(name))
        before = torch.random.get_rng_state()
        here = scene(tmp_path / name)
        adapter = here.train("tip-adapter-f", epochs=EPOCHS)
        assert torch.equal(torch.random.get_rng_state(), before)
        assert not torch.are_deterministic_algorithms_enabled()
        found.append({entry["name"]: entry["blake3"] for entry in adapter.manifest["files"]})
    assert found[0] == found[1]


def test_an_adapter_comes_back_from_disk(tmp_path: Path) -> None:
    here = scene(tmp_path)
    adapter = here.train("tip-adapter-f", epochs=EPOCHS)
    fitted, cache = load_adapter(adapter, OpenCache(here.cache, here.texts))
    assert fitted.settings == adapter.summary["settings"]
    assert fitted.selection.selected_on == adapter.summary["selection"]["selected_on"] == "validation, up to 3 a class"
    assert fitted.selection.trials == adapter.summary["selection"]["trials"] > EPOCHS
    assert fitted.trainable_parameters == adapter.summary["trainable_parameters"] == 16 * 8
    assert adapter.summary["stored_bytes"] == adapter.file("adapter.safetensors").stat().st_size
    np.testing.assert_array_equal(VectorIndex.load(adapter.file("image.faiss")).keys(), fitted.tensors["keys"].numpy())
    assert (cache.segments.even, cache.text.names) == (4, tuple(here.world.names))
    metadata = read_tensors(adapter.file("adapter.safetensors"))[1]
    assert (metadata["method"], metadata["options"]["epochs"]) == ("tip-adapter-f", EPOCHS)


def test_zero_shot_has_no_tensors_and_no_index(tmp_path: Path) -> None:
    here = scene(tmp_path)
    adapter = here.train("zero-shot")
    assert not adapter.files(prefix="image.faiss")
    assert adapter.summary["selection"]["selected_on"] == "nothing (no settings)"
    assert load_adapter(adapter, OpenCache(here.cache, here.texts))[0].tensors == {}


def test_without_validation_the_train_remainder_is_used(tmp_path: Path) -> None:
    assert scene(tmp_path, 6, val=0).train("tip-adapter").summary["selection"]["selected_on"] == "train remainder, up to 2 a class"


def test_with_nothing_left_over_part_of_the_support_is_held_out(tmp_path: Path) -> None:
    here = scene(tmp_path, 4, val=0)
    given: dict[str, dict[str, Any]] = {"tip-adapter": {}, "tip-adapter-f": {"epochs": EPOCHS}}
    for method, options in given.items():
        adapter = here.train(method, **options)
        selection = adapter.summary["selection"]
        assert selection["selected_on"] == "held-out support, 1 a class"
        assert selection["trials"] > 0
        assert load_adapter(adapter, OpenCache(here.cache, here.texts))[0].tensors["keys"].shape == (16, 8)
        log = read_table(adapter.files(prefix="affinity/"))
        assert len(set(log["sample_id"].to_pylist())) == 16


def test_with_one_shot_and_no_validation_nothing_is_chosen(tmp_path: Path) -> None:
    adapter = scene(tmp_path, 1, val=0, shots=1).train("tip-adapter")
    assert (adapter.summary["selection"]["selected_on"], adapter.summary["selection"]["trials"]) == ("nothing (fixed defaults)", 0)


def test_the_paper_protocol_is_named(tmp_path: Path) -> None:
    assert scene(tmp_path, shots=1).train("tip-adapter", protocol="paper").summary["selection"]["selected_on"] == "validation, all 16"


@pytest.mark.promise
def test_training_never_opens_the_test_split(tmp_path: Path) -> None:
    """Hyper-parameters are never chosen on test: training works with the test file gone."""
    here = scene(tmp_path)
    for path in here.images.path.glob("test-*.parquet"):
        path.unlink()
    cached(here.world, here.images, here.texts, 2, 2)
    assert here.train("tip-adapter").summary["selection"]["trials"] > 0
    assert here.train("tip-adapter-f", epochs=1).summary["selection"]["trials"] > 0


def test_a_device_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="tpu"):
        resolve_device("tpu")
    assert resolve_device("cpu") == "cpu"
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert resolve_device("auto") == "cpu"
    with pytest.raises(InputError, match="torch sees no GPU"):
        scene(tmp_path).train("tip-adapter", device="cuda")


def test_a_cache_of_other_features_is_refused(tmp_path: Path) -> None:
    here = scene(tmp_path)
    other = here.world.images({"train": here.world.rows("elsewhere", 6)})
    with pytest.raises(InputError, match="no train sample"):
        Scene(here.world, other, here.texts, here.cache).train("tip-adapter")


def test_the_recorder_keeps_copies_and_refuses_unknown_columns() -> None:
    recorder = Recorder()
    gamma = torch.tensor(0.5)
    recorder.add(2, torch.tensor([1, 0]), {"predicted": torch.tensor([1, 0]), "gamma": gamma})
    gamma += 1.0
    recorder.add(1, torch.tensor([0]), {"predicted": torch.tensor([3]), "loss": torch.tensor([0.25])})
    columns = recorder.columns()
    assert columns["epoch"].tolist() == [1, 2, 2]
    assert columns["row"].tolist() == [0, 0, 1]
    assert columns["predicted"].tolist() == [3, 0, 1]
    np.testing.assert_array_equal(columns["gamma"], np.asarray([np.nan, 0.5, 0.5], np.float32))
    np.testing.assert_array_equal(columns["loss"], np.asarray([0.25, np.nan, np.nan], np.float32))
    for wrong in ({"predicted": torch.tensor([0]), "surprise": torch.tensor([0])}, {"loss": torch.tensor([0.0])}):
        with pytest.raises(ValueError, match="the affinity log takes"):
            recorder.add(1, torch.tensor([0]), wrong)
