"""Extraction end to end with a real model and real files: what is stored, what is reused, and that nothing changes a byte."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import xmap.stages.extract.loading
import xmap.stages.extract.shard_encoder
from tests.worlds.extraction import SMALL, Plan, Told, plan_job, stored_rows, tree
from tests.worlds.loading import started
from tests.worlds.models import write_model
from tests.worlds.pictures import picture, write_images
from xmap.stages.config import ExtractConfig
from xmap.stages.datasets.dataset import TEST, TRAIN, VAL
from xmap.stages.encoder.model import Encoder
from xmap.stages.extract.identity import parts, text_identity
from xmap.stages.images.views import ViewMaker
from xmap.store.artifacts.artifact import Store
from xmap.store.errors import InputError
from xmap.store.formats.features import read_errors, read_images, read_texts
from xmap.store.formats.packs import all_packs
from xmap.store.formats.tables import read_footer


def test_what_is_stored(plan: Plan, photos: Path, tiny_model_dir: Path) -> None:
    told = Told()
    job = plan()
    artifact = job.run(progress=told)
    assert sorted(tree(artifact)) == [
        "errors.parquet", "test", "test-00000.parquet", "train", "train-00000.parquet", "val", "val-00000.parquet",
    ]  # fmt: skip
    rows_there = stored_rows(job.store)
    plain, augmented = (rows_there[name] for name in artifact.summary["features"])
    assert len(plain) == 12
    assert sorted(augmented) == sorted((job.hashes[sample.place], view) for sample in job.dataset.split(TRAIN) for view in (1, 2))
    rows = read_images(artifact.files("train-"))
    assert rows.sample_ids == tuple(sample.sample_id for sample in job.dataset.split(TRAIN) for _ in range(3))
    assert rows.views.tolist() == [0, 1, 2] * 7
    assert rows.labels.tolist() == [0] * 12 + [1] * 9
    assert (rows.labels.dtype, rows.features.dtype, rows.features.shape) == (np.int32, np.float32, (21, 32))
    assert read_images(artifact.files("test-")).views.tolist() == [0, 0, 0]
    assert (told.starts, told.advanced) == ([("encode images", 12, 0)], 12)
    summary = dict(artifact.summary)
    assert summary["counts"] == {"train": 7, "val": 2, "test": 3}
    assert (summary["dataset"], summary["model"], summary["classes"], summary["width"]) == ("photos", "tiny", ["cat", "dog"], 32)
    assert (summary["bad"], summary["bad_kinds"], summary["views"]) == (0, {}, 2)
    assert summary["logit_scale"] == pytest.approx(1 / 0.07, rel=1e-4)
    assert summary["parts"] == parts(job.identity)
    assert read_errors(artifact.file("errors.parquet")) == []
    assert artifact.verify() == []


def test_texts_are_classes_times_templates(plan: Plan) -> None:
    told = Told()
    job = plan(templates=("a photo of a {}.", "{} {}", "the " * 20 + "{}"))
    artifact = job.texts(told)
    rows = read_texts(artifact.file("texts.parquet"))
    assert rows.class_ids.tolist() == [0, 0, 0, 1, 1, 1]
    assert rows.class_names == ("cat",) * 3 + ("dog",) * 3
    assert rows.templates[:3] == job.dataset.templates
    expected = Encoder.load(job.encoder, "cpu").encode_texts(["a photo of a cat.", "cat cat"])
    np.testing.assert_allclose(rows.features[:2], expected, rtol=1e-4, atol=1e-6)
    assert artifact.summary["cut_prompts"] == 2
    assert "2 prompts are longer than the encoder reads" in told.lines[0]
    assert artifact.summary["classes"] == ["cat", "dog"]
    assert job.texts().path == artifact.path


@pytest.mark.parametrize(("classes", "said"), [(("Cat", "cat"), True), (("a  b", "a b"), True), (("cat", "dog"), False)])
def test_classes_whose_prompts_are_one_text_are_told(plan: Plan, tmp_path: Path, classes: tuple[str, str], said: bool) -> None:
    root = write_images(tmp_path / "alike", [f"train/{name}/1.png" for name in classes])
    told = Told()
    plan(root=root, templates=("a photo of a {}.", "{}")).texts(told)
    line = f"classes with one text, so that zero-shot cannot tell them apart: {classes[0]!r} = {classes[1]!r}"
    assert (line in told.lines) == said


def test_braces_in_a_class_name_are_only_text(plan: Plan, tmp_path: Path) -> None:
    root = write_images(tmp_path / "odd", ["train/{0}/1.png", "train/{}/1.png", "test/{0}/1.png", "test/{}/1.png"])
    assert read_texts(plan(root=root).texts().file("texts.parquet")).class_names == ("{0}", "{}")


@pytest.mark.parametrize("workers", [1, 2])
def test_worker_count_changes_no_byte(plan: Plan, workers: int) -> None:
    assert tree(plan(store="other").run(workers)) == tree(plan().run())


def test_processes_that_load_change_no_byte(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    control = tree(plan().run())
    monkeypatch.setattr(xmap.stages.extract.loading, "apart", started)
    monkeypatch.setattr(xmap.stages.extract.shard_encoder, "loading_processes", lambda *_: 2)
    by_threads, load = list[object](), ViewMaker.load
    monkeypatch.setattr(ViewMaker, "load", lambda self, place, *rest: by_threads.append(place) or load(self, place, *rest))
    assert tree(plan(store="other").run(2)) == control
    assert not by_threads


def test_place_and_listing_order_change_no_byte(plan: Plan, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    control = plan().run()
    moved = tmp_path / "deeper" / "photos"
    shutil.copytree(photos, moved)
    monkeypatch.setattr(os, "scandir", _shuffled(os.scandir))
    again = plan(store="other", root=moved).run()
    assert again.fingerprint == control.fingerprint
    assert tree(again) == tree(control)


def _shuffled(real: Callable[..., object]) -> Callable[..., object]:
    class Shuffled:
        def __init__(self, path: object = ".") -> None:
            with real(path) as listing:  # type: ignore[attr-defined]
                entries = list(listing)
            random.Random(1).shuffle(entries)  # noqa: S311
            self.entries = iter(entries)

        def __iter__(self) -> object:
            return self

        def __next__(self) -> object:
            return next(self.entries)

        def __enter__(self) -> object:
            return self

        def __exit__(self, *error: object) -> None:
            return None

    return Shuffled


def test_a_second_run_reuses_without_torch_work(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    first = plan().run()
    monkeypatch.setattr(Encoder, "load", None)
    assert plan().run().path == first.path


def test_one_changed_image_is_encoded_alone(plan: Plan, photos: Path, bad_photos: Path) -> None:
    first = plan().run()
    before = stored_rows(plan().store)
    picture(123).save(photos / "train" / "cat" / "0.jpg")
    told = Told()
    second = plan().run(progress=told)
    assert second.path != first.path
    # What cannot be read has no content to be known by: a pipe, a link to nowhere and one to itself are looked at again.
    assert told.starts == [("encode images", 19, 15)]
    new = {name: len(rows) - len(before[name]) for name, rows in stored_rows(plan().store).items()}
    assert [new[name] for name in first.summary["features"]] == [1, 2]
    assert read_errors(first.file("errors.parquet")) == read_errors(second.file("errors.parquet"))
    assert tree(plan(store="control").run()) == tree(second)


@pytest.mark.parametrize(
    ("change", "rebuilt"),
    [
        ({"views": 3}, {TRAIN}),
        ({"view_seed": 9}, {TRAIN}),
        ({"batch_size": 3}, {TRAIN, VAL, TEST}),
        # How many rows are encoded together is a matter of the work alone.
        ({"shard_batches": 3}, set()),
    ],
)
def test_parts_change_with_what_their_rows_depend_on(plan: Plan, change: dict[str, int], rebuilt: set[str]) -> None:
    before, after = parts(plan().identity), parts(plan(config=SMALL.model_copy(update=change)).identity)
    assert {split for split in before if before[split] != after[split]} == rebuilt


def test_a_changed_test_image_changes_the_test_part_alone(plan: Plan, photos: Path) -> None:
    before = plan().identity
    picture(9).save(photos / "test" / "cat" / "t.jpg")
    after = plan().identity
    assert {split for split in parts(before) if parts(before)[split] != parts(after)[split]} == {TEST}
    assert before.fingerprint != after.fingerprint


@pytest.mark.promise
def test_a_prompt_changes_texts_and_no_images(plan: Plan) -> None:
    one, other = plan(), plan(templates=("a drawing of a {}.",))
    assert one.identity == other.identity
    assert text_identity(one.spec).fingerprint != text_identity(other.spec).fingerprint


def test_the_view_seed_is_nothing_without_views(plan: Plan) -> None:
    one, other = (plan(config=ExtractConfig(views=0, view_seed=seed)).identity for seed in (1, 2))
    assert one == other


def test_each_file_says_in_its_footer_what_it_belongs_to(plan: Plan) -> None:
    artifact = plan().run()
    names = artifact.summary["features"]
    for path in artifact.files(suffix=".parquet"):
        footer = read_footer(path)
        assert footer["xmap.fingerprint"] == artifact.fingerprint
        assert path.name == "errors.parquet" or [footer["xmap.plain"], footer["xmap.augmented"]] == names
    for packs in all_packs(Store(artifact.root)):
        assert packs.name in names
        assert {read_footer(path)["xmap.fingerprint"] for path in packs.paths()} == {packs.name}


@pytest.mark.promise
def test_how_many_are_encoded_together_changes_no_row(plan: Plan) -> None:
    one, other = (plan(SMALL.model_copy(update={"shard_batches": count}), store=str(count)) for count in (1, 5))
    assert tree(one.run()) == tree(other.run())
    assert stored_rows(one.store) == stored_rows(other.store)


@pytest.mark.promise
def test_another_batch_size_or_encoder_shares_no_row_and_another_view_seed_the_plain_ones(plan: Plan, photos: Path, tmp_path: Path) -> None:
    plan().run()
    for change, encoded in (({"batch_size": 3}, 12), ({"view_seed": 9}, 7), ({"views": 3}, 7), ({"shard_batches": 9}, 0)):
        told = Told()
        plan(SMALL.model_copy(update=change)).run(progress=told)
        assert told.encoded == encoded, change
    told = Told()
    plan_job(photos, write_model(tmp_path / "tiny", seed=5), tmp_path / "store").run(progress=told)
    assert told.encoded == 12


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_changes_during_the_work_stops_it(plan: Plan, photos: Path, workers: int) -> None:
    job = plan()
    picture(5).save(photos / "test" / "dog" / "t.jpg")
    with pytest.raises(InputError, match=r"t.jpg changed while features were extracted; run the same command again"):
        job.run(workers)
    assert job.store.artifacts() == []


@pytest.mark.parametrize("change", ["vanish", "appear", "emptied"])
def test_a_file_that_comes_or_goes_during_the_work_stops_it(plan: Plan, photos: Path, change: str) -> None:
    path = photos / "train" / "cat" / "3.jpg"
    data = path.read_bytes()
    if change == "appear":
        path.unlink()
        path.symlink_to("nowhere")
    job = plan()
    path.unlink()
    if change != "vanish":
        path.write_bytes(data if change == "appear" else b"")
    with pytest.raises(InputError, match="is not, as machine" if change == "vanish" else "changed while features"):
        job.run()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_without_a_gpu_is_refused(plan: Plan) -> None:
    with pytest.raises(InputError, match="torch sees no GPU; use --device cpu"):
        plan().run(device="cuda")


def test_real_photographs(plan: Plan, shared_data: Path, tmp_path: Path) -> None:
    root = tmp_path / "real"
    for split in (TRAIN, VAL, TEST):
        for folder in sorted((shared_data / "photos" / split).iterdir())[:2]:
            for path in sorted(folder.iterdir())[:3]:
                (root / split / folder.name).mkdir(parents=True, exist_ok=True)
                shutil.copy(path, root / split / folder.name)
    artifact = plan(root=root).run(workers=1)
    assert artifact.summary["counts"] == {"train": 6, "val": 6, "test": 6}
    assert artifact.summary["bad"] == 0
