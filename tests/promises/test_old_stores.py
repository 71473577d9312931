"""A store made by the first version stays readable for good, or is refused with its version and the command that builds it anew.

tests/data/v1 is never made again. Where a test here fails, the change that made it fail has broken the stores of users.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xmap
import xmap.store.artifacts.manifest
from tests.promises.conftest import Commands
from tests.worlds.commands import call
from tests.worlds.runs import tree
from xmap.pipeline.run.source import stated
from xmap.stages.config import DataConfig, EncoderConfig
from xmap.stages.machine.kind import DECISIVE
from xmap.stages.methods.registry import METHODS as METHOD_ENTRIES
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.artifacts.manifest import versions
from xmap.store.errors import InputError
from xmap.store.formats.features import read_errors, read_images, read_texts
from xmap.store.formats.index import VectorIndex
from xmap.store.formats.log import read_values
from xmap.store.formats.tables import read_table
from xmap.store.formats.tensors import read_tensors

FROZEN = Path(__file__).resolve().parents[1] / "data" / "v1"
ANSWERS: dict[str, list[dict[str, Any]]] = json.loads((FROZEN / "answers.json").read_text())
METHODS = ("zero-shot", "tip-adapter-f", "xmadapter")


@pytest.fixture
def old(tmp_path: Path) -> Store:
    """A copy: nothing may be written beside the frozen one."""
    shutil.copytree(FROZEN / "store", tmp_path / "store")
    return Store(tmp_path / "store")


def one(old: Store, stage: str, name: str = "") -> Artifact:
    (found,) = (artifact for artifact in old.artifacts(stage) if name in artifact.name)
    return found


@pytest.mark.promise
@pytest.mark.failure("old store")
def test_a_store_of_the_first_version_is_whole_and_every_file_of_it_is_read(old: Store) -> None:
    survey = old.survey()
    assert survey.damaged == {}
    assert len(survey.artifacts) == 7
    assert [damage for artifact in survey.artifacts for damage in artifact.verify()] == []
    images, texts, cache = (one(old, stage) for stage in ("images", "texts", "cache"))
    rows = read_images(images.files("train-"))
    assert (len(rows), rows.features.shape[1]) == (12, 32)
    assert read_errors(images.file("errors.parquet")) == []
    assert read_texts(texts.file("texts.parquet")).class_names == ("ant", "bee", "cat")
    values = read_values(cache.file("values.parquet"))
    keys = VectorIndex.load(cache.file("image.faiss")).keys()
    means = [rows.features[[name == sample for name in rows.sample_ids]].mean(0) for sample in values.sample_ids]
    np.testing.assert_allclose(keys, np.stack([mean / np.linalg.norm(mean) for mean in means]), rtol=1e-5, atol=1e-6)
    assert len(VectorIndex.load(cache.file("text.faiss"))) == 3
    for method in METHODS:
        adapter = one(old, "adapter", method)
        assert read_tensors(adapter.file("adapter.safetensors"))[1]["method"] == method
        assert len(read_table(adapter.file("affinity/train.parquet")))
    result = one(old, "eval")
    assert len(read_table(result.file("predictions.parquet"))) == 9


@pytest.mark.promise
@pytest.mark.failure("old store")
@pytest.mark.parametrize("question", ANSWERS)
def test_old_answers_are_given_again(old: Store, question: str) -> None:
    with xmap.connect(old.root) as connection:
        assert connection.query(question).to_pylist() == ANSWERS[question]


@pytest.mark.failure("old store")
@pytest.mark.parametrize("method", METHODS)
def test_old_adapters_say_what_they_said_or_are_refused(old: Store, method: str) -> None:
    rows = read_images(one(old, "images").files("test-"))
    artifact = one(old, "adapter", method)
    if artifact.fields["version"] != METHOD_ENTRIES[method].version:
        with pytest.raises(InputError, match=r"was trained by version .* run `xmap train"):
            xmap.load(artifact.name, store=old.root)
        return
    adapter = xmap.load(artifact.name, store=old.root)
    labels = adapter.predict_proba(rows.features).argmax(1)
    listed = next(answer for question, answer in ANSWERS.items() if "predicted" in question)
    said = {row["sample_id"]: row["predicted"] for row in listed if row["method"] == method}
    assert dict(zip(rows.sample_ids, labels.tolist(), strict=True)) == said


@pytest.mark.failure("old store")
def test_an_adapter_of_another_version_of_its_method_is_refused(old: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = one(old, "adapter", "tip-adapter-f")
    monkeypatch.setitem(METHOD_ENTRIES, "tip-adapter-f", replace(METHOD_ENTRIES["tip-adapter-f"], version=99))
    with pytest.raises(
        InputError, match=r"was trained by version \d of tip-adapter-f, this xmap has version 99; delete .* run `xmap train"
    ):
        xmap.load(artifact.name, store=old.root)


@pytest.mark.failure("old store")
def test_a_run_on_old_features_goes_on_from_them(commands: Commands, old: Store, tmp_path: Path) -> None:
    flags = ["--features", "photos", "--methods", "zero-shot,tip-adapter", "--seeds", "1", "--shots", "1"]
    ended = commands("run", *flags, cwd=tmp_path, store=old.root)
    assert ended.code == 0, ended.stderr
    assert "reused  image features of photos-model" in ended.stderr
    with xmap.connect(old.root) as connection:
        both = connection.query("select count(*) as n, count(raw_probability) as raw from predictions").to_pylist()
        # Those of the first version were never calibrated.
        same = connection.query("select bool_and(probability = raw_probability) as same from predictions where method = 'xmadapter'")
    assert both[0]["n"] == both[0]["raw"] == 9 + 6
    assert same.to_pylist() == [{"same": True}]


@pytest.mark.promise
@pytest.mark.failure("old store")
def test_a_run_on_the_images_of_old_features_takes_their_rows_over_or_encodes_them_and_says_which(
    commands: Commands, world: Path, old: Store
) -> None:
    before, frozen = tree(old.root), one(old, "images").manifest["versions"]
    flags = ["--data", "photos", "--model", "local-dir:model", "--views", "1", "--batch-size", "4", "--workers", "0"]
    ended = commands("extract", *flags, cwd=world, store=old.root)
    assert ended.code == 0, ended.stderr
    same = {name: frozen.get(name) for name in DECISIVE} == {name: versions().get(name) for name in DECISIVE}
    assert ("12 images have their features from a store of version 1, which are taken over" in ended.stderr) == same
    # Augmented views came from names: those of the six training images are made anew.
    assert ("encode images: 6 of 12 are there from an earlier run" in ended.stderr) == same
    after = tree(old.root)
    assert {name: after[name] for name in before} == before


@pytest.mark.failure("old store")
def test_what_states_no_source_is_understood_by_its_command(old: Store) -> None:
    images, texts = one(old, "images"), one(old, "texts")
    assert "source" not in images.manifest
    assert stated(texts, EncoderConfig) == EncoderConfig(model="local-dir:model")
    given = "--data x --val-share 0.25 --train-per-class 4 --model ViT-B-32 --pretrained laion400m_e32 --force-quick-gelu --precision bf16"
    other = replace(images, manifest={**images.manifest, "command": f"xmap extract {given} --views 1"})
    assert stated(other, DataConfig) == DataConfig(val_share=0.25, train_per_class=4)
    encoder = EncoderConfig(model="ViT-B-32", pretrained="laion400m_e32", force_quick_gelu=True, precision="bf16")
    assert stated(other, EncoderConfig) == encoder


@pytest.mark.promise
@pytest.mark.failure("old store")
def test_another_version_is_refused_with_both_versions_and_the_command(old: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xmap.store.artifacts.manifest, "SCHEMA_VERSION", 2)
    survey = old.survey()
    assert survey.artifacts == []
    for folder, error in survey.damaged.items():
        command = json.loads((folder / "manifest.json").read_bytes())["command"]
        assert str(error) == (f"{folder} has schema version 1, this xmap reads 2; delete {folder} and run `{command}` to build it again.")


@pytest.mark.promise
@pytest.mark.failure("old store")
def test_an_evaluation_of_the_first_version_has_a_report(old: Store, tmp_path: Path) -> None:
    done = call("report", "--store", old.root, "-o", tmp_path / "report.html")
    assert done.exit_code == 0, done.output
    assert f'"samples":{one(old, "eval").summary["samples"]}' in (tmp_path / "report.html").read_text()
