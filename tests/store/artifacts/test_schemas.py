"""What manifests of each stage may say, and what is asked for before an artifact is used."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from tests.worlds.faults import Case
from xmap.store.artifacts.artifact import Store, read_artifact
from xmap.store.artifacts.manifest import MANIFEST, seal
from xmap.store.artifacts.schemas import oddity, stored_oddity
from xmap.store.artifacts.usable import NEEDED, usable
from xmap.store.errors import ArtifactDamaged

FROZEN = Path(__file__).resolve().parents[2] / "data" / "v1" / "store"


def manifest(stage: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(next(FROZEN.glob(f"{stage}/*/{MANIFEST}")).read_bytes())
    return found


def sealed(root: Path, changed: dict[str, Any]) -> Path:
    folder = root / str(changed["stage"]) / "x-12345678"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).write_bytes(seal(json.dumps({**changed, "checksum": ""}, indent=1, ensure_ascii=True).encode()))
    return folder


# For each stage a place in the summary and what may not stand there.
ODD: list[tuple[str, list[Any], Any]] = [
    ("images", ["classes"], None),
    ("images", ["classes"], [1, 2]),
    ("images", ["counts", "train"], -1),
    ("images", ["counts", "unknown"], 3),
    ("images", ["parts"], {"support-\u00b2": "x"}),
    ("texts", ["logit_scale"], 0),
    ("texts", ["logit_scale"], "100"),
    ("texts", ["classes"], []),
    ("cache", ["shots"], True),
    ("cache", ["entries"], 2**63),
    ("cache", ["effort"], "all"),
    ("cache", ["widths"], [4, 4]),
    ("cache", ["more_scales"], [1.0]),
    ("adapter", ["settings"], {"alpha": None}),
    ("adapter", ["settings"], [1.0]),
    ("adapter", ["selection", "grid"], {"alpha": [[]]}),
    ("adapter", ["peak_bytes"], 1e12),
    ("adapter", ["calibration"], {"temperature": 0.0, "samples": 1, "calibrated_on": "x"}),
    ("adapter", ["calibration"], {"temperature": -1.0, "samples": 1, "calibrated_on": "x"}),
    ("adapter", ["calibration"], {"temperature": 1e9, "samples": 1, "calibrated_on": "x"}),
    ("adapter", ["calibration"], {"temperature": 1.0}),
    ("adapter", ["kept"], {"samples": -1, "source": "x"}),
    ("adapter", ["kept"], {"samples": 1}),
    ("eval", ["results", 0, "temperatures"], [1.0] * 9),
    ("eval", ["results", 0, "class_samples"], [1]),
    ("eval", ["results", 0, "coverage_mean"], 90.0),
    ("eval", ["results"], None),
    ("eval", ["results", 0, "accuracy_ci95"], [1.0]),
    ("eval", ["results", 0, "accuracies"], [1.0] * 9),
    ("eval", ["results", 0, "per_class"], [1.0]),
    ("eval", ["results", 1, "method"], "zero-shot"),
    ("eval", ["differences", 0, "against"], "nobody"),
]


@pytest.mark.failure("received folder")
def test_an_odd_summary_is_damage_with_the_artifacts_name_and_hides_no_other(tmp_path: Path, case: Case) -> None:
    for stage, place, value in ODD:
        with case():
            changed = copy.deepcopy(manifest(stage))
            part = changed["summary"]
            for key in place[:-1]:
                part = part[key]
            part[place[-1]] = value
            folder = sealed(tmp_path, changed)
            with pytest.raises(ArtifactDamaged, match=r"x-12345678.*what its manifest says is odd") as caught:
                read_artifact(folder)
            assert "\n" not in str(caught.value)
            survey = Store(tmp_path).survey(stage)
            assert (survey.artifacts, list(survey.damaged)) == ([], [folder])


@pytest.mark.parametrize("stage", ["images", "texts", "cache", "adapter", "eval"])
def test_what_the_first_version_wrote_is_not_odd_and_usable(stage: str) -> None:
    for path in FROZEN.glob(f"{stage}/*/{MANIFEST}"):
        usable(read_artifact(path.parent))


@pytest.mark.failure("received folder")
@pytest.mark.parametrize("stage", ["images", "texts", "cache", "adapter", "eval"])
def test_a_summary_that_lacks_what_its_use_takes_is_read_and_not_used(tmp_path: Path, case: Case, stage: str) -> None:
    for name in NEEDED[stage]:
        with case():
            changed = manifest(stage)
            del changed["summary"][name]
            if name == "results":
                changed["summary"]["differences"] = []
            artifact = read_artifact(sealed(tmp_path, changed))
            with pytest.raises(ArtifactDamaged, match=f"x-12345678 is damaged: its summary lacks '{name}'"):
                usable(artifact)


@pytest.mark.failure("hostile manifest")
def test_what_no_manifest_says_is_refused_at_the_door(tmp_path: Path, case: Case) -> None:
    deep: Any = 1
    for _ in range(100):
        deep = [deep]
    entry = manifest("eval")["files"][0]
    changes: list[tuple[str, Any]] = [
        ("summary", {"x": deep}),
        ("summary", {"x": float("inf")}),
        ("seconds", 10**400),
        ("created", "9999-12-31T23:59:59-23:00"),
        ("versions", {"python": None}),
        ("files", [{**entry, "size": -1}]),
        ("files", [entry, entry]),
        ("files", [{**entry, "name": MANIFEST}]),
        ("source", None),
        ("source", ["data"]),
        ("source", {"data": "photos"}),
        ("source", {"data": {"labels": [["a.csv"]]}}),
        ("source", {"data": {"labels": ["a.csv", 1]}}),
        ("source", {"encoder": {"model": "x" * 10_001}}),
        ("source", {"features": 1}),
    ]
    for name, value in changes:
        with case(), pytest.raises(ArtifactDamaged):
            read_artifact(sealed(tmp_path, {**manifest("eval"), name: value}))


@pytest.mark.failure("hostile manifest")
def test_an_artifact_of_another_stage_than_its_folders_is_refused(tmp_path: Path) -> None:
    folder = sealed(tmp_path, manifest("eval"))
    moved = tmp_path / "images" / folder.name
    moved.parent.mkdir()
    folder.rename(moved)
    with pytest.raises(ArtifactDamaged, match="it says that it is of the stage 'eval'"):
        read_artifact(moved)


def test_a_stage_unknown_here_may_say_what_it_likes() -> None:
    assert oddity("another", {"version": []}, {"results": 1}) is None


@pytest.mark.parametrize("value", [[], "x", {}, {"method": 1}, None])
def test_odd_facts_beside_tensors_are_named(value: Any) -> None:
    assert "what its metadata says is odd" in str(stored_oddity(value))


@pytest.mark.failure("received folder")
@pytest.mark.parametrize(
    "filler", ["[" + "{}," * 20 + "{}]", "[" + "9," * 20 + "9]", "{" + '"x":0,' * 20 + '"y":0}', "[" * 15 + "]" * 15, '{"x":[{},{}]}']
)
@pytest.mark.parametrize("part", ["summary", "fields", "versions"])
def test_a_manifest_of_more_values_than_any_is_refused_before_it_is_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, filler: str
) -> None:
    """Three bytes of JSON may take a hundred in memory: one manifest of 60 MB took 6 GB, and every command with it."""
    changed = manifest("eval")
    most = len([sign for sign in json.dumps(changed) if sign in ",[{"])
    monkeypatch.setattr("xmap.store.disk.headers.VALUES", most + 3)
    folder = sealed(tmp_path, changed)
    assert read_artifact(folder).name == changed["name"]
    changed[part]["x"] = "@"
    folder = sealed(tmp_path, changed)
    (folder / MANIFEST).write_bytes((folder / MANIFEST).read_bytes().replace(b'"@"', filler.encode()))
    with pytest.raises(ArtifactDamaged, match="it has more than"):
        read_artifact(folder)
    assert len(Store(tmp_path).survey().damaged) == 1
