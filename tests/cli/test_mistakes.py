"""Slips of people who type commands: each is one sentence that names what was meant, or is understood."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.worlds.commands import call
from xmap.cli.console import marked
from xmap.cli.main import COMMANDS
from xmap.pipeline.settings.config import load_config
from xmap.stages.encoder.names import builtin_config
from xmap.stages.methods.registry import METHODS
from xmap.store.errors import InputError, UnknownName

SLIPS: dict[str, tuple[Sequence[str], str]] = {
    "method with an underscore": (["run", "x", "--methods", "tip_adapter"], "unknown method 'tip_adapter', did you mean 'tip-adapter'"),
    "method in capitals": (["run", "x", "--methods", "XMAdapter"], "did you mean 'xmadapter'"),
    "method without hyphens": (["run", "x", "--methods", "zeroshot"], "did you mean 'zero-shot'"),
    "method with a blank": (["run", "x", "--methods", "tip adapter f"], "did you mean 'tip-adapter-f'"),
    "method with a letter too many": (["run", "x", "--methods", "taskress"], "did you mean 'taskres'"),
    "methods with blanks": (["run", "--methods", "zero-shot", "xmadapter"], "write methods with commas and no blanks"),
    "seeds with blanks": (["run", "--seeds", "1", "2", "3"], "write numbers with commas and no blanks"),
    "shots of a bench": (["run", "x", "--shots", "1,2,4"], "`xmap bench --shots 1,2,4` runs several"),
    "features of a bench": (["train", "--features", "a,b"], "`xmap bench --features a,b` runs several"),
    "a path without its layout": (["import", "vectors.parquet"], "Missing argument 'PATH', as in `xmap import table vectors.parquet"),
    "two places": (["run", "a.tar", "b.tar"], "images come from one place"),
    "a place twice": (["run", "a", "--data", "b"], "--data names b already"),
    "a folder that is not there": (["run", "absent"], "--data absent does not exist"),
    "question without its last letter": (["sql", "label-suspect"], "did you mean 'label-suspects'"),
    "question with underscores": (["sql", "confident_mistakes"], "did you mean 'confident-mistakes'"),
    "view in place of a query": (["sql", "samples"], "from samples limit 20"),
    "command": (["rnu"], "Did you mean 'run'"),
    "command of another word": (["stats"], "Did you mean 'status'"),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_one_sentence_that_says_what_was_meant(slip: str) -> None:
    arguments, said = SLIPS[slip]
    result = call(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("xmap_tiny", "xmap-tiny"),
        ("XMAP-TINY", "xmap-tiny"),
        ("ViT-B/32", "ViT-B-32"),
        ("vit_b_16_quickgelu", "ViT-B-16-quickgelu"),
        ("RN 50", "RN50"),
    ],
)
def test_a_slip_in_a_models_name_names_the_nearest_first(name: str, first: str) -> None:
    with pytest.raises(InputError, match=f"near names: {first}[,;]"):
        builtin_config(name)


@pytest.mark.parametrize("name", ["magic", "", "zz"])
def test_what_is_near_nothing_is_no_slip(name: str) -> None:
    assert "did you mean" not in str(UnknownName("method", name, tuple(METHODS)))


def test_the_place_of_the_images_needs_no_flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("init", "photos", "--shots", "4").exit_code == 0
    config = load_config("xmap.toml")
    assert (config.data.data, config.cache.shots) == ("photos", 4)


@pytest.mark.parametrize("value", ["all", ["all"], ("all",)])
def test_all_methods_in_every_way_of_saying_it(value: object) -> None:
    everywhere = tuple(name for name, entry in METHODS.items() if not entry.unprojected)
    assert load_config(overrides={"run.methods": value}, read=False).run.methods == everywhere


@pytest.mark.parametrize(("first", "second"), [("--methods", "--method"), ("--seeds", "--seed"), ("--template", "--templates")])
def test_one_and_many_are_the_same_flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str, second: str) -> None:
    monkeypatch.chdir(tmp_path)
    value = {"--methods": "tip-x", "--seeds": "7", "--template": "a {}"}[first]
    written = []
    for flag in (first, second):
        assert call("init", flag, value, "--config", f"{flag}.toml").exit_code == 0
        written.append(load_config(f"{flag}.toml"))
    assert written[0] == written[1] != load_config(read=False)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_three_ways(name: str) -> None:
    shown = {call(*words).stdout for words in ((name, "--help"), (name, "-h"), ("help", name))}
    assert len(shown) == 1
    assert "Usage: " in shown.pop()


def test_help_of_all_commands_has_three_ways() -> None:
    assert call("--help").stdout == call("-h").stdout == call("help").stdout
    assert call("help", "nothing").exit_code == 2


def test_the_essential_flags_come_first_and_name_the_methods() -> None:
    shown = call("run", "--help").stdout
    essential, _, rest = shown.partition("Store, settings and output:")
    assert all(flag in essential for flag in ("--data", "--model", "--template", "--shots", "--methods", "--seeds"))
    assert all(flag in rest for flag in ("--set", "--rehash", "--bins", "--store", "--json"))
    assert all(name in essential.replace("\n", "").replace(" ", "") for name in METHODS)


def test_init_forced_keeps_the_values_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = ("--shots", "3", "--methods", "zero-shot", "--set", "methods.tip-x.beta=2", "--config", "a.toml")
    assert call("init", "photos", *given).exit_code == 0
    before = Path("a.toml").read_text()
    again = call("init", "--force", "--config", "a.toml")
    assert (again.exit_code, Path("a.toml").read_text()) == (0, before)
    assert "with the values it had" in again.stderr
    assert call("init", "--force", "--config", "a.toml", "--shots", "5").exit_code == 0
    config = load_config("a.toml")
    assert (config.data.data, config.cache.shots, config.run.methods) == ("photos", 5, ("zero-shot",))
    assert config.options("tip-x").model_dump()["beta"] == (2.0,)
    Path("a.toml").write_text("[cache\n")
    assert "is not TOML" in call("init", "--force", "--config", "a.toml").stderr
    assert Path("a.toml").read_text() == "[cache\n", "what cannot be read is not replaced"


class Terminal(io.StringIO):
    """What calls itself a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environment", "coloured"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
    ],
)
def test_colour_only_on_a_terminal_that_wants_it(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, environment: dict[str, str], coloured: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    line = marked("xmap: no such thing", "xmap", "red", stream)
    assert ("\x1b[" in line) == coloured
    assert line.endswith(": no such thing")
