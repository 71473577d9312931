"""Groups through the command line, and names that have no say: a run over renamed files has the same numbers, bit for bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.worlds.commands import call
from tests.worlds.models import write_model
from tests.worlds.pictures import write_images
from tests.worlds.runs import TIMES
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.formats.tables import read_table

CLASSES = ("ant", "bee", "cat")
# Three frames of each of six recordings of a class.
RECORDINGS = [f"{name}/rec{number}/{frame}.png" for name in CLASSES for number in range(6) for frame in range(3)]
METHODS = (
    "--methods",
    "tip-adapter-f,taskres",
    "--seeds",
    "1,2",
    "--set",
    "methods.tip-adapter-f.epochs=2",
    "--set",
    "methods.taskres.epochs=2",
)
TORN = 'select "group" from samples where "group" is not null group by 1 having count(distinct split) > 1'


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "model")
    return tmp_path


def xmap(command: str, data: str, *flags: object, store: str = "store") -> str:
    """What a command says on the way."""
    quick = ("--model", "local-dir:model", "--views", "1", "--batch-size", "4", "--workers", "0", "--store", store)
    ended = call(command, "--data", data, *quick, *flags)
    assert ended.exit_code == 0, ended.output
    return ended.stderr


def asked(sql: str, store: str = "store") -> list[dict[str, Any]]:
    ended = call("sql", sql, "--json", "--store", store)
    assert ended.exit_code == 0, ended.output
    found: list[dict[str, Any]] = json.loads(ended.stdout)
    return found


def renamed(name: str) -> str:
    """Another folder and another place in the order of names."""
    kind, recording, file = name.split("/")
    return f"{kind}/{9 - int(recording[3:])} again/z{7 * (int(file[0]) + 3 * int(recording[3:])) % 18:02d}.png"


def results(store: str) -> tuple[list[bytes], list[Any], list[Any], list[Any]]:
    """The tensors of each adapter, the images of each cache, the numbers, and what was predicted of each test image, without names."""
    kept = Store(Path(store))
    content = {row["sample_id"]: row["content"] for row in asked("select sample_id, content from samples", store)}
    tensors = [found.read("adapter.safetensors") for found in by_name(kept, "adapter")]
    caches = [
        [content[name] for name in read_table(found.file("values.parquet"))["sample_id"].to_pylist()] for found in by_name(kept, "cache")
    ]
    (scored,) = kept.artifacts("eval")
    numbers = [{key: value for key, value in row.items() if key not in TIMES} for row in scored.summary["results"]]
    predicted = read_table(scored.file("predictions.parquet")).drop_columns(["run"]).to_pylist()
    rows = [{**row, "sample_id": content[row["sample_id"]]} for row in predicted]
    return tensors, caches, [*numbers, scored.summary["differences"]], rows


def by_name(store: Store, stage: str) -> list[Artifact]:
    return sorted(store.artifacts(stage), key=lambda found: found.name)


@pytest.mark.promise
@pytest.mark.parametrize(
    ("flags", "chosen_on"),
    [
        pytest.param(("--shots", "4"), "validation", marks=pytest.mark.thorough),
        pytest.param(("--shots", "4", "--val-share", "0"), "train remainder", marks=pytest.mark.thorough),
        pytest.param(("--shots", "99", "--short", "keep", "--val-share", "0"), "held-out support", marks=pytest.mark.thorough),
        (("--shots", "4", "--group-by", "parent"), "validation"),
    ],
)
def test_a_rename_changes_no_result(here: Path, flags: tuple[str, ...], chosen_on: str) -> None:
    write_images(here / "before", RECORDINGS)
    for name in RECORDINGS:
        place = here / "after" / renamed(name)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes((here / "before" / name).read_bytes())
    for name in ("before", "after"):
        xmap("run", name, *METHODS, *flags, store=name)
    found = [results(name) for name in ("before", "after")]
    assert all(row["selected_on"].startswith(chosen_on) for row in found[0][2][:-1])
    for one, other in zip(*found, strict=True):
        assert one == other


def test_recordings_stand_in_one_split_each(here: Path) -> None:
    write_images(here / "images", RECORDINGS)
    said = xmap("run", "images", "--shots", "2", *METHODS, "--group-by", "parent")
    assert "--group-by parent: 54 images in 18 groups" in said
    assert asked(TORN) == []
    assert asked('select count(distinct "group") n, count(distinct source) files, count(distinct split) splits from samples') == [
        {"n": 18, "files": 54, "splits": 3}
    ]
    (here / "xmap.toml").write_text('[data]\ndata = "images"\ngroup_by = "parent"\n')
    assert "built" not in xmap("run", "images", "--shots", "2", *METHODS)
    # Another rule is another draw.
    xmap("extract", "images", "--group-by", r"rec\d")
    assert asked(TORN.replace("is not null", "similar to 'rec[0-9]'")) == []


def test_splits_of_the_data_that_tear_groups_are_said(here: Path) -> None:
    write_images(here, [f"{number}.png" for number in range(18)])
    rows = [f"{n}.png,{'ab'[n % 2]},{('train', 'train', 'test')[n // 2 % 3]},rec {n // 2 if n < 8 else n % 2}" for n in range(18)]
    (here / "t.csv").write_text("\n".join(["path,label,split,group", *rows]))
    said = xmap("run", "t.csv", "--shots", "2", *METHODS)
    assert "2 groups are in several splits, such as 'rec " in said
    assert len(asked(TORN)) == 2
