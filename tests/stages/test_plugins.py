"""What other packages offer: found without being imported, refused by name, and named where it fails."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.worlds.faults import Case
from tests.worlds.plugins import METHOD, looked_in, write_method, write_package
from xmap.stages.config import DataConfig
from xmap.stages.datasets.open import open_dataset, open_pool
from xmap.stages.methods.protocol import Cache, NoLog, method
from xmap.stages.methods.registry import METHODS, method_entry, method_names
from xmap.stages.names import Parts
from xmap.stages.plugins import SOURCES, source_named
from xmap.stages.train.identity import TrainSpec, adapter_identity
from xmap.store.artifacts.identity import Identity
from xmap.store.errors import InputError, PluginError, UnknownName
from xmap.store.memory.notes import Notes
from xmap.testing import LAWS, check_method, queries, small_task

RAISING = "raise RuntimeError('this was imported')"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    with looked_in(tmp_path):
        yield tmp_path


# ---- found, and looked at when named


def test_names_are_known_without_an_import(place: Path) -> None:
    write_method(place, code=RAISING)
    assert method_names() == (*METHODS, "strange")
    with pytest.raises(PluginError, match=r"the method 'strange' of the package acme 1.0 cannot be loaded \(RuntimeError: this was"):
        method_entry("strange")
    assert method_entry("taskres") is METHODS["taskres"]


def test_a_method_of_another_package_is_used_as_one_of_xmap(place: Path) -> None:
    write_method(place)
    for law in LAWS:
        check_method("strange", [law])


def test_what_its_import_prints_stands_in_no_result(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_method(place, code=f"print('hello')\n{METHOD}")
    assert method_entry("strange").plugin is not None
    assert capfd.readouterr() == ("", "hello\n")


def test_names_that_could_not_be_typed_are_none(place: Path) -> None:
    for number, name in enumerate(("Big", "a b", "../up", "\x1b[31mred", "a.b", "", "x" * 41)):
        write_method(place, name, package=f"acme{number}")
    assert method_names() == tuple(METHODS)


@pytest.mark.failure("plug-in")
def test_a_name_of_xmap_is_nobody_elses(place: Path) -> None:
    write_method(place, "taskres")
    assert method_names() == tuple(METHODS)
    with pytest.raises(PluginError, match=r"'taskres' of the package acme 1\.0 has the name of a method of xmap's own; uninstall the"):
        method_entry("taskres")
    assert method_entry("clap") is METHODS["clap"]
    assert "acme_module" not in sys.modules


@pytest.mark.failure("plug-in")
def test_a_name_of_two_packages_is_of_none(place: Path) -> None:
    write_method(place)
    write_method(place, package="other", version="2.0")
    with pytest.raises(PluginError, match=r"'strange' of the package (acme 1\.0|other 2\.0) is offered by (acme 1\.0|other 2\.0) too"):
        method_entry("strange")


ODD = {
    "no such object": ("", "cannot be loaded (AttributeError"),
    "a library that is not there": ("import nobody_has_this", "cannot be loaded (ModuleNotFoundError: No module named 'nobody_has_this')"),
    "a module that ends the process": ("import sys; sys.exit(3)", "cannot be loaded (SystemExit: 3)"),
    "a syntax error": ("def", "cannot be loaded (SyntaxError"),
    "something else": ("ENTRY = 3", "is no MethodEntry but int"),
    "options of nobody": (
        METHOD.replace("MethodEntry(MethodOptions", "MethodEntry(dict"),
        "has options that are no class of MethodOptions",
    ),
    "no contents": (METHOD.replace(', contents=Contents({"weights": ("N", "C")})', ""), "its entry has no contents"),
    "a version in words": (METHOD.replace("__name__,", "__name__, '1',"), "has a version that is no whole number"),
    "a pool": (METHOD.replace("__name__,", "__name__, pools=True,"), "says that it takes several encoders or a pool"),
    "several encoders": (METHOD.replace("__name__,", "__name__, several='acme_module',"), "says that it takes several encoders or a pool"),
    "a module of nobody": (METHOD.replace("__name__,", "'nobody_has_this',"), "cannot be loaded (ModuleNotFoundError"),
}


@pytest.mark.failure("plug-in")
@pytest.mark.parametrize("kind", ODD)
def test_an_entry_that_cannot_be_used_names_its_package(place: Path, kind: str) -> None:
    code, said = ODD[kind]
    write_method(place, code=code)
    with pytest.raises(PluginError) as told:
        method("strange")
    assert str(told.value).startswith("the method 'strange' of the package acme 1.0 ")
    assert said in str(told.value)


FAILING = {
    "a bug in fit": ("    return Fitted(", "    return 1 / 0\n    Fitted(", "failed in fit (ZeroDivisionError: division by zero)"),
    "a bug in scores": ("    return Scores(", "    return 1 / 0\n    Scores(", "failed in scores (ZeroDivisionError"),
    "no Fitted": ("    return Fitted(", "    return 7\n    Fitted(", "gave int for a Fitted in fit"),
    "another tensor": ('{"weights": task', '{"other": task', "gave tensors that its contents do not declare: other"),
    "other logits": ("features @", "features[:1] @", "gave no Scores with logits of 5 x 3 in scores"),
}


@pytest.mark.failure("plug-in")
@pytest.mark.parametrize("kind", FAILING)
def test_what_its_code_does_wrong_names_its_package(place: Path, kind: str) -> None:
    old, new, said = FAILING[kind]
    write_method(place, code=METHOD.replace(old, new))
    with pytest.raises(PluginError, match=r"the method 'strange' of the package acme 1\.0") as told:
        use()
    assert said in str(told.value)


@pytest.mark.parametrize(("raised", "kind"), [("MemoryError()", MemoryError), ("InputError('its own')", InputError)])
def test_refused_memory_and_its_own_sentences_stay_what_they_are(place: Path, raised: str, kind: type[Exception]) -> None:
    code = METHOD.replace("    return Fitted(", f"    raise {raised}\n    Fitted(")
    write_method(place, code=f"from xmap.store.errors import InputError\n{code}")
    with pytest.raises(kind) as told:
        use()
    assert not isinstance(told.value, PluginError)


def use() -> None:
    task = small_task([2, 1, 2])
    fitted = method("strange").fit(task, method_entry("strange").options(), None, NoLog())
    with torch.no_grad():
        method("strange").scores(fitted, Cache.of(task), queries(task).features)


# ---- what it is in fingerprints


def declared(name: str) -> dict[str, Any]:
    cache = Identity("cache", "toy", {"shots": 2}, {"texts": "t"})
    return dict(adapter_identity(Parts("toy", {"train": "f"}), cache, TrainSpec(name, method_entry(name).options(), 1)).fields)


def test_a_fingerprint_knows_the_package_and_its_version(tmp_path: Path) -> None:
    found = []
    for number, (package, version) in enumerate((("acme", "1.0"), ("acme", "1.1"), ("other", "1.0"))):
        with looked_in(tmp_path / str(number)) as place:
            write_method(place, package=package, version=version)
            found.append(declared("strange"))
    assert [fields.pop("origin") for fields in found] == [
        {"package": "acme", "version": "1.0"},
        {"package": "acme", "version": "1.1"},
        {"package": "other", "version": "1.0"},
    ]
    assert found[0] == found[1] == found[2]
    assert "origin" not in declared("taskres")


# ---- names that are no plug-ins lead to no module


@pytest.mark.failure("received folder")
def test_a_name_is_never_taken_for_a_module(place: Path, case: Case) -> None:
    (place / "evil.py").write_text(RAISING)
    for name in ("evil", "evil:ENTRY", "xmap.stages.methods.taskres", "os", "../evil", f"{place}/evil.py"):
        with case(), pytest.raises(UnknownName):
            method(name)
        with case(), pytest.raises(InputError, match=r"does not exist|neither a folder nor"):
            open_dataset(DataConfig(data=f"{name}:{place}"))


# ---- sources

SOURCE = """
from xmap.stages.datasets.sources.folder import FolderSource
class Source(FolderSource):
    def read(self, config, data, name, notes):
        {body}
SOURCE = Source()
"""


def write_source(place: Path, body: str = "return super().read(config, data, name, notes)", name: str = "mine") -> None:
    write_package(place, "acme", {SOURCES: {name: "acme_module:SOURCE"}})
    (place / "acme_module.py").write_text(SOURCE.format(body=body))


def test_a_source_reads_what_is_named_after_it(place: Path, photos: Path) -> None:
    write_source(place)
    assert open_dataset(DataConfig(data=f"mine:{photos}")) == open_dataset(DataConfig(data=str(photos)))
    assert len(open_pool(f"mine:{photos}", Notes()).samples) == 12
    assert source_named(str(photos)) == (None, str(photos))
    assert source_named("mine://host/photos") == (None, "mine://host/photos")


@pytest.mark.failure("plug-in")
@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        ("return 1 / 0", PluginError, r"the source 'mine' of the package acme 1.0 failed \(ZeroDivisionError"),
        ("return None", InputError, "the source 'mine' of the package acme does not read what is there"),
        ("return [data]", PluginError, "gave list for a Dataset"),
    ],
)
def test_a_source_that_fails_names_its_package(place: Path, photos: Path, body: str, kind: type[Exception], said: str) -> None:
    write_source(place, body)
    with pytest.raises(kind, match=said):
        open_dataset(DataConfig(data=f"mine:{photos}"))


def test_a_source_does_not_read_what_it_does_not_match(place: Path) -> None:
    write_source(place)
    with pytest.raises(InputError, match="does not read what is there"):
        open_dataset(DataConfig(data=f"mine:{place / 'nowhere'}"))


@pytest.mark.failure("plug-in")
def test_a_source_of_xmap_is_nobody_elses(place: Path) -> None:
    write_source(place, name="coop")
    with pytest.raises(PluginError, match=r"'coop' of the package acme 1\.0 has the name of a source of xmap's own"):
        open_dataset(DataConfig(data="coop:dtd"))


def test_a_source_that_is_not_installed_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"does not exist, and no installed package has the source 'lmdb'; give"):
        open_dataset(DataConfig(data="lmdb:somewhere"))
