"""xmap.toml: what it accepts, how it says what is wrong, and that what is written reads back."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from xmap.pipeline.settings.config import SECTIONS, XmapConfig, load_config
from xmap.pipeline.settings.file import render, write_config
from xmap.stages.config import CacheConfig
from xmap.stages.methods.registry import METHODS
from xmap.store.errors import InputError, UnknownName


def config_file(folder: Path, text: str) -> Path:
    path = folder / "xmap.toml"
    path.write_text(text)
    return path


def test_without_a_file_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config() == XmapConfig()
    assert XmapConfig().run.seeds == (1, 2, 3)
    assert XmapConfig().run.methods[:3] == ("zero-shot", "tip-adapter", "tip-adapter-f")


def test_xmap_toml_of_the_working_folder_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config_file(tmp_path, "[cache]\nshots = 4\n")
    monkeypatch.chdir(tmp_path)
    assert load_config().cache.shots == 4


def test_overrides_win_over_the_file_and_are_read_as_typed(tmp_path: Path) -> None:
    path = config_file(tmp_path, "[cache]\nshots = 4\n")
    overrides = {"cache.shots": "8", "run.seeds": "4, 5", "run.methods": "zero-shot,tip-adapter", "eval.top_k": "7"}
    config = load_config(path, {**overrides, "methods.tip-adapter.beta": "2.5", "data.templates": "a {}, drawn"})
    assert (config.cache.shots, config.run.seeds, config.run.methods) == (8, (4, 5), ("zero-shot", "tip-adapter"))
    assert config.eval.top_k == 7
    assert config.options("tip-adapter").model_dump()["beta"] == (2.5,)
    assert config.data.templates == ("a {}, drawn",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[cache]\nshot = 4\n", "unknown field 'shot' in [cache]; the nearest known is 'shots'"),
        ("[cach]\nshots = 4\n", "unknown section [cach]; the nearest known is 'cache'"),
        ("[cache]\nshots = 0\n", "[cache] shots = 0: input should be greater than or equal to 1"),
        ("[cache]\nqqqq = 0\n", "unknown field 'qqqq' in [cache]; known: shots, short, index"),
        ("cache = 3\n", "[cache] = 3: it is a section of fields"),
        ("[run]\nseeds = '3-1'\n", "[run] seeds = '3-1': 3-1 is no range: it begins with its smaller number"),
        ("[run]\nmethods = []\n", "[run] methods = []"),
        ('[data]\ntemplates = ["a photo"]\n', "a prompt needs {} where the class name goes"),
        ("[methods.tip-adapter]\nbet = 1\n", "unknown field 'bet' in [methods.tip-adapter]; the nearest known is 'beta'"),
        ("[methods]\ntip-adapter = 1\n", "[methods] tip-adapter = 1: it is a section of fields"),
        ("methods = 1\n", "methods is a section of options"),
        ('[data]\ndata = "a\\u0000"\n', "[data] data = 'a\\x00': it has a sign that no path can hold, such as NUL; leave it out."),
        ('[data]\nlabels = ["a.csv", "\\u0000.csv"]\n', "[data] labels = ['a.csv', '\\x00.csv']: it has a sign that no path can hold"),
        ('[data]\ndescriptions = "x\\u0000.json"\n', "[data] descriptions = 'x\\x00.json': it has a sign that no path can hold"),
        ('[encoder]\nmodel = "local-dir:\\u0000"\n', "[encoder] model = 'local-dir:\\x00': it has a sign that no path can hold"),
        ("[cache\n", "is not TOML"),
    ],
)
def test_a_wrong_file_is_one_sentence_that_names_it(tmp_path: Path, text: str, said: str) -> None:
    path = config_file(tmp_path, text)
    with pytest.raises(InputError) as caught:
        load_config(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("cache.shots", "many", "--shots: [cache] shots = 'many': "),
        ("cache.shot", "4", "--set cache.shot: unknown field 'shot'"),
        ("cach.shots", "4", "--set cach.shots: unknown section [cach]"),
        ("methods.tip-adapter.alpha", "-1", "--set methods.tip-adapter.alpha: [methods.tip-adapter] alpha = '-1'"),
        ("extract.depth", "12,8", "--depth: [extract] depth = '12,8': input should be 'auto' or input should be a valid integer"),
        ("extract.depth", "99", "[extract] depth = '99': input should be 'auto' or input should be less than or equal to 16."),
        ("eval.top_k", "x", "--top-k: [eval] top_k = 'x': input should be 'all' or"),
        ("run.seeds", "a,b", "--seeds: [run] seeds = 'a': input should be a valid integer, unable to parse string as an integer."),
        ("data.templates", "x", "[data] templates = 'x': a prompt needs {} where the class name goes."),
        ("shots", "4", "write --set section.field=value"),
        ("run.methods.x", "4", "[run] methods = {'x': '4'}"),
    ],
)
def test_a_wrong_override_names_its_flag(tmp_path: Path, name: str, value: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        load_config(config_file(tmp_path, ""), {name: value})
    assert said in str(caught.value)


def test_an_unknown_method_is_named_with_the_known_ones(tmp_path: Path) -> None:
    for text in ('[run]\nmethods = ["nope"]\n', "[methods.nope]\n"):
        with pytest.raises(UnknownName, match="unknown method 'nope'; known: zero-shot"):
            load_config(config_file(tmp_path, text))


def test_a_missing_file_says_how_to_write_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="xmap init"):
        load_config(tmp_path / "absent.toml")


def test_what_is_written_explains_every_field_and_reads_back(tmp_path: Path) -> None:
    wanted = {"cache.shots": 2, "data.data": 'a "b"\n\\', "run.seeds": [7], "methods.tip-adapter.beta": 3.0}
    config = load_config(config_file(tmp_path, ""), wanted)
    path = tmp_path / "written.toml"
    write_config(path, config)
    text = path.read_text()
    for model in SECTIONS.values():
        assert all(str(field.description) in text for field in model.model_fields.values())
    assert load_config(path).model_dump() | {"methods": {}} == config.model_dump() | {"methods": {}}
    assert load_config(path).options("tip-adapter") == config.options("tip-adapter")
    assert set(tomllib.loads(render(XmapConfig()))) <= {*SECTIONS, "methods"}


def test_a_file_is_not_replaced_unasked(tmp_path: Path) -> None:
    path = config_file(tmp_path, "mine")
    with pytest.raises(InputError, match="--force"):
        write_config(path, XmapConfig())
    assert path.read_text() == "mine"
    write_config(path, XmapConfig(), replace=True)
    assert load_config(path) == XmapConfig().model_copy(update={"methods": load_config(path).methods})


def test_flags_repeat_what_differs_from_the_defaults() -> None:
    config = XmapConfig(cache=CacheConfig(shots=4, short="keep"))
    config = config.override({"data.templates": ["a {}", "b {}"], "methods.tip-adapter.beta": 2, "encoder.force_quick_gelu": True})
    assert config.flags() == ("--template 'a {}' --template 'b {}' --force-quick-gelu --short keep --set methods.tip-adapter.beta=2.0")
    assert XmapConfig().flags() == ""
    tables = config.override({"data.templates": "a photo of a {}.", "data.labels": ["a, b.csv", "c.csv"]}).flags()
    assert tables.startswith("--labels 'a, b.csv' --labels c.csv --force")


@pytest.mark.parametrize("value", ["1,2", "2, 1", [1, 2], (2.0, 1.0)])
def test_a_grid_is_a_list_and_is_repeated_as_one(value: Any, tmp_path: Path) -> None:
    config = XmapConfig().override({"methods.tip-adapter.alpha": value})
    assert config.flags() == "--set methods.tip-adapter.alpha=1.0,2.0"
    write_config(tmp_path / "xmap.toml", config)
    assert load_config(tmp_path / "xmap.toml").options("tip-adapter").declared()["grids"] == {"alpha": [1.0, 2.0]}


def test_a_written_config_fixes_nothing_that_was_to_be_chosen(tmp_path: Path) -> None:
    write_config(tmp_path / "xmap.toml", XmapConfig())
    again = load_config(tmp_path / "xmap.toml")
    assert all(again.options(name).declared() == METHODS[name].options().declared() for name in again.run.methods)


@pytest.mark.parametrize("data", ["https://host/x.tar?X-Amz-Signature=secret", "https://user:secret@host/x.tar"])
def test_flags_repeat_no_credentials(data: str) -> None:
    assert XmapConfig().override({"data.data": data}).flags() == "--data https://host/x.tar"


@pytest.mark.parametrize("number", ["inf", "-inf", "nan"])
@pytest.mark.parametrize("field", ["data.val_share", "methods.tip-adapter.alpha", "methods.tip-adapter-f.learning_rate"])
def test_a_number_that_no_fingerprint_can_hold_is_refused(field: str, number: str) -> None:
    with pytest.raises(InputError, match=field.rpartition(".")[2]):
        XmapConfig().override({field: number})
