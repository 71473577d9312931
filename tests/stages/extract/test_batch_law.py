"""The batch law: the trial finds what a row-by-row comparison finds, and where the law fails no row comes from another batch."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import xmap.stages.extract.reuse
from tests.worlds.extraction import SMALL, Plan, Told, plan_job, stored_rows, tree
from tests.worlds.pictures import picture
from xmap.stages.config import EncoderConfig, ExtractConfig
from xmap.stages.encoder.model import Encoder, resolve
from xmap.stages.encoder.names import MODELS, TINY
from xmap.stages.extract.batch_law import holds, recall_law, remember_law
from xmap.stages.images.views import normalised
from xmap.stages.machine.kind import Machine, this_machine
from xmap.store.artifacts.artifact import Artifact
from xmap.store.formats.tables import Array
from xmap.store.memory.notes import Notes

SIZES = (3, 5)


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def tiny() -> Encoder:
    return Encoder.load(resolve(EncoderConfig(model=TINY), Notes(), None), "cpu", texts=False)


def is_kept(model: Encoder, size: int) -> bool:
    """Whether each row is the same alone in every place."""
    preprocess = model.identity.preprocess
    pixels = np.random.default_rng(5).integers(0, 256, (size, *preprocess["size"], 3), np.uint8)
    rows = model.encode_images(normalised(pixels, preprocess))
    for image, place in product(range(size), repeat=2):
        alone = np.zeros_like(pixels)
        alone[place] = pixels[image]
        if model.encode_images(normalised(alone, preprocess))[place].tobytes() != rows[image].tobytes():
            return False
    return True


@pytest.mark.promise
@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("size", SIZES)
def test_the_trial_finds_of_a_real_model_what_comparing_every_place_finds(tiny: Encoder, size: int) -> None:
    """On two threads some processors break the law in batches of 3 and 5."""
    assert holds(tiny, size) == is_kept(tiny, size)


def of_batch(real: Any, neighbours: Any) -> Any:
    """An encoder whose rows depend on their batch: by what `neighbours` makes of a batch."""

    def encode(self: Encoder, batch: torch.Tensor) -> Array:
        rows: Array = real(self, batch) + np.float32(1e-3) * neighbours(batch).astype(np.float32)
        return rows

    return encode


def _mean(batch: torch.Tensor) -> Array:
    return np.full((len(batch), 1), float(batch.mean()))


def _place(batch: torch.Tensor) -> Array:
    return (np.arange(len(batch)) == len(batch) - 1).astype(np.float32)[:, None]


@pytest.mark.parametrize("neighbours", [_mean, _place])
@pytest.mark.parametrize("size", [2, 7])
def test_the_trial_finds_what_depends_on_neighbours_or_place(
    tiny: Encoder, neighbours: Any, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert holds(tiny, size)
    monkeypatch.setattr(Encoder, "encode_images", of_batch(Encoder.encode_images, neighbours))
    assert not holds(tiny, size)


def test_an_answer_holds_for_all_that_may_change_it(tiny: Encoder, tmp_path: Path) -> None:
    notes, machine = Notes(tmp_path / "notes"), this_machine("cpu")
    assert set(machine.arithmetic) >= {"threads", "instructions"}
    assert recall_law(notes, tiny.identity, 4, machine) is None
    remember_law(notes, tiny.identity, 4, machine, False)
    assert recall_law(notes, tiny.identity, 4, machine) is False
    # One image a batch has no neighbours.
    assert recall_law(notes, tiny.identity, 1, machine) is True
    assert recall_law(notes, tiny.identity, 5, machine) is None
    for other in (
        Machine("cpu", {**machine.made_by, "torch": "1"}, machine.arithmetic),
        Machine("cpu", machine.made_by, {**machine.arithmetic, "threads": "77"}),
    ):
        assert recall_law(notes, tiny.identity, 4, other) is None


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The batch sizes that were tried."""
    tried: list[int] = []
    real = xmap.stages.extract.reuse.try_law
    monkeypatch.setattr(xmap.stages.extract.reuse, "try_law", lambda *given: tried.append(given[1]) or real(*given))
    return tried


def features(artifact: Artifact) -> dict[str, bytes]:
    """The features of each split: which maker its tables name depends on when the law was tried."""
    return {name: data for name, data in tree(artifact).items() if not name.endswith(".parquet")}


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Encoder, "encode_images", of_batch(Encoder.encode_images, _mean))


def test_the_law_is_tried_once_and_only_before_rows_are_taken(plan: Plan, photos: Path, trials: list[int]) -> None:
    plan().run()
    assert trials == []
    for number in range(2):
        picture(100 + number).save(photos / "train" / "cat" / "0.jpg")
        plan().run()
    assert trials == [4]
    plan(config=SMALL.model_copy(update={"batch_size": 3})).run()
    assert trials == [4]


@pytest.mark.promise
@pytest.mark.usefixtures("broken")
def test_the_rows_of_the_very_same_batches_are_taken_without_a_trial(plan: Plan, trials: list[int], tmp_path: Path) -> None:
    """As after a correction of labels. One image left out, and the batches are others."""
    first = plan().run()
    labels = tmp_path / "labels.csv"
    labels.write_text("sample_id,label\ntrain/cat/0.jpg,dog\n")
    told = Told()
    relabelled = plan(labels=str(labels)).run(progress=told)
    assert (told.encoded, trials) == (0, [])
    assert features(relabelled) == features(first)
    labels.write_text("sample_id,label\ntrain/cat/0.jpg,leave-out\n")
    fewer = plan(labels=str(labels)).run()
    assert trials == [4]
    assert features(fewer) == features(plan(labels=str(labels), store="scratch").run())


def test_a_long_extraction_tries_it_at_once(plan: Plan, trials: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xmap.stages.extract.reuse, "MANY", 3)
    plan().run()
    assert trials == [4]


@pytest.mark.promise
@pytest.mark.usefixtures("broken")
def test_where_it_fails_rows_come_from_the_very_same_batches_alone(plan: Plan, photos: Path, trials: list[int], tmp_path: Path) -> None:
    plan().run()
    picture(100).save(photos / "train" / "cat" / "0.jpg")
    told = Told()
    grown = plan().run(progress=told)
    assert told.encoded == 12
    assert sum("depend on its neighbours in a batch of 4: rows are taken from no extraction but" in line for line in told.lines) == 1
    scratch = features(plan(store="scratch").run())
    assert features(grown) == scratch
    # The same images in the same order, under other names: nothing is encoded.
    renamed = tmp_path / "renamed"
    shutil.copytree(photos, renamed)
    for folder in renamed.glob("*/cat"):
        folder.rename(folder.with_name("cats"))
    again = Told()
    moved = plan(root=renamed).run(progress=again)
    assert again.encoded == 0
    assert features(moved) == scratch
    # Other views: other batches.
    one_view, told = SMALL.model_copy(update={"views": 1}), Told()
    other = plan(config=one_view).run(progress=told)
    assert told.encoded == 12
    assert features(other) == features(plan(config=one_view, store="scratch of one view").run())
    assert trials == [4]


@pytest.mark.promise
@pytest.mark.usefixtures("broken")
def test_where_it_fails_an_interrupted_extraction_goes_on_with_whole_shards(plan: Plan, photos: Path) -> None:
    plan().run()
    picture(100).save(photos / "train" / "cat" / "0.jpg")
    job = plan()
    whole = job.run()
    rows = stored_rows(job.store)
    lost = sorted(
        path for packs in job.store.root.glob("features/*") for path in packs.iterdir() if packs.name in whole.summary["features"]
    )
    lost[0].unlink()
    (whole.path / "manifest.json").unlink()
    told = Told()
    again = plan().run(progress=told)
    assert 0 < told.encoded < 12
    assert stored_rows(job.store) == rows
    assert features(again) == features(plan(store="scratch").run())


@pytest.mark.thorough
@pytest.mark.promise
@pytest.mark.usefixtures("two_threads")
def test_a_real_model_that_breaks_it_gives_the_rows_of_an_extraction_from_scratch(photos: Path, tiny: Encoder, tmp_path: Path) -> None:
    size = next((size for size in SIZES if not holds(tiny, size)), None)
    if size is None:
        pytest.skip("this processor keeps the law in all batches that were tried")
    config = ExtractConfig(views=1, batch_size=size, shard_batches=2)
    plan_job(photos, MODELS / TINY, tmp_path / "store", config).run()
    picture(100).save(photos / "train" / "cat" / "0.jpg")
    told = Told()
    grown = plan_job(photos, MODELS / TINY, tmp_path / "store", config).run(progress=told)
    assert told.encoded == 12
    assert features(grown) == features(plan_job(photos, MODELS / TINY, tmp_path / "scratch", config).run())
