"""`xmap gc` shows what would go, removes it when told to, and never what is in use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_commands import TINY
from tests.worlds.commands import call
from tests.worlds.inputs import write_photos
from xmap.store.artifacts.artifact import Store


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Those of a run that has been done, with one seed."""
    monkeypatch.chdir(tmp_path)
    found = ["--data", str(write_photos(tmp_path / "photos")), "--shots", "2", *TINY[:-1], "1"]
    assert call("run", *found).exit_code == 0
    return found


def test_it_shows_asks_and_removes(arguments: list[str], own_store: Path) -> None:
    assert call("gc").stdout == f"nothing in {own_store} may go\n"
    assert call("build-cache", *arguments, "--shots", "1").exit_code == 0
    shown = call("gc", *arguments)
    assert shown.exit_code == 0
    assert "photos-xmap-tiny-1shot-seed1" in shown.stdout
    assert "nothing refers to it" in shown.stdout
    assert "nothing was removed; give --yes" in shown.stdout
    assert "nothing in" in call("gc", *arguments, "--shots", "1").stdout
    facts = json.loads(call("gc", *arguments, "--json").stdout)
    assert facts["removed"] is False
    assert [item["name"] for item in facts["waste"]] == ["photos-xmap-tiny-1shot-seed1"]
    assert Path(facts["waste"][0]["path"]).is_dir()
    done = call("gc", *arguments, "--yes")
    assert "removed 1 entry" in done.stderr
    assert not Path(facts["waste"][0]["path"]).exists()
    assert "built" not in call("run", *arguments).stderr


def test_a_named_evaluation_goes_and_a_damaged_neighbour_is_said(arguments: list[str], own_store: Path) -> None:
    texts = next(own_store.glob("texts/*/manifest.json"))
    texts.write_bytes(texts.read_bytes()[:-7])
    (evaluation,) = own_store.glob("eval/*")
    gone = json.loads(call("gc", evaluation.name, "--yes", "--json").stdout)
    assert gone["removed"] is True
    assert {item["stage"] for item in gone["waste"]} == {"eval", "adapter", "cache", "images", "pairs", "features"}
    result = call("gc")
    assert "is damaged: it is not JSON" in result.stderr
    assert "nothing in" in result.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nope"], "no stored artifact 'nope' in the store"),
        (["--data", "absent"], "what is in use cannot be told: --data absent does not exist"),
    ],
)
def test_wrong_use_is_one_sentence(words: list[str], said: str) -> None:
    result = call("gc", *words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_keep_lets_older_evaluations_of_a_name_go_but_none_in_use(arguments: list[str], own_store: Path) -> None:
    alone = [word if word != "zero-shot,tip-adapter" else "zero-shot" for word in arguments]
    assert call("run", *alone).exit_code == 0
    older, newer = (found.fingerprint for found in Store(own_store).artifacts("eval"))
    assert "nothing in" in call("gc", "--keep", "2").stdout
    assert "nothing in" in call("gc", *arguments, "--keep", "1").stdout, "the older one is what these settings use"
    shown = json.loads(call("gc", "--keep", "1", "--json").stdout)["waste"]
    assert {item["fingerprint"]: item["why"] for item in shown}[older] == "newer ones of its name are kept"
    assert {item["stage"] for item in shown} == {"eval", "adapter"}
    assert call("gc", "--keep", "1", "--yes").exit_code == 0
    assert [found.fingerprint for found in Store(own_store).artifacts("eval")] == [newer]
    assert call("verify").exit_code == 0
    assert "built" not in call("run", *alone).stderr
    assert call("gc", "--keep", "0").exit_code == 2
