"""The commands, driven as a user drives them: what they print where, and with which exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from tests.worlds.commands import call
from tests.worlds.inputs import write_photos
from xmap.cli.main import COMMANDS
from xmap.pipeline.settings.config import SECTIONS

TINY = [
    "--model",
    "xmap-tiny",
    "--views",
    "1",
    "--batch-size",
    "4",
    "--workers",
    "0",
    "--methods",
    "zero-shot,tip-adapter",
    "--seeds",
    "1,2",
]
FIELDS = {
    "method", "shots", "seeds", "accuracy_mean", "accuracy_ci95", "ci_kind", "selected_on", "trials", "trainable_parameters",
    "train_seconds", "peak_bytes", "ms_per_query", "stored_bytes", "text",
}  # fmt: skip


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_photos(tmp_path / "photos")


@pytest.fixture
def done(photos: Path) -> list[str]:
    """The arguments of a run that has been done."""
    arguments = ["--data", str(photos), "--shots", "2", *TINY]
    assert call("run", *arguments).exit_code == 0
    return arguments


def test_help_lists_every_command() -> None:
    result = call("--help")
    assert result.exit_code == 0
    assert all(name in result.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    result = call(name, "--help")
    assert result.exit_code == 0
    assert "Usage" in result.stdout


def test_every_config_field_is_a_flag() -> None:
    shown = call("run", "--help").stdout
    names = [name for model in SECTIONS.values() for name in model.model_fields]
    assert len(names) == len(set(names))
    assert [name for name in names if f"--{name.replace('_', '-')}" not in shown] == []


def test_an_unknown_command_and_flag_exit_2() -> None:
    for arguments in (["rum"], ["run", "--shot", "3"]):
        result = call(*arguments)
        assert result.exit_code == 2
        assert "No such" in result.stderr


def test_stages_one_by_one_and_then_a_run_that_reuses_them(photos: Path) -> None:
    arguments = ["--data", str(photos), "--shots", "2", *TINY]
    early = call("eval", *arguments)
    assert early.exit_code == 2
    assert "run `xmap extract" in early.stderr
    for command in ("extract", "build-cache", "train"):
        result = call(command, *arguments, "--json")
        assert result.exit_code == 0, result.stderr
        assert all(Path(row["path"]).is_dir() for row in json.loads(result.stdout))
    result = call("eval", *arguments, "--json")
    answer = json.loads(result.stdout)
    rows = answer["results"]
    assert [row["method"] for row in rows] == ["zero-shot", "tip-adapter"]
    assert all(row.keys() >= FIELDS for row in rows)
    assert call("eval", *arguments, "--json").stdout == result.stdout
    again = call("run", *arguments, "--json")
    assert "built" not in again.stderr
    assert again.stderr.count("reused") == 10
    assert json.loads(again.stdout) | {"changes": None} == answer


def test_tables_go_to_stdout_and_progress_to_stderr(done: list[str]) -> None:
    result = call("run", *done)
    assert "zero-shot" in result.stdout
    assert "paired 95 % interval" in result.stdout
    assert "reused" not in result.stdout
    assert "reused" in result.stderr
    # By chance two of the noisy pictures are near each other.
    assert call("run", *done, "--near", "1", "--quiet").stderr == ""


def test_the_model_for_trying_says_what_it_knows(done: list[str]) -> None:
    assert call("run", *done).stderr.count("xmap-tiny knows printed characters only") == 1


def test_changed_shots_are_said(done: list[str]) -> None:
    result = call("run", *done, "--shots", "1")
    assert "built   build-cache, seed 2" in result.stderr
    assert "(shots: 2 -> 1)" in result.stderr


def test_status_shows_artifacts_and_what_a_run_would_do(done: list[str]) -> None:
    result = call("status", *done, "--shots", "1")
    assert "would reuse  image features of photos-xmap-tiny" in result.stdout
    assert "would build  build-cache, seed 1 (shots: 2 -> 1)" in result.stdout
    facts = json.loads(call("status", *done, "--json").stdout)
    assert {step["state"] for step in facts["plan"]} == {"reused"}
    assert len(facts["artifacts"]) == 10
    bare = json.loads(call("status", "--json").stdout)
    assert (bare["plan"], bare["remark"]) == ([], "")
    assert "planned" not in call("status").stdout
    assert "planned: --data absent does not exist" in call("status", "absent").stdout


def test_init_writes_a_file_that_drives_a_run(photos: Path) -> None:
    assert call("init", "--data", str(photos), "--shots", "2", *TINY).exit_code == 0
    assert "shots = 2" in Path("xmap.toml").read_text()
    assert call("init").exit_code == 2
    assert call("init", "--force", "--data", str(photos), "--shots", "1", *TINY, "--json").exit_code == 0
    result = call("run", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["results"][0]["shots"] == 1


def test_verify_finds_a_flipped_bit_and_a_cut_manifest(done: list[str], own_store: Path) -> None:
    sound = call("verify")
    assert sound.exit_code == 0
    assert "10 artifacts read, no damage found" in sound.stdout
    path = next(own_store.glob("images/*/test-*.parquet"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    manifest = next(own_store.glob("eval/*/manifest.json"))
    manifest.write_bytes(manifest.read_bytes()[:100])
    result = call("verify", "--json")
    assert result.exit_code == 1
    damaged = json.loads(result.stdout)["damaged"]
    assert len(damaged) == 2
    assert any(path.name in line for line in damaged)


def test_sql_answers_in_each_format(done: list[str], tmp_path: Path) -> None:
    query = "select split, count(*) as n from samples group by 1 order by 1"
    assert "train" in call("sql", query).stdout
    assert json.loads(call("sql", query, "--json").stdout) == [
        {"split": split, "n": n} for split, n in (("test", 9), ("train", 12), ("val", 6))
    ]
    assert call("sql", query, "--format", "csv").stdout.splitlines()[:2] == ["split,n", "test,9"]
    (tmp_path / "query.sql").write_text(query)
    assert call("sql", "-f", "query.sql", "-o", "out.parquet").exit_code == 0
    assert pq.read_table("out.parquet")["n"].to_pylist() == [9, 12, 6]
    assert call("sql", query, "-o", "out.csv").exit_code == 0
    assert Path("out.csv").read_text().splitlines()[1] == "test,9"
    counted = call("sql", "select split, count(*) from affinity group by 1")
    assert counted.exit_code == 0
    assert "test" in counted.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give one query"),
        (["select 1", "-f", "x.sql"], "give one query"),
        (["-f", "absent.sql"], "absent.sql cannot be read"),
        (["select 1", "--format", "xml"], "unknown format 'xml'"),
        (["select 1", "--format", "parquet"], "name the file to write with -o"),
        (["drop table x"], "SELECT"),
        (["select * from nowhere"], "nowhere"),
        (["select 1", "-o", "no/such/folder/x.csv"], "cannot be written"),
    ],
)
def test_wrong_sql_is_one_sentence(arguments: Sequence[str], said: str) -> None:
    result = call("sql", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


WRONG: dict[str, tuple[list[str], str]] = {
    "unknown config field": (["--set", "cache.shot=3"], "unknown field 'shot' in [cache]; the nearest known is 'shots'"),
    "unknown method": (["--methods", "magic"], "unknown method 'magic'; known: zero-shot"),
    "shots larger than a class": (["--shots", "5"], "has 4 training images, fewer than 5 shots"),
    "zero images": (["--data", "empty"], "0 images under"),
    "no such folder": (["--data", "absent"], "absent"),
    "unknown model": (["--model", "ViT-B-99"], "unknown model 'ViT-B-99'"),
    "unknown features": (["--features", "nope"], "no images artifact 'nope'"),
    "bad value": (["--shots", "none"], "--shots"),
    "set without value": (["--set", "cache.shots"], "write --set section.field=value"),
    "config absent": (["--config", "no.toml"], "no config file no.toml"),
    "seeds backwards": (["--seeds", "3-1"], "3-1 is no range"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_sentence_and_exit_2(photos: Path, case: str) -> None:
    arguments, said = WRONG[case]
    Path("empty").mkdir()
    result = call("run", "--data", str(photos), "--shots", "2", *TINY, *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert result.stdout == ""


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_cuda_without_a_gpu_is_one_sentence(photos: Path) -> None:
    result = call("extract", "--data", str(photos), *TINY, "--device", "cuda")
    assert result.exit_code == 2
    assert result.stderr.startswith("xmap: --device cuda: torch sees no GPU")
    assert len(result.stderr.splitlines()) == 1


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from xmap.cli.main import main; main()", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=None)


def test_a_reader_that_stops_early_is_no_error(done: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    process = start("status", *done, "--json")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    assert process.wait() == 0


def test_an_interrupt_exits_130_and_says_how_to_go_on(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("xmap.cli.work.run", interrupted)
    result = call("run", "--data", str(photos), *TINY)
    assert result.exit_code == 130
    assert "run the same command again to go on" in result.stderr


@pytest.mark.parametrize("command", ["extract", "run", "train"])
def test_a_default_that_depends_is_told_in_words(command: str) -> None:
    """`--workers ... default 4, for a GPU more [None]` tells nobody anything."""
    assert "[None]" not in call(command, "--help").output
