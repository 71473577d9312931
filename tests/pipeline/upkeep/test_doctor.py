"""Each thing that can be wrong is found and comes with a remedy; what crashes or hangs costs the doctor nothing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import xmap.pipeline.upkeep.doctor
from xmap.pipeline.settings.config import XmapConfig
from xmap.pipeline.upkeep.doctor import (
    CHECKS,
    Check,
    Finding,
    Patient,
    _batches,
    _disk,
    _faiss,
    _models,
    _packages,
    _probe,
    _python,
    _store,
    _together,
)
from xmap.store.artifacts.artifact import Draft, Store
from xmap.store.artifacts.identity import Identity
from xmap.store.artifacts.manifest import MANIFEST
from xmap.store.disk.files import write_bytes

WELL: dict[str, Any] = {"agree": True, "cuda": "12.8", "gpus": [], "faiss_gpus": 0, "kernel": "Zen", "speed": 1.1}


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    return Patient(Store(tmp_path / "store"), XmapConfig())


def one(check: Check, patient: Patient, part: str = "") -> Finding:
    (finding,) = (found for found in check(patient) if part in ("", found.part) and found.state != "ok")
    assert finding.remedy
    return finding


def answering(monkeypatch: pytest.MonkeyPatch, **answer: Any) -> None:
    monkeypatch.setattr(xmap.pipeline.upkeep.doctor, "_probe", lambda *_: {**WELL, **answer})


@pytest.mark.parametrize("check", [check for check in CHECKS.values() if check not in {_models, _disk, _together}])
def test_the_parts_of_this_machine_are_sound(patient: Patient, check: Check) -> None:
    assert all(finding.state == "ok" and not finding.remedy for finding in check(patient))


def test_an_old_python(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xmap.pipeline.upkeep.doctor.sys, "version_info", (3, 9, 1))
    assert one(_python, patient).remedy == "install Python 3.11 or newer"


def test_a_missing_package(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xmap.pipeline.upkeep.doctor, "LIBRARIES", ("pyarrow", "no-such-package"))
    assert one(_packages, patient).remedy == "pip install no-such-package"


@pytest.mark.parametrize(("names", "state"), [([], "not installed"), (["numpy", "pillow"], "installed over one another")])
def test_not_exactly_one_faiss(patient: Patient, monkeypatch: pytest.MonkeyPatch, names: list[str], state: str) -> None:
    monkeypatch.setattr(xmap.pipeline.upkeep.doctor, "packages_distributions", lambda: {"faiss": names})
    finding = one(_faiss, patient)
    assert finding.state == "problem"
    assert state in finding.found
    assert "pip install faiss-" in finding.remedy


def test_a_gpu_that_faiss_or_torch_does_not_see(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, gpus=["H100"])
    assert "faiss-gpu" in one(_together, patient, "GPU").remedy
    answering(monkeypatch, cuda=None)
    monkeypatch.setattr(Path, "exists", lambda path: True)
    assert "torch build" in one(_together, patient, "GPU").remedy


def test_a_kernel_that_does_not_fit_the_processor(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, kernel="Prescott", speed=0.2)
    finding = one(_together, patient, "FAISS's kernel")
    assert (finding.state, "OPENBLAS_CORETYPE" in finding.remedy) == ("note", True)
    assert finding.found == "multiplies by the kernel Prescott of its OpenBLAS, at 0.2 times torch's speed"


@pytest.mark.parametrize("answer", [{"agree": False}, {"error": "the process died of signal 6: OMP: Error #15"}])
def test_a_clash_of_torch_and_faiss(patient: Patient, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]) -> None:
    answering(monkeypatch, **answer)
    finding = one(_together, patient, "torch with faiss")
    assert (finding.state, "fresh environment" in finding.remedy) == ("problem", True)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("import os; os.abort()", "the process died of signal 6"),
        ("import sys; sys.exit('OMP: Error #15')", "ended with exit code 1: OMP: Error #15"),
        ("print('no json')", "ended with exit code 0"),
        ("print('[]')", "ended with exit code 0"),
        ("import time; time.sleep(60)", "no answer within 1 s"),
    ],
)
def test_a_probe_that_dies_or_hangs_is_an_answer(monkeypatch: pytest.MonkeyPatch, script: str, said: str) -> None:
    real = subprocess.run

    def run(command: list[str], **options: Any) -> Any:
        return real([command[0], "-c", script], **options)

    monkeypatch.setattr(xmap.pipeline.upkeep.doctor, "PATIENCE_SECONDS", 1 if "sleep" in script else 60)
    monkeypatch.setattr(subprocess, "run", run)
    assert said in _probe("libraries")["error"]


def test_models_that_are_not_there(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny, absent = {"error": "cannot load model"}, {"error": "cannot get the weights of it (offline)", "kind": "InputError"}
    answers: Iterator[dict[str, Any]] = iter(
        [
            {"models": [tiny, absent]},
            {"models": [{"name": "xmap-tiny", "width": 128}, {"error": "unknown model 'x'", "kind": "InputError"}]},
            {"error": "the process died of signal 9: killed", "kind": "Crash"},
        ]
    )
    monkeypatch.setattr(xmap.pipeline.upkeep.doctor, "_probe", lambda *_: next(answers))
    for states in (["problem", "note"], ["ok", "problem"], ["problem", "problem"]):
        assert [finding.state for finding in _models(patient)] == states


WHERE = {"name": "xmap-tiny", "device": "cpu", "threads": 2, "alike": True, "holds": True}


@pytest.mark.parametrize(
    ("answer", "state", "said"),
    [
        (WHERE, "ok", "a row of xmap-tiny in batches of 64 on cpu with 2 threads does not depend on its neighbours"),
        ({**WHERE, "alike": False}, "ok", "depend on its neighbours; one thread would give other last bits"),
        ({**WHERE, "holds": False, "device": "H100"}, "note", "in batches of 64 on H100 depends on its neighbours"),
        ({"error": "no answer within 180 s", "kind": "Timeout"}, "note", "no answer within 180 s whether rows depend"),
        ({"error": "--device cuda: torch sees no GPU", "kind": "InputError"}, "problem", "torch sees no GPU"),
    ],
)
def test_rows_that_may_depend_on_their_batch(
    patient: Patient, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any], state: str, said: str
) -> None:
    monkeypatch.setattr(xmap.pipeline.upkeep.doctor, "_probe", lambda *_: answer)
    (finding,) = _batches(patient)
    assert (finding.state, bool(finding.remedy)) == (state, state != "ok")
    assert said in finding.found


def test_little_room_and_no_permission(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xmap.pipeline.upkeep.doctor, "free_bytes", lambda folder: 1000)
    monkeypatch.setattr(os, "access", lambda *_: False)
    findings = list(_disk(patient))
    assert findings[0].state == "problem"
    assert "--store DIR" in findings[0].remedy
    assert {finding.state for finding in findings[1:]} == {"note"}


def test_what_is_wrong_in_the_store(patient: Patient) -> None:
    for name in ("sound", "cut", "newer", "begun"):
        with patient.store.build(Identity("images", name, {})) as draft:
            assert isinstance(draft, Draft)
            write_bytes(draft.path / "data", b"x")
            if name != "begun":
                draft.commit()
    for name, text in (("cut", "{"), ("newer", '{"schema_version": 7}')):
        next(patient.store.root.glob(f"images/{name}-*/{MANIFEST}")).write_text(text)
    first, *rest = _store(patient)
    assert first.found.startswith("1 finished artifacts of schema version 1")
    assert [finding.state for finding in rest] == ["problem", "problem", "note"]
    assert "it is not JSON; delete" in rest[0].found
    assert "schema version 7, this xmap reads 1; delete" in rest[1].found
    assert "xmap gc" in rest[2].remedy
