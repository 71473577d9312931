"""`xmap import` of other people's vectors, from the command line to results, answers and SQL."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.worlds.imported import CLASSES, table, vectors, write_arrays, write_table, write_texts
from xmap.cli.main import app


def invoke(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, words)
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def place(tmp_path: Path, own_store: Path) -> Path:
    write_table(tmp_path / "vectors.parquet", table())
    write_texts(tmp_path)
    return tmp_path


def test_a_pool_is_refused_where_something_is_to_be_learned(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    write_arrays(place / "pool", features=vectors()[0][:12].astype(">f8"))
    code, said, told = invoke("import", "npy", "pool", "--json")
    assert (code, [row["stage"] for row in json.loads(said)]) == (0, ["images"])
    assert "next: xmap predict --features pool" in told
    code, _, told = invoke("run", "--features", "pool")
    assert code == 2
    assert "features 'pool' have no labels" in told
    assert "xmap predict --features pool" in told


def test_rows_without_a_label_are_labelled_with_the_others(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    labels = [None if row < 6 else CLASSES[row % 3] for row in range(60)]
    write_table(place / "some.parquet", table(label=labels))
    assert invoke("import", "table", "some.parquet", "--texts", "texts.parquet", "--quiet")[0] == 0
    assert invoke("run", "--features", "some", "--shots", "2", "--seeds", "1", "--methods", "zero-shot", "--quiet")[0] == 0
    assert invoke("predict", "--features", "some", "-o", "answers.csv")[0] == 0
    paths = [row["path"] for row in csv.DictReader((place / "answers.csv").read_text("utf-8-sig").splitlines())]
    assert (len(paths), paths[-6:]) == (60, [f"img/{row}.jpg" for row in range(6)])
    assert invoke("sql", "leaks")[0] == 0


def test_without_texts_they_are_kept_and_no_method_starts(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    code, _, told = invoke("import", "table", "vectors.parquet")
    assert code == 0
    assert "`xmap run` does once they are imported with --texts FILE" in " ".join(told.split())
    code, _, told = invoke("run", "--features", "vectors")
    assert (code, "imported without class texts, from which every method starts" in " ".join(told.split())) == (2, True)
    assert invoke("import", "table", "vectors.parquet", "--texts", "texts.parquet")[0] == 0
    assert invoke("status", "--features", "vectors")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tabel", "vectors.parquet"], "unknown layout 'tabel', did you mean 'table'"),
        (["table", "absent.parquet"], "no absent.parquet; name the file or folder"),
        (["table", "vectors.parquet", "--logit-scale", "0", "--texts", "texts.npy"], "give a number above 0"),
        (["table", "vectors.parquet", "--texts", "vectors.csv"], "is neither .npy nor a Parquet or Arrow file"),
        (["table", "vectors.parquet", "--texts", "absent.npy"], "cannot read absent.npy"),
        (["table", "vectors.parquet", "--classes", "absent.txt"], "cannot read the class names in absent.txt"),
        (["tip-adapter", ".", "--labels", "label", "--texts", "t.npy"], "holds all by itself; leave out --labels --texts"),
    ],
)
def test_wrong_arguments_exit_2(place: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str) -> None:
    monkeypatch.chdir(place)
    code, _, told = invoke("import", *arguments)
    assert code == 2
    assert said in " ".join(told.split())


def test_the_command_of_an_artifact_makes_it_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    np.save(place / "groups.npy", vectors()[1])
    given = ["import", "table", "vectors.parquet", "--labels", "groups.npy", "--ids", "id", "--texts", "texts.npy", "--json"]
    first = json.loads(invoke(*given)[1])
    manifest = json.loads((Path(first[0]["path"]) / "manifest.json").read_text())
    words = manifest["command"].split()
    assert words[:2] == ["xmap", "import"]
    assert json.loads(invoke(*words[1:], "--json")[1]) == first
