"""One form everywhere: what is held here of every declared flag of every command, so that a new command cannot differ unnoticed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.worlds.commands import call
from xmap.cli.fields import ALIASES
from xmap.cli.help import COMMANDS
from xmap.cli.main import app
from xmap.cli.output import chosen_format
from xmap.pipeline.settings.config import SECTIONS, load_config
from xmap.pipeline.settings.python import config_of
from xmap.stages.methods.registry import all_names
from xmap.stages.several import NAMES, NUMBERS, several_of

# What every command has, and the few that cannot, with the reason.
EVERYWHERE = ("--store", "--quiet", "--json", "--format", "--output")
WITHOUT = {
    ("demo", "--store"): "its folder holds the store",
    ("demo", "--format"): "it prints what the commands print that it shows",
    ("demo", "--output"): "likewise",
    ("datasets", "--store"): "it reads none",
    ("report", "--format"): "a report is HTML",
    ("serve", "--format"): "its answers go to those who ask; it prints where it listens",
    ("serve", "--output"): "likewise",
}
# Flags that take one value here and several elsewhere, or the other way round.
ONE_OF_SEVERAL = {
    "--methods": {"predict", "serve", "next", "export", "enough"},
    "--seeds": {"predict", "serve", "next", "export"},
    # There a column of the vectors.
    "--labels": {"import"},
}
SEVERAL_OF_ONE = {"--shots": {"bench"}, "--features": {"bench"}}


def flags() -> Iterator[tuple[str, str, Any]]:
    """Each command, a flag's longest name, and the flag."""
    group: Any = typer.main.get_command(app)
    above = group.context_class(group, info_name="xmap")
    for name in COMMANDS:
        for flag in group.get_command(above, name).params:
            if flag.param_type_name == "option":
                yield name, max(flag.opts, key=len), flag


FLAGS = list(flags())
BY_COMMAND = {command: {name: flag for other, name, flag in FLAGS if other == command} for command in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_what_all_have(command: str) -> None:
    missing = {(command, flag) for flag in EVERYWHERE if flag not in BY_COMMAND[command]}
    assert missing == {key for key in WITHOUT if key[0] == command}


@pytest.mark.parametrize("name", sorted({name for _, name, _ in FLAGS}))
def test_a_flag_has_the_same_names_and_takes_as_many_values_everywhere(name: str) -> None:
    found = {command: flag for command, other, flag in FLAGS if other == name}
    assert len({(frozenset(flag.opts), frozenset(flag.secondary_opts), flag.is_flag) for flag in found.values()}) == 1
    several = {command for command, flag in found.items() if flag.multiple}
    one = ONE_OF_SEVERAL.get(name, set()) & set(found)
    assert several in (set(), SEVERAL_OF_ONE.get(name), set(found) - one), "declare here why one command takes another number"
    assert not several & one


def test_settings_of_several_values_are_declared_so_and_their_flags_take_them() -> None:
    for section, model in SECTIONS.items():
        for field, info in model.model_fields.items():
            several = several_of(info.metadata)
            assert (several is not None) == isinstance(info.default, tuple), f"[{section}] {field}"
            flag = max(ALIASES.get(field, (f"--{field.replace('_', '-')}",)), key=len)
            said = [BY_COMMAND[command][flag] for command in ("run", "train", "status") if flag in BY_COMMAND[command]]
            assert said
            assert all(one.multiple == bool(several) for one in said)
            assert not several or {one.metavar for one in said} == {several.metavar}


def test_json_is_a_format_of_what_leaves_line_by_line_too() -> None:
    assert chosen_format("json", None, ("table", "jsonl")) == "jsonl"
    assert chosen_format("json", None, ("table", "json", "jsonl")) == "json"


def test_formats_are_said_alike() -> None:
    assert len({flag.help for command, name, flag in FLAGS if name == "--format" and command != "predict"}) == 1


Way = Callable[[Path, str, list[Any]], Any]


def by_flag_with_commas(folder: Path, field: str, values: list[Any]) -> Any:
    return _init(folder, f"--{field}", ",".join(map(str, values)))


def by_flags_given_again(folder: Path, field: str, values: list[Any]) -> Any:
    return _init(folder, *(word for value in values for word in (f"--{field}", str(value))))


def by_the_other_name(folder: Path, field: str, values: list[Any]) -> Any:
    return _init(folder, *(word for value in values for word in (f"--{field.removesuffix('s')}", str(value))))


def by_set(folder: Path, field: str, values: list[Any]) -> Any:
    return _init(folder, "--set", f"run.{field}={','.join(map(str, values))}")


def by_text_in_the_file(folder: Path, field: str, values: list[Any]) -> Any:
    return _file(folder, f'[run]\n{field} = "{",".join(map(str, values))}"\n')


def by_list_in_the_file(folder: Path, field: str, values: list[Any]) -> Any:
    return _file(folder, f"[run]\n{field} = {values!r}\n")


def by_text_in_python(folder: Path, field: str, values: list[Any]) -> Any:
    return config_of(load_config(read=False), {field: ",".join(map(str, values))})


def by_list_in_python(folder: Path, field: str, values: list[Any]) -> Any:
    return config_of(load_config(read=False), {"run": {field: values}})


WAYS = (
    by_flag_with_commas, by_flags_given_again, by_the_other_name, by_set, by_text_in_the_file, by_list_in_the_file, by_text_in_python,
    by_list_in_python,
)  # fmt: skip
VALUES: dict[str, list[tuple[list[Any], tuple[Any, ...]]]] = {
    "methods": [(["tip-x", "zero-shot"], ("tip-x", "zero-shot")), (["all"], all_names()), (["gda", "gda"], ("gda",))],
    "seeds": [([7], (7,)), ([1, 2, 3], (1, 2, 3)), (["2-4", 9], (2, 3, 4, 9))],
}


def _file(folder: Path, text: str) -> Any:
    (folder / "given.toml").write_text(text)
    return load_config(folder / "given.toml")


def _init(folder: Path, *words: str) -> Any:
    result = call("init", "--config", str(folder / "written.toml"), "--quiet", *words)
    assert result.exit_code == 0, result.stderr
    return load_config(folder / "written.toml")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("field", VALUES)
def test_each_way_of_giving_several_values_says_the_same(way: Way, field: str, tmp_path: Path) -> None:
    kinds = {several_of(info.metadata) for name, info in SECTIONS["run"].model_fields.items() if name in VALUES}
    assert kinds == {NAMES, NUMBERS}
    for place, (values, meant) in enumerate(VALUES[field]):
        folder = tmp_path / str(place)
        folder.mkdir()
        assert getattr(way(folder, field, values).run, field) == meant


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "x", "--shots", "1-3"), "`xmap bench --shots 1-3` runs several"),
        (("run", "x", "--set", "cache.shots=1,2"), "`xmap bench --shots 1,2` runs several"),
        (("predict", "x", "--methods", "all"), "one at a time here, not all"),
        (("export", "x", "--method", "gda,ape"), "one at a time here, not gda,ape"),
        (("enough", "--data", "x", "--methods", "all"), "one at a time here, not all"),
        (("bench", "--features", "x", "--shots", "4-1"), "4-1 is no range"),
        (("bench", "--features", "x", "--datasets", "all,mnist", "--root", "."), "unknown benchmark 'mnist'"),
    ],
)
def test_one_where_several_are_given_is_one_sentence(words: tuple[str, ...], said: str) -> None:
    result = call(*words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
