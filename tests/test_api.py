"""xmap from Python: settings by name, errors in Python's words, readable results, progress where somebody looks."""

from __future__ import annotations

import pydoc
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import xmap
from tests.worlds.inputs import write_layout
from xmap.pipeline.run import rows
from xmap.pipeline.run.execute import RunResult
from xmap.pipeline.settings.python import config_of, settings_of
from xmap.stages.images.decode import BadImage
from xmap.stages.imports.tip_adapter import import_tip_adapter
from xmap.stages.predict.prediction import Prediction
from xmap.stages.workplace.progress import Silent
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.errors import InputError, StoreMissing
from xmap.store.sql.questions import QUESTIONS

Case = Callable[[], AbstractContextManager[None]]
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("api")
    import_tip_adapter(Store(folder / "store"), write_layout(folder / "bugs"), "bugs", 100.0, Silent())
    return folder / "store"


@pytest.fixture(scope="module")
def result(store: Path) -> RunResult:
    return xmap.run(store=store, features="bugs", shots=2, seeds=1, methods=["zero-shot", "tip-adapter"])


def test_settings_by_name_and_by_section_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    by_name = {"data": tmp_path, "shots": 4, "seeds": 1, "methods": "zero-shot,tip-adapter", "templates": "a {}, drawn"}
    by_section = {
        "data": {"data": str(tmp_path), "templates": ["a {}, drawn"]},
        "cache": {"shots": 4},
        "run": {"seeds": [1], "methods": ("zero-shot", "tip-adapter")},
    }
    assert config_of(None, by_name) == config_of(None, by_section)
    given = {"methods": {"tip-adapter": {"alpha": [1, 2]}}, "shots": 2}
    assert settings_of(given) == {"methods.tip-adapter.alpha": [1, 2], "cache.shots": 2}
    assert config_of(config_of(None, by_name), {"shots": 8}).cache.shots == 8


@pytest.mark.failure("odd output")
def test_errors_speak_python(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    wrong: dict[str, dict[str, Any]] = {
        "xmap.run() has no setting 'dta'; the nearest known is 'data'": {"dta": "defects"},
        "setting cache.shots: [cache] shots = 'many'": {"shots": "many"},
        "setting cache.shot: unknown field 'shot' in [cache]; the nearest known is 'shots'": {"cache": {"shot": 4}},
        "setting run.seeds: [run] seeds = -1": {"seeds": -1},
        "xmap.run() has no setting 'cach'": {"cach": {"shots": 4}},
        "setting methods.tip-adapter.alpha: [methods.tip-adapter] alpha = 0": {"methods": {"tip-adapter": {"alpha": 0}}},
        "setting cache.shots.x: shots is a field, not a section": {"shots": 2, "cache": {"shots": {"x": 1}}},
        "unknown method 'nope'": {"methods": ["nope"]},
    }
    for said, given in wrong.items():
        with case(), pytest.raises(InputError) as caught:
            xmap.run(store=tmp_path / "store", **given)
        assert said in str(caught.value)
        assert "--" not in str(caught.value)


def test_the_first_argument_names_data_features_or_a_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pets").mkdir()
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "other.toml").write_text("[cache]\nshots = 8\n[run]\nfeatures = 'bugs'\n")
    for name in ("pets", "s3://bucket/pets", "pets-{00..12}.tar", "coop:dtd", "pets/*.parquet", "folder.toml", Path("pets")):
        config = config_of(name, {"shots": 4}, stored=lambda name: True)
        assert (config.data.data, config.run.features, config.cache.shots) == (str(name), "", 4)
    assert config_of("bugs", {}, stored=lambda name: name == "bugs").run.features == "bugs"
    assert config_of("other.toml", {}) == config_of(None, {}, "other.toml")
    both = config_of("pets", {}, "other.toml")
    assert (both.data.data, both.cache.shots, both.run.features) == ("pets", 8, "")
    assert config_of(both, {"shots": 2}).cache.shots == 2
    assert config_of("pets", {}, both).data.data == "pets"


@pytest.mark.failure("odd output")
def test_what_is_named_twice_or_nowhere_is_one_sentence(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pets").mkdir()
    (tmp_path / "xmap.toml").write_text("")
    wrong: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
        ("is given data twice", ("pets",), {"data": "cats"}),
        ("is given data twice", ("pets",), {"data": {"data": "cats"}}),
        ("is given config twice", ("xmap.toml",), {"config": "xmap.toml"}),
        ("there is no such path, and the store has no features of that name", ("dogs",), {}),
        ("there is no such path", ("a\x1bb",), {}),
        ("no config file dogs.toml", ("dogs.toml",), {}),
    ]
    for said, first, given in wrong:
        with case(), pytest.raises(InputError) as caught:
            xmap.run(*first, store=tmp_path / "store", **given)
        assert said in str(caught.value)
        assert str(caught.value).isprintable()


def test_stored_features_are_named_as_data_are(store: Path, result: RunResult) -> None:
    again = xmap.run("bugs", store=store, shots=2, seeds=1, methods=["zero-shot", "tip-adapter"])
    assert {outcome.state for outcome in again.outcomes} == {"reused"}
    assert again.results == result.results
    assert again.to_arrow().equals(result.results.to_arrow())


@pytest.mark.failure("odd output")
@pytest.mark.parametrize("name", ["nostore", "a/b", "store.txt", "bugs", "a" * 300])
def test_a_store_that_is_not_there_is_no_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "store.txt").write_text("x")
    for open_store in (xmap.connect, lambda store: xmap.load(store=store), lambda store: xmap.load("bugs", store=store)):
        with pytest.raises(StoreMissing, match="there is no store at"):
            open_store(name)


def test_results_are_small_tables(result: RunResult) -> None:
    lines = repr(result.results).splitlines()
    assert [line.split()[0] for line in lines] == ["method", "zero-shot", "tip-adapter"]
    assert max(map(len, lines)) < 120
    assert "per_class" in result.results[0]
    assert "bugs-2shot" in repr(result).splitlines()[0]
    assert len(repr(result)) < 800
    assert len(repr(result.evaluation)) < 300
    assert repr(result.differences).splitlines()[0].split() == ["method", "against", "difference", "ci95", "tie"]
    assert repr(rows.Rows((), ("a",))) == "[]"


def test_a_notebook_gets_html_and_a_name_cannot_write_it(result: RunResult) -> None:
    shown = result._repr_html_()
    assert shown.count("<tr>") == 5
    assert "tip-adapter" in shown
    assert "<b>" not in rows.Rows([{"a": "<b>x"}], ("a",))._repr_html_()


def test_no_name_reaches_the_terminal_as_a_command() -> None:
    for odd in ("\x1b[31mred", "a\rb", "a\u202eb", "two\nlines", "\x9b2J"):
        empty = np.empty(0, np.float32)
        artifact = Artifact(Path("place"), {"stage": "eval", "name": odd, "fingerprint": "0" * 64})
        bad = Prediction(odd, (odd,), empty, empty, error=BadImage("empty", odd))
        sure = Prediction(odd, (odd,), np.ones(1, np.float32), np.ones(1, np.float32))
        for shown in (repr(artifact), repr(bad), repr(sure), repr(rows.Rows([{"a": odd}], ("a",))).partition("\n")[2]):
            assert shown.isprintable()


def test_results_become_arrow_and_pandas(result: RunResult, monkeypatch: pytest.MonkeyPatch) -> None:
    table = result.results.to_arrow()
    assert table["method"].to_pylist() == ["zero-shot", "tip-adapter"]
    assert "accuracies" in table.column_names
    with monkeypatch.context() as patch:
        patch.setattr(rows, "find_spec", lambda name: None)
        with pytest.raises(InputError, match="pandas is not installed"):
            result.results.to_pandas()
    pytest.importorskip("pandas")
    assert list(result.results.to_pandas()["method"]) == ["zero-shot", "tip-adapter"]


def test_progress_is_shown_when_asked_for_and_to_nobody_else(store: Path, result: RunResult, capsys: pytest.CaptureFixture[str]) -> None:
    again: dict[str, Any] = {"features": "bugs", "shots": 2, "seeds": 1, "methods": ["zero-shot", "tip-adapter"]}
    xmap.run(store=store, **again)
    assert capsys.readouterr() == ("", "")
    xmap.run(store=store, verbose=True, **again)
    told = capsys.readouterr()
    assert told.out == ""
    assert "reused  train tip-adapter, seed 1" in told.err
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "ps1", ">>> ", raising=False)
        xmap.run(store=store, **again)
        assert "reused" in capsys.readouterr().err
        xmap.run(store=store, verbose=False, **again)
        assert capsys.readouterr().err == ""


def test_ready_questions_are_asked_by_name(store: Path, result: RunResult) -> None:
    with xmap.connect(store) as connection:
        for name, question in QUESTIONS.items():
            assert connection.query(name).equals(connection.query(question.sql))


def test_help_begins_with_the_three_calls() -> None:
    lines = pydoc.plain(pydoc.render_doc(xmap)).splitlines()
    places = [next(place for place, line in enumerate(lines) if line.strip().startswith(name)) for name in ("run", "load", "connect")]
    assert places == sorted(places)
    assert places[-1] < 12


def test_the_module_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "xmap", "--version"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("xmap ")
