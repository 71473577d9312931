"""One list of formats for every command that prints results, and one JSON object that is as its page says."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from tests.worlds.faults import Case
from tests.worlds.inputs import write_layout, write_photos
from xmap.cli.console import print_json
from xmap.cli.formats import FORMATS, Destination, Sheet, rows_of
from xmap.cli.main import app
from xmap.pipeline.run.answer import DIFFERENCE, RESULT, VERSION, Answer, BenchAnswer, StatusAnswer

FEATURES = ("--features", "toy", "--methods", "zero-shot,tip-adapter", "--quiet")
COMMANDS = {
    "run": ("run", *FEATURES, "--shots", "2"),
    "eval": ("eval", *FEATURES, "--shots", "2"),
    "bench": ("bench", *FEATURES, "--shots", "1,2"),
    "status": ("status", *FEATURES, "--shots", "2"),
    "sql": ("sql", "methods"),
}
MODELS = {"run": Answer, "eval": Answer, "bench": BenchAnswer, "status": StatusAnswer}
ROWS = {"run": 2, "eval": 2, "bench": 4, "sql": 4}
WRONG = (("--format", "xml"), ("--format", "parquet"), ("-o", "out.xlsx"), ("-o", "no/folder/out.csv"), ("-o", "out"))
AWKWARD = Sheet({"name": ["a & b_c", "50 % | {x}"], "n": [1, 2.5]})


def call(*words: str, store: Path) -> Result:
    command = [*words, "--store", str(store)]
    return CliRunner().invoke(app, command, catch_exceptions=False)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a bench of two numbers of shots."""
    folder = tmp_path_factory.mktemp("formats")
    layout = write_layout(folder / "toy")
    assert call("import", "tip-adapter", str(layout), "--quiet", store=folder / "store").exit_code == 0
    assert call(*COMMANDS["bench"], store=folder / "store").exit_code == 0
    return folder / "store"


def read(form: str, text: str) -> list[Any]:
    """The rows of a text in one of the formats."""
    lines = text.strip().splitlines()
    if form == "csv":
        return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    if form == "jsonl":
        return [json.loads(line) for line in lines]
    if form == "markdown":
        return lines[2:]
    return [line for line in lines if line.endswith("\\\\")][1:]


@pytest.mark.parametrize("form", ["csv", "jsonl", "markdown", "latex"])
@pytest.mark.parametrize("name", ROWS)
def test_every_command_has_every_format(store: Path, name: str, form: str) -> None:
    result = call(*COMMANDS[name], "--format", form, store=store)
    assert result.exit_code == 0, result.output
    # In a document the grid has a row a method, and a column a number of shots.
    grid = name == "bench" and form in ("markdown", "latex")
    assert len(read(form, result.stdout)) == (2 if grid else ROWS[name])
    assert "zero-shot" in result.stdout


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("suffix", [".csv", ".json", ".jsonl", ".md", ".tex", ".txt", ".parquet"])
def test_the_suffix_names_the_format(store: Path, tmp_path: Path, name: str, suffix: str) -> None:
    target = tmp_path / f"out{suffix}"
    result = call(*COMMANDS[name], "-o", str(target), store=store)
    assert (result.exit_code, result.stdout) == (0, ""), result.output
    if suffix == ".parquet":
        assert pq.read_table(target).num_rows >= 2
    else:
        assert "zero-shot" in target.read_text("utf-8")


@pytest.mark.parametrize("short", [("md", "markdown"), ("tex", "latex")])
def test_documents_have_short_names(store: Path, short: tuple[str, str]) -> None:
    first, second = (call(*COMMANDS["bench"], "--format", form, store=store).stdout for form in short)
    assert first == second != ""


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    "words", [("--format", "xml"), ("-o", "out.xlsx"), ("-o", "no/folder/out.csv"), ("--format", "parquet"), ("-o", "out")]
)
def test_a_wrong_format_or_place_is_refused_before_any_work(store: Path, name: str, words: tuple[str, ...]) -> None:
    result = call(*COMMANDS[name], *words, store=store)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""


@pytest.mark.parametrize("name", MODELS)
def test_json_is_the_documented_object(store: Path, name: str) -> None:
    result = call(*COMMANDS[name], "--json", store=store)
    facts = json.loads(result.stdout)
    assert facts == json.loads(call(*COMMANDS[name], "--format", "json", store=store).stdout)
    MODELS[name].model_validate(facts)
    assert facts.keys() == MODELS[name].model_fields.keys(), "every field is there, in every case"
    assert (facts["version"], facts["dataset"], facts["classes"]) == (VERSION, "toy", ["ant", "bee", "cat"])
    for row in facts["results"]:
        # Nothing here was learned from images without labels.
        assert row.keys() - {"dataset"} == RESULT.keys() - {"pool"}
        assert len(row["per_class"]) == len(facts["classes"])
    for row in facts["differences"]:
        assert row.keys() - {"dataset", "shots"} == DIFFERENCE.keys()
    assert len(facts["results"]) == ROWS.get(name, 2)


def test_one_evaluation_is_named_and_several_are_named_by_their_cells(store: Path) -> None:
    one = json.loads(call(*COMMANDS["run"], "--json", store=store).stdout)["evaluation"]
    assert one["name"] == "toy-2shot"
    assert one["samples"] == 12
    several = json.loads(call(*COMMANDS["bench"], "--json", store=store).stdout)
    assert several["evaluation"] is None
    assert [cell["evaluation"]["name"] for cell in several["cells"]] == ["toy-1shot", "toy-2shot"]
    assert several["cells"][1]["evaluation"]["fingerprint"] == one["fingerprint"]


def test_status_of_an_empty_store_has_every_field(tmp_path: Path) -> None:
    facts = json.loads(call("status", "--json", store=tmp_path).stdout)
    assert facts == json.loads(StatusAnswer().model_dump_json())


def test_what_tex_and_markdown_would_take_for_commands_is_written_out(capsys: pytest.CaptureFixture[str]) -> None:
    Destination("latex", "", False).write(AWKWARD)
    assert r"a \& b\_c & 1.0 \\" in capsys.readouterr().out.replace("& 1 ", "& 1.0 ")
    Destination("latex", "", False).write(AWKWARD)
    assert r"50 \% \textbar{} \{x\} & 2.5" in capsys.readouterr().out
    Destination("markdown", "", False).write(AWKWARD)
    assert r"| 50 % \| {x} | 2.5 |" in capsys.readouterr().out


def test_every_format_is_in_the_help() -> None:
    for name in COMMANDS:
        shown = CliRunner().invoke(app, [name, "--help"]).stdout
        assert all(form in shown for form in FORMATS)


def test_columns_of_one_name_stay_apart(store: Path) -> None:
    assert call("sql", "select 1 as a, 2 as a, 3 as a", "--format", "csv", store=store).stdout.splitlines() == ["a,a_2,a_3", "1,2,3"]


def test_states_say_what_the_present_settings_use(store: Path) -> None:
    def states(*words: str) -> dict[str, str]:
        facts = json.loads(call("status", *words, "--json", store=store).stdout)
        return {f"{row['stage']}/{row['name']}": row["state"] for row in facts["artifacts"]}

    assert set(states().values()) == {"current"}
    chosen = states(*FEATURES, "--shots", "2")
    assert (chosen["eval/toy-2shot"], chosen["eval/toy-1shot"]) == ("current", "")
    assert call("run", "--features", "toy", "--methods", "zero-shot", "--shots", "2", "--quiet", store=store).exit_code == 0
    rows = json.loads(call("status", "--json", store=store).stdout)["artifacts"]
    assert sorted(row["state"] for row in rows if (row["stage"], row["name"]) == ("eval", "toy-2shot")) == ["current", "older"]


def test_a_bench_says_which_cell_it_is_at_and_what_is_left(store: Path) -> None:
    result = call("bench", *FEATURES[:-1], "--shots", "1,2", store=store)
    assert "toy, 1 shot: cell 1 of 2" in result.stderr
    assert "toy, 2 shots: cell 2 of 2, less than a minute left" in result.stderr
    # A number of shots that the features do not hold is no cell.
    assert "cell 1 of 1" in call("bench", *FEATURES[:-1], "--shots", "2,16", store=store).stderr


def test_a_bench_of_ones_own_images(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos")
    words = ("bench", "--data", str(photos), "--model", "xmap-tiny", "--views", "0", "--workers", "0", "--quiet", "--json")
    result = call(*words, "--shots", "1,2", "--seeds", "1", "--methods", "zero-shot", store=tmp_path / "store")
    facts = json.loads(result.stdout)
    assert result.exit_code == 0
    assert [cell["shots"] for cell in facts["cells"]] == [1, 2]
    assert (facts["failures"], facts["published"], facts["model"]) == ([], {}, "xmap-tiny")
    assert {row["dataset"] for row in facts["results"]} == {facts["dataset"]} == {"photos"}


WITHOUT_VALUE = (
    "'infinity'::date", "'-infinity'::timestamp", "'290309-12-22 (BC) 00:00:00'::timestamp", "'99999-01-01'::date",
    "'0044-03-15 (BC)'::date",
    "['infinity'::date]", "{'a': '99999-01-01'::timestamp}",
)  # fmt: skip


@pytest.mark.failure("odd output")
@pytest.mark.parametrize("value", WITHOUT_VALUE)
def test_values_that_cannot_be_shown_are_one_sentence_and_can_be_had_as_text(store: Path, value: str, case: Case) -> None:
    for form in ("table", "csv", "json", "jsonl"):
        with case():
            result = call("sql", f"select {value} as x", "--format", form, store=store)
            assert result.exit_code == 2, result.output
            assert "cannot be shown" in result.stderr
            assert "::VARCHAR" in result.stderr
    assert call("sql", f"select ({value})::VARCHAR as x", store=store).exit_code == 0


@pytest.mark.failure("odd output")
@pytest.mark.parametrize(
    "value", ["interval 1 day", "union_value(k := 1)", "[interval 1 day]", "{'a': interval 1 month}", "[union_value(k := 1)]"]
)
def test_columns_that_parquet_lacks_are_one_sentence(store: Path, tmp_path: Path, value: str) -> None:
    (tmp_path / "x.parquet").write_bytes(b"old")
    result = call("sql", f"select {value} as x", "-o", str(tmp_path / "x.parquet"), store=store)
    assert result.exit_code == 2, result.output
    assert "Parquet has no such column" in result.stderr
    assert (tmp_path / "x.parquet").read_bytes() == b"old"


def test_sums_are_numbers_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"whole": Decimal(3), "part": Decimal("1.5"), "none": Decimal("NaN")})
    assert json.loads(capsys.readouterr().out) == {"whole": 3, "part": 1.5, "none": "NaN"}


def test_columns_are_there_without_any_row() -> None:
    assert rows_of([], ("name", "bytes")) == {"name": [], "bytes": []}
    assert rows_of([{"why": 1, "bytes": 2}], ("name", "bytes")) == {"name": [None], "bytes": [2], "why": [1]}
