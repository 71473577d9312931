"""The documentation says what is there: commands, flags, links, and the tests that hold the promises."""

from __future__ import annotations

import importlib.util
import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from xmap.cli.main import COMMANDS, app

ROOT = Path(__file__).resolve().parents[1]
FOR_DEVELOPERS = [ROOT / "docs" / "architecture.md", ROOT / "CONTRIBUTING.md"]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")] + sorted((ROOT / "docs").glob("*.md"))
WRITTEN = [page for page in PAGES if page.name != "cli.md"]
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`(xmap(?: [^`]*)?)`")
PROMISE = re.compile(r"\[`(test_\w+)`\]\((tests/[\w/]+\.py)\)")

DEFINED = re.compile(r"\[`(\w+)`\]\((?:\.\./)?([\w/]+\.py)\)")
BLOCK = re.compile(r"<!-- (.+): written by (.+) -->")
REQUEST = re.compile(r"\[`(test_\w+)`\]\(\.\./(tests/[\w/]+\.py)\)")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def commands_in(text: str) -> list[list[str]]:
    """Each `xmap ...` of a page's fences and code spans, as words."""
    lines = [line.strip().removeprefix("$ ") for fence in FENCE.findall(text) for line in fence.splitlines()]
    found = [line for line in lines if line.startswith("xmap ")] + SPAN.findall(FENCE.sub("", text))
    return [shlex.split(line)[1:] for line in found]


@cache
def flags_of(command: str) -> frozenset[str]:
    group: Any = typer.main.get_command(app)
    context = group.context_class(group, info_name="xmap")
    single = group.get_command(context, command)
    return frozenset(flag for option in single.params for flag in (*option.opts, *option.secondary_opts)) | {"--help"}


@pytest.mark.parametrize("page", WRITTEN, ids=name_of)
def test_commands_and_flags_exist(page: Path) -> None:
    wrong = []
    for words in commands_in(page.read_text("utf-8")):
        if not words or words[0] in ("--help", "--version", "COMMAND"):
            continue
        known = flags_of(words[0]) if words[0] in COMMANDS else frozenset[str]()
        flags = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
        wrong += [shlex.join(words)] * (words[0] not in COMMANDS or not known.issuperset(flags))
    assert wrong == []


def test_the_readme_begins_with_commands_and_a_picture() -> None:
    first = (ROOT / "README.md").read_text("utf-8").splitlines()[:14]
    assert sum(line.startswith(("pip ", "xmap ")) for line in first) == 3
    assert any(line.startswith("![") for line in first)


def test_the_readme_shows_every_command() -> None:
    shown = {words[0] for words in commands_in((ROOT / "README.md").read_text("utf-8")) if words}
    assert {"demo", "run", "init", "extract", "build-cache", "train", "eval", "sql", "status", "verify", "import"} <= shown
    assert {"report", "predict", "export", "show", "diff"} <= shown


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_resolves(page: Path) -> None:
    wrong = []
    for link in LINK.findall(page.read_text("utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    assert wrong == []


@pytest.mark.parametrize("page", FOR_DEVELOPERS, ids=name_of)
def test_each_name_is_defined_in_the_file_it_links_to(page: Path) -> None:
    pairs = DEFINED.findall(page.read_text("utf-8"))
    assert len(pairs) >= 10
    assert [(name, path) for name, path in pairs if not defines(ROOT / path, name)] == []


def defines(path: Path, name: str) -> bool:
    return path.exists() and re.search(rf"^(?:(?:def|class) {name}\b|{name}\b[^=\n]*= )", path.read_text("utf-8"), re.MULTILINE) is not None


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_each_promise_has_its_test() -> None:
    section = (ROOT / "README.md").read_text("utf-8").partition("## Promises")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")][2:]
    assert len(rows) >= 7
    for row in rows:
        found = PROMISE.search(row)
        assert found, row
        name, path = found.groups()
        text = (ROOT / path).read_text("utf-8")
        before = re.search(rf"((?:^@.*\n|^[ )].*\n)*)^def {name}\(", text, re.MULTILINE)
        assert before, row
        assert "@pytest.mark.promise" in before[1], f"{name} is not marked as a promise"


def test_each_request_has_its_answer_and_test() -> None:
    lines = (ROOT / "docs/requests.md").read_text("utf-8").splitlines()
    rows = [re.split(r"(?<!\\)\|", line) for line in lines if re.match(r"\| \d", line)]
    assert [int(row[1]) for row in rows] == list(range(1, len(rows) + 1))
    for row in rows:
        if row[5].strip() == "-":
            assert re.match(r" (Not yet|No|Partly): ", row[4]), row
            continue
        found = REQUEST.search(row[5])
        assert found, row
        name, path = found.groups()
        assert re.search(rf"^def {name}\(", (ROOT / path).read_text("utf-8"), re.MULTILINE), row


def test_the_command_page_is_the_help() -> None:
    assert (ROOT / "docs/cli.md").read_text("utf-8") == made("make_cli").page(), "run `python docs/make_cli.py`"


def test_the_views_page_is_the_catalog() -> None:
    assert (ROOT / "docs/views.md").read_text("utf-8") == made("make_views").page(), "run `python docs/make_views.py`"


def test_the_json_page_is_the_declared_fields() -> None:
    assert (ROOT / "docs/json.md").read_text("utf-8") == made("make_json").page(), "run `python docs/make_json.py`"


def test_the_house_is_drawn_as_it_is() -> None:
    text = (ROOT / "docs/architecture.md").read_text("utf-8")
    assert made("make_architecture").page(text) == text, "run `python docs/make_architecture.py`"


def test_the_readme_holds_a_run_of_the_demo() -> None:
    maker = made("make_demo")
    shown = (ROOT / "README.md").read_text("utf-8").partition(maker.BEGIN)[2].partition(maker.END)[0]
    for expected in ("$ xmap demo", "zero-shot", "tip-adapter-f", "xmadapter", "$ xmap sql"):
        assert expected in shown, "run `python docs/make_demo.py`"


def test_each_measured_block_ends_and_names_the_command_that_writes_it() -> None:
    for page in PAGES:
        text = page.read_text("utf-8")
        for name, command in BLOCK.findall(text):
            module = command.removeprefix("python -m ")
            path = command if module == command else f"{module.replace('.', '/')}.py"
            assert (ROOT / path).is_file(), f"{page.name}: {name} names {command}"
            assert text.count(f"<!-- end of {name} -->") == 1, f"{page.name}: {name} does not end"


def test_the_page_on_labelling_holds_a_run_of_its_commands() -> None:
    text = (ROOT / "docs/labelling.md").read_text("utf-8")
    for expected in (
        "50 images new: nothing to encode",
        "adds 50 to training",
        "50 labelled already, byte for byte",
        "guess   probability %",
    ):
        assert expected in text, "run `python docs/make_labelling.py`"
    zero_shot = [words[1] for words in map(str.split, text.splitlines()) if words[:1] == ["zero-shot"] and len(words) == 2]
    assert (len(zero_shot), len(set(zero_shot))) == (3, 1), "all rounds are tested on the same images"


@pytest.mark.parametrize(
    "name",
    [
        "nearest_mean/pyproject.toml",
        "nearest_mean/xmap_nearest_mean/__init__.py",
        "nearest_mean/xmap_nearest_mean/method.py",
        "listing/xmap_listing.py",
    ],
)
def test_the_page_on_plug_ins_shows_the_examples(name: str) -> None:
    assert (ROOT / "examples" / name).read_text("utf-8") in FENCE.findall((ROOT / "docs/plugins.md").read_text("utf-8"))


def made(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_kind_of_failure_has_words_in_the_table_that_counts_it() -> None:
    texts = (path.read_text("utf-8") for path in sorted((ROOT / "tests").rglob("test_*.py")) if path != Path(__file__).resolve())
    kinds = {kind for text in texts for kind in re.findall(r"mark\.failure\(\"([^\"]+)\"\)", text)}
    assert kinds
    assert kinds <= made("make_reliability").WHAT.keys()
