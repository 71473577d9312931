"""`xmap status`, `xmap show` and `xmap diff`: what is stored, what came from what, and why two things differ."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from tests.worlds.commands import call
from tests.worlds.inputs import write_photos
from xmap.cli.show import _short
from xmap.pipeline.upkeep.compare import _told
from xmap.store.artifacts.artifact import Store
from xmap.store.artifacts.fingerprint import Change

RUN = ("--model", "xmap-tiny", "--views", "0", "--batch-size", "4", "--workers", "0", "--seeds", "1,2", "--quiet")
METHODS = ("--methods", "zero-shot,tip-adapter")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs with one and with two shots."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("lineage")
    photos = write_photos(folder / "photos")
    for shots in (1, 2):
        done = call("run", "--data", photos, *RUN, *METHODS, "--shots", shots, "--store", folder / "store")
        assert done.exit_code == 0, done.output
    return folder / "store"


def test_status_is_a_tree_with_every_artifact_once(store: Path) -> None:
    printed = call("status", "--store", store).stdout
    artifacts = Store(store).artifacts()
    rows = [line for line in printed.splitlines() if any(found.fingerprint[:8] in line.split() for found in artifacts)]
    assert len(rows) == len(artifacts) == 17
    depth = {"images": 0, "texts": 0, "cache": 1, "pairs": 1, "eval": 1, "adapter": 2}
    for row in rows:
        stage = next(word for word in row.split() if word in depth)
        assert row.index(stage) == 1 + 3 * depth[stage]
    caches = [place for place, row in enumerate(rows) if "cache" in row.split()]
    for place in caches:
        seed, shots = rows[place].split("-seed")[1].split()[0], rows[place].split("xmap-tiny-")[1].split("shot")[0]
        for below in rows[place + 1 : place + 3]:
            assert f"{shots}shot-seed{seed}" in below, "adapters hang below their cache"


def test_status_as_json_names_what_each_was_made_from(store: Path) -> None:
    facts = json.loads(call("status", "--store", store, "--json").stdout)["artifacts"]
    stages = {row["fingerprint"]: row["stage"] for row in facts}
    made_from = {row["stage"]: sorted({stages[parent] for parent in row["made_from"]}) for row in facts}
    assert made_from == {
        "images": [],
        "texts": [],
        "cache": ["images", "texts"],
        "adapter": ["cache", "images", "texts"],
        "pairs": ["images"],
        "eval": ["adapter", "images", "texts"],
    }


def test_show_prints_a_manifest_for_people(store: Path) -> None:
    printed = call("show", "cache/photos-xmap-tiny-2shot-seed1", "--store", store).stdout
    for expected in (
        "fingerprint",
        "again with  xmap build-cache",
        "made from",
        "images photos-xmap-tiny",
        "shots",
        "image.faiss",
        "torch",
    ):
        assert expected in printed
    evaluation = call("show", "photos-xmap-tiny-2shot", "--store", store).stdout
    assert "adapter tip-adapter seed 2" in evaluation
    assert "paired 95 % interval" in evaluation
    manifest = json.loads(call("show", "photos-xmap-tiny-2shot", "--store", store, "--json").stdout)
    assert manifest["stage"] == "eval"
    assert call("show", manifest["fingerprint"][:10], "--store", store).stdout == evaluation


def test_diff_finds_the_first_cause_and_the_results(store: Path) -> None:
    facts = json.loads(call("diff", "eval/photos-xmap-tiny-1shot", "eval/photos-xmap-tiny-2shot", "--store", store, "--json").stdout)
    assert facts["causes"] == [{"stage": "cache", "field": "shots", "a": 1, "b": 2}], "the cause, and nothing that follows from it"
    results = {row["field"]: (row["a"], row["b"]) for row in facts["results"]}
    assert results["tip-adapter.shots"] == (1, 2)
    assert not any("seconds" in field or "ms_per" in field for field in results)
    printed = call("diff", "photos-xmap-tiny-tip-adapter-2shot-seed1", "photos-xmap-tiny-tip-adapter-2shot-seed2", "--store", store).stdout
    assert "what made them differ" in printed
    assert "seed" in printed
    same = call("diff", "photos-xmap-tiny-2shot", "eval/photos-xmap-tiny-2shot", "--store", store).stdout
    assert "they are the same artifact" in same


def test_what_one_has_not_and_the_other_has_as_nothing_is_no_difference() -> None:
    assert _told({"a": None, "b": 1, "c": {"d": None}}, {"b": 2}) == [Change("b", 1, 2)]


def test_a_lost_input_is_a_cause_by_itself(store: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(store, tmp_path / "store")
    for found in Store(tmp_path / "store").artifacts("cache"):
        shutil.rmtree(found.path)
    words = ("photos-xmap-tiny-tip-adapter-1shot-seed1", "photos-xmap-tiny-tip-adapter-2shot-seed1")
    facts = json.loads(call("diff", *words, "--store", tmp_path / "store", "--json").stdout)
    assert [row["field"] for row in facts["causes"]] == ["made from cache"]
    assert "not in this store" in call("show", words[0], "--store", tmp_path / "store").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", "nothing-so"), "no stored artifact 'nothing-so'"),
        (("show", "photos-xmap-tiny"), "is the name of several artifacts: images"),
        (("diff", "images/photos-xmap-tiny", "texts/photos-xmap-tiny"), "compare two of one stage"),
    ],
)
def test_wrong_use_is_one_sentence(store: Path, words: tuple[str, ...], said: str) -> None:
    result = call(*words, "--store", store)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_several_fingerprints_that_begin_alike_are_listed(store: Path) -> None:
    first = {found.fingerprint[0] for found in Store(store).artifacts()}
    several = next(digit for digit in first if sum(found.fingerprint[0] == digit for found in Store(store).artifacts()) > 1)
    result = call("show", several, "--store", store)
    assert result.exit_code == 2
    assert "give more digits" in result.stderr


def test_long_values_are_cut_whatever_they_are() -> None:
    assert _short(10**200).endswith("0... (201 in all)")
    assert _short(["name"] * 100).endswith("... (100 in all)")
    assert _short("a" * 200).endswith("a... (200 in all)")


def test_show_tells_what_was_given_and_what_was_chosen(store: Path, tmp_path: Path) -> None:
    shutil.copytree(store, tmp_path / "store")
    photos = store.parent / "photos"
    given = ("--set", "methods.tip-adapter.alpha=2", "--set", "methods.tip-adapter.beta=1,2,4")
    done = call("run", "--data", photos, *RUN, *METHODS, "--shots", 2, "--store", tmp_path / "store", *given)
    assert done.exit_code == 0, done.output
    found = next(one for one in reversed(Store(tmp_path / "store").artifacts("adapter")) if one.summary["method"] == "tip-adapter")
    lines = {
        line.split()[0]: line for line in call("show", found.fingerprint, "--store", tmp_path / "store").stdout.splitlines() if line.strip()
    }
    assert "fixed: 2 was given" in lines["alpha"]
    assert "grid given: 1, 2, 4" in lines["beta"]
    old = next(one for one in Store(store).artifacts("adapter") if one.summary["method"] == "tip-adapter" and one.summary["shots"] == 2)
    assert old.fingerprint != found.fingerprint
    printed = call("show", old.fingerprint, "--store", store).stdout
    assert "chosen from" in printed
