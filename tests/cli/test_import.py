"""`xmap import tip-adapter`: what it takes over, and what it refuses without leaving anything behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tests.worlds.inputs import CLASSES, write_layout
from xmap.cli.main import app
from xmap.pipeline.adapters.choice import load_chosen
from xmap.pipeline.run.execute import run
from xmap.pipeline.settings.config import XmapConfig
from xmap.stages.imports.tip_adapter import import_tip_adapter
from xmap.stages.workplace.progress import Silent
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.errors import InputError
from xmap.store.formats.features import read_images, read_texts


def take(store: Store, folder: Path, name: str = "bugs") -> tuple[Artifact, Artifact]:
    images, texts = import_tip_adapter(store, folder, name, 100.0, Silent())
    return images, texts


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    return write_layout(tmp_path / "layout")


def test_rows_are_those_of_the_files_bit_for_bit(store: Store, layout: Path) -> None:
    images, texts = take(store, layout)
    support = read_images(images.files("support-2-"))
    assert support.sample_ids[:2] == ("support/00000", "support/00001")
    assert support.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert support.features.dtype == np.float16
    assert (support.features == torch.load(layout / "keys_2shots.pt", weights_only=True).T.numpy()).all()
    for split in ("val", "test"):
        rows = read_images(images.files(f"{split}-"))
        assert rows.sample_ids[3] == f"{split}/00003"
        assert (rows.features == torch.load(layout / f"{split}_f.pt", weights_only=True).numpy()).all()
        assert (rows.labels == torch.load(layout / f"{split}_l.pt", weights_only=True).numpy()).all()
    named = read_texts(texts.file("texts.parquet"))
    assert named.class_names == CLASSES
    assert set(named.templates) == {"imported"}
    assert (named.features == torch.load(layout / "text_weights.pt", weights_only=True).T.numpy()).all()


def test_the_summary_says_what_there_is(store: Store, layout: Path) -> None:
    images, texts = take(store, layout)
    assert images.summary["counts"] == {"support-1": 3, "support-2": 6, "val": 12, "test": 12}
    assert set(images.summary["parts"]) == {"support-1", "support-2", "val", "test"}
    for artifact in (images, texts):
        assert artifact.summary["classes"] == list(CLASSES)
        assert (artifact.summary["dataset"], artifact.summary["logit_scale"], artifact.summary["width"]) == ("bugs", 100.0, 8)


def test_importing_again_is_the_same_artifact(store: Store, layout: Path) -> None:
    first, second = take(store, layout), take(store, layout)
    assert [found.fingerprint for found in first] == [found.fingerprint for found in second]
    assert len(store.artifacts()) == 2


def test_another_file_under_a_taken_name_is_refused(store: Store, layout: Path, tmp_path: Path) -> None:
    take(store, layout)
    other = write_layout(tmp_path / "other", width=9)
    with pytest.raises(InputError, match="choose another name with --name"):
        take(store, other)
    assert len(take(store, other, "others")) == 2


class Bomb:
    """Runs code when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["keys_2shots.pt", "values_2shots.pt", "val_f.pt", "test_l.pt", "text_weights.pt"])
def test_no_file_is_read_by_pickle(store: Store, layout: Path, tmp_path: Path, name: str) -> None:
    trap = tmp_path / "sprung"
    torch.save(Bomb(trap), layout / name)
    with pytest.raises(InputError, match=f"{name} is not a plain tensor file .*runs no code"):
        take(store, layout)
    assert not trap.exists()
    assert store.artifacts("texts") == []


def zeroed(path: Path, dimension: int, place: int) -> None:
    """Set one row or column to zero."""
    torch.save(torch.load(path, weights_only=True).index_fill(dimension, torch.tensor(place), 0), path)


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda at: (at / "val_l.pt").unlink(), "lacks val_l.pt"),
    "no keys": (lambda at: [path.unlink() for path in at.glob("keys_*")], "has no keys_Kshots.pt"),
    "values missing": (lambda at: (at / "values_1shots.pt").unlink(), "lacks values_1shots.pt"),
    "empty file": (lambda at: (at / "val_f.pt").write_bytes(b""), "not a plain tensor file"),
    "cut file": (lambda at: (at / "val_f.pt").write_bytes((at / "val_f.pt").read_bytes()[:200]), "not a plain tensor file"),
    "a list": (lambda at: torch.save([torch.zeros(2)], at / "val_f.pt"), "holds a list"),
    "sparse": (lambda at: torch.save(torch.eye(3).to_sparse(), at / "val_f.pt"), "not one plain tensor"),
    "not a matrix": (lambda at: torch.save(torch.zeros(3), at / "val_f.pt"), "is 3 of torch.float32; it should be a matrix"),
    "no rows": (lambda at: torch.save(torch.zeros(0, 8), at / "val_f.pt"), "it should be a matrix"),
    "whole numbers": (lambda at: torch.save(torch.zeros(3, 8).long(), at / "val_f.pt"), "it should be a matrix"),
    "width": (lambda at: torch.save(torch.zeros(12, 9), at / "val_f.pt"), "features of width 9"),
    "not turned": (lambda at: torch.save(torch.zeros(6, 8), at / "keys_2shots.pt"), "need 8 x 3"),
    "classes": (lambda at: (at / "classnames.json").write_text('["a"]'), "names 1 classes"),
    "names": (lambda at: (at / "classnames.json").write_text("{}"), "list of class names"),
    "names, no JSON": (lambda at: (at / "classnames.json").write_text("{"), "is not JSON"),
    "not finite": (lambda at: torch.save(torch.full((12, 8), torch.inf), at / "test_f.pt"), "not finite, the first in row 0"),
    "nan in a row": (lambda at: torch.save(torch.ones(12, 8).index_fill(0, torch.tensor(7), torch.nan), at / "val_f.pt"), "in row 7"),
    "too large": (lambda at: torch.save(torch.full((12, 8), 1e300, dtype=torch.float64), at / "test_f.pt"), "too large for float32"),
    "too long": (lambda at: torch.save(torch.full((12, 8), 1e30), at / "test_f.pt"), "none that float32 can hold, the first is number 0"),
    "too small": (
        lambda at: torch.save(torch.full((12, 8), 1e-300, dtype=torch.float64), at / "val_f.pt"),
        "12 of 12 features have length 0",
    ),
    "short": (lambda at: torch.save(torch.full((12, 8), 1e-30), at / "val_f.pt"), "12 of 12 features have length 0"),
    "a row of zeros": (lambda at: zeroed(at / "test_f.pt", 0, 5), "1 of 12 features have length 0"),
    "a key of zeros": (lambda at: zeroed(at / "keys_2shots.pt", 1, 4), "keys_2shots.pt: 1 of 6 features have length 0"),
    "a text of zeros": (lambda at: zeroed(at / "text_weights.pt", 1, 1), "the text of 'bee' is all zero"),
    "texts of tiny numbers": (lambda at: torch.save(torch.full((8, 3), 1e-40), at / "text_weights.pt"), "the text of 'ant', 'bee', 'cat'"),
    "complex": (lambda at: torch.save(torch.ones(12, 8, dtype=torch.complex64), at / "val_f.pt"), "it should be a matrix"),
    "eight bits": (lambda at: torch.save(torch.ones(12, 8).to(torch.float8_e4m3fn), at / "val_f.pt"), "it should be a matrix"),
    "stretched": (lambda at: torch.save(torch.ones(1, 1).expand(10**6, 10**6), at / "val_f.pt"), "holds fewer numbers"),
    "a blank name": (lambda at: (at / "classnames.json").write_text('["ant", " ", "cat"]'), "list of class names"),
    "a name with a line end": (lambda at: (at / "classnames.json").write_text('["ant", "b\\nee", "cat"]'), "name 1 cannot be used"),
    "a name that is no text": (lambda at: (at / "classnames.json").write_text('["ant", "\\ud800", "cat"]'), "name 1 cannot be used"),
    "label high": (lambda at: torch.save(torch.full((12,), 3), at / "test_l.pt"), "labels from 3 to 3"),
    "label low": (lambda at: torch.save(torch.full((12,), -1), at / "test_l.pt"), "labels from -1 to -1"),
    "labels from 1": (lambda at: torch.save(torch.arange(12) % 3 + 1, at / "val_l.pt"), "need 0 to 2 (4 outside, the first in row 2)"),
    "labels true": (lambda at: torch.save(torch.zeros(12).bool(), at / "test_l.pt"), "whole numbers"),
    "labels unsigned": (lambda at: torch.save(torch.zeros(12, dtype=torch.uint64), at / "test_l.pt"), "whole numbers"),
    "labels complex": (lambda at: torch.save(torch.zeros(12, dtype=torch.complex64), at / "test_l.pt"), "whole numbers"),
    "labels in a column": (lambda at: torch.save(torch.zeros(12, 1).long(), at / "test_l.pt"), "is 12 x 1 of torch.int64"),
    "labels short": (lambda at: torch.save(torch.zeros(3).long(), at / "test_l.pt"), "it should be 12 whole numbers"),
    "labels float": (lambda at: torch.save(torch.zeros(12), at / "test_l.pt"), "whole numbers"),
    "two ones": (lambda at: torch.save(torch.ones(6, 3), at / "values_2shots.pt"), "one-hot"),
    "no one": (lambda at: zeroed(at / "values_2shots.pt", 0, 4), "1 are not, the first is row 4"),
    "halves": (lambda at: torch.save(torch.full((6, 3), 1 / 3), at / "values_2shots.pt"), "one-hot"),
}


@pytest.mark.failure("odd label")
@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_layout_is_one_sentence(store: Store, layout: Path, fault: str) -> None:
    damage, said = BROKEN[fault]
    damage(layout)
    with pytest.raises(InputError) as caught:
        take(store, layout)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert store.artifacts("images") == []


def test_a_class_without_a_key_is_said(layout: Path, own_store: Path) -> None:
    torch.save(torch.eye(3)[[0, 0, 0, 1, 1, 1]].half(), layout / "values_2shots.pt")
    result = CliRunner().invoke(app, ["import", "tip-adapter", str(layout)])
    assert result.exit_code == 0
    assert "support-2 has no image of 'cat'" in result.stderr
    assert "support-1 has no image" not in result.stderr


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float64, torch.float32])
def test_other_kinds_of_numbers_are_cast(store: Store, layout: Path, kind: torch.dtype) -> None:
    torch.save(torch.load(layout / "val_f.pt", weights_only=True).to(kind), layout / "val_f.pt")
    torch.save(torch.load(layout / "val_l.pt", weights_only=True).to(torch.uint8), layout / "val_l.pt")
    images, _ = take(store, layout)
    rows = read_images(images.files("val-"))
    assert rows.features.dtype == np.float32
    assert rows.labels.tolist() == [0, 1, 2] * 4


def test_classes_of_one_name_and_one_text_are_told_apart_and_said(own_store: Path, layout: Path) -> None:
    plain = take(Store(own_store), layout, "plain")
    (layout / "classnames.json").write_text('["ant", "bee", "ant"]')
    weights = torch.load(layout / "text_weights.pt", weights_only=True)
    weights[:, 2] = weights[:, 0]
    torch.save(weights, layout / "text_weights.pt")
    result = CliRunner().invoke(app, ["import", "tip-adapter", str(layout), "--name", "twins"])
    assert "'ant (2)'" in result.stderr
    assert "zero-shot cannot tell them apart: 'ant' = 'ant (2)'" in " ".join(result.stderr.split())
    again = CliRunner().invoke(app, ["run", "--features", "twins", "--shots", "2", "--seeds", "1", "--methods", "tip-adapter", "--json"])
    said = "classes with one text, so that zero-shot cannot tell them apart: 'ant' = 'ant (2)'"
    assert " ".join(again.stderr.split()).count(said) == 1
    assert said in json.loads(again.stdout)["warnings"]
    classes = {artifact.name: artifact.summary["classes"] for artifact in Store(own_store).artifacts("texts")}
    assert classes == {"plain": list(CLASSES), "twins": ["ant", "bee", "ant (2)"]}
    assert "renamed" not in plain[0].fields
    assert load_chosen(Store(own_store)).classes == ("ant", "bee", "ant (2)")


def test_the_command_names_the_features_after_the_folder(layout: Path, own_store: Path) -> None:
    result = CliRunner().invoke(app, ["import", "tip-adapter", str(layout), "--json"])
    assert result.exit_code == 0
    assert [(row["stage"], row["name"]) for row in json.loads(result.stdout)] == [("images", "layout"), ("texts", "layout")]
    assert Path(json.loads(result.stdout)[0]["path"]).is_relative_to(own_store)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["import", "other", "."], "unknown layout 'other'; known: tip-adapter"),
        (["import", "tip-adapter", "absent"], "no folder absent"),
        (["import", "tip-adapter", ".", "--logit-scale", "0"], "give a number above 0"),
        (["import", "tip-adapter", ".", "--logit-scale", "nan"], "give a number above 0"),
    ],
)
def test_wrong_arguments_exit_2(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert said in result.stderr


def test_real_imagenet_features_give_the_measured_accuracies(shared_data: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    take(store, shared_data / "imagenet-b32-4shot", "imagenet")
    settings = {"run.features": "imagenet", "cache.shots": 4, "run.methods": "zero-shot,tip-adapter", "run.seeds": "1"}
    found = {row["method"]: row for row in run(store, XmapConfig().override(settings)).results}
    assert found["zero-shot"]["accuracy_mean"] == pytest.approx(60.94, abs=0.1)
    assert found["tip-adapter"]["accuracy_mean"] == pytest.approx(63.5, abs=0.7)


@pytest.mark.parametrize("shots", [1, 16])
def test_real_caltech_features_run_at_each_shot_count(shared_data: Path, tmp_path: Path, shots: int) -> None:
    store = Store(tmp_path / "store")
    take(store, shared_data / "caltech69-b32", "caltech")
    settings = {"run.features": "caltech", "cache.shots": shots, "run.methods": "zero-shot,tip-adapter", "run.seeds": "1"}
    found = {row["method"]: row for row in run(store, XmapConfig().override(settings)).results}
    assert found["zero-shot"]["accuracy_mean"] == pytest.approx(92.38, abs=0.1)
    assert (found["tip-adapter"]["shots"], len(found["tip-adapter"]["per_class"])) == (shots, 69)
