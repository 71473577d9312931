"""A run by several encoders from images to an exported folder: built once, told apart in SQL, and answered about alike everywhere."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import xmap
from tests.pipeline.run.test_execute import built, settings
from tests.worlds.commands import call
from tests.worlds.image_models import MODEL, write_weights
from tests.worlds.inputs import write_photos
from xmap.pipeline.adapters.adapter import Adapter
from xmap.pipeline.adapters.choice import load_chosen
from xmap.pipeline.adapters.export import export
from xmap.pipeline.adapters.onnx_file import write_onnx
from xmap.pipeline.run.execute import RunResult, run
from xmap.pipeline.run.made_with import made_with
from xmap.pipeline.studies.report import report
from xmap.stages.workplace.progress import Silent
from xmap.store.artifacts.artifact import Store
from xmap.store.errors import XmapError
from xmap.store.formats.tables import read_table

METHODS = "zero-shot,xmadapter"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Path, list[str], RunResult]:
    folder = tmp_path_factory.mktemp("several")
    photos, store = write_photos(folder / "photos"), Store(folder / "store")
    also = [f"timm:{MODEL}={write_weights(folder / 'vit.safetensors')}"]
    return store, photos, also, run(store, settings(photos, run__also_model=also, run__methods=METHODS, run__seeds="1"))


def test_an_encoder_more_encodes_by_that_one_alone(finished: tuple[Store, Path, list[str], RunResult]) -> None:
    store, photos, also, result = finished
    again = run(store, settings(photos, run__also_model=also, run__methods=METHODS, run__seeds="1"))
    assert built(again) == set()
    alone = run(store, settings(photos, run__methods="zero-shot", run__seeds="1"))
    assert built(alone) == {"cache", "adapter", "eval"}
    assert {found.stage for found in result.artifacts.values()} == {"images", "texts", "joined", "cache", "adapter", "pairs", "eval"}


def test_predictions_tell_who_said_what(finished: tuple[Store, Path, list[str], RunResult]) -> None:
    evaluation = finished[3].evaluation
    assert evaluation is not None
    table = read_table(evaluation.file("predictions.parquet"))
    assert {len(said) for said in table["encoder_said"].to_pylist()} == {2}
    shares = np.asarray(table["encoder_share"].to_pylist())
    assert (shares >= 0).all()
    total = shares.sum(1)
    assert (np.isclose(total, 1.0) | (total == 0)).all(), "0 where no class is named before others"
    assert np.isclose(total, 1.0).any()


def test_answers_tell_it_too_in_every_form(finished: tuple[Store, Path, list[str], RunResult]) -> None:
    store, photos, _, result = finished
    assert result.evaluation is not None
    adapter = load_chosen(store, method="xmadapter")
    measured = read_table(result.evaluation.file("predictions.parquet")).to_pylist()
    rows = {row["sample_id"]: row for row in measured if row["method"] == "xmadapter"}
    answers = adapter.predict(photos / "test")
    for answer in answers:
        row = rows[Path(answer.path).relative_to(photos).as_posix()]
        assert answer.encoder_said == tuple(adapter.classes[label] for label in row["encoder_said"])
        assert answer.encoder_share == pytest.approx(row["encoder_share"], abs=1e-5)
    table = answers.to_arrow()
    assert table["encoder_said"].to_pylist() == [list(answer.encoder_said) for answer in answers]
    given = ("predict", answers[0].path, "--store", store.root, "--method", "xmadapter", "--quiet")
    assert json.loads(call(*given, "--json").stdout)["encoder_said"] == list(answers[0].encoder_said)
    assert call(*given, "--format", "csv").stdout.splitlines()[0].endswith(",error,encoder_said,encoder_share")
    assert "says alone" in call(*given, "--explain").stdout
    joined = next(found for found in result.artifacts.values() if found.stage == "joined")
    assert made_with(result.evaluation, result.artifacts) == (f"the encoders {joined.summary['model']}",)


def test_the_report_shows_the_images_that_all_encoders_saw(finished: tuple[Store, Path, list[str], RunResult], tmp_path: Path) -> None:
    store, photos, _, result = finished
    assert result.evaluation is not None
    written = report(store, [result.evaluation.fingerprint], tmp_path / "report.html")
    assert not [remark for remark in written.remarks if "imported" in remark]
    assert written.images == (str(photos),)
    assert "has them for several encoders" in (tmp_path / "report.html").read_text("utf-8")


def test_an_exported_folder_answers_as_the_store_and_the_evaluation_do(
    finished: tuple[Store, Path, list[str], RunResult], tmp_path: Path
) -> None:
    store, photos, _, result = finished
    adapter = load_chosen(store, method="xmadapter")
    folder = export(adapter, tmp_path / "exported", Silent())
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {"adapter", "cache", "texts", "encoder", "encoder-2"}
    assert "encoder 2, which sees the same images" in (folder / "README.md").read_text()
    other = xmap.load(str(folder))
    assert isinstance(other, Adapter)
    features = adapter.encode(photos / "test")
    assert np.array_equal(features, other.encode(photos / "test"))
    chances = adapter.predict_proba(features)
    assert np.array_equal(chances, other.predict_proba(features))
    assert result.evaluation is not None
    rows = read_table(result.evaluation.file("predictions.parquet")).to_pylist()
    measured = {row["sample_id"]: row["probability"] for row in rows if row["method"] == "xmadapter"}
    assert np.allclose(chances.max(1), [measured[name] for name in sorted(measured)], atol=1e-6)
    (folder / "encoder-2" / "model.safetensors").write_bytes(b"other")
    with pytest.raises(XmapError):
        xmap.load(str(folder)).encode(photos / "test")


def test_an_onnx_file_is_refused_before_any_encoder_is_looked_for(
    finished: tuple[Store, Path, list[str], RunResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = load_chosen(finished[0], method="xmadapter")
    monkeypatch.setattr(Adapter, "encoder", None)
    with pytest.raises(XmapError, match="takes the features of 2 encoders, an ONNX file those of one; export it without --onnx"):
        write_onnx(adapter, tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"run__methods": "taskres"}, "methods that take one encoder: 'taskres'"),
        ({"eval__top_k": "3"}, "--top-k retrieves keys of one encoder"),
        ({"run__pool": "photos"}, "--pool takes the images of one encoder"),
    ],
)
def test_what_takes_one_encoder_says_so(finished: tuple[Store, Path, list[str], RunResult], changes: dict[str, str], said: str) -> None:
    store, photos, also, _ = finished
    with pytest.raises(XmapError, match=said):
        run(store, settings(photos, **{"run__also_model": also, "run__methods": "xmadapter", "run__seeds": "1", **changes}))
