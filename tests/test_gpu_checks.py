"""The GPU checks, as far as a machine without one can run them: they pass against the CPU itself, and say what is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import checks


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_one_sentence_says_what_is_missing() -> None:
    ran = subprocess.run([sys.executable, "-m", "benchmarks.gpu"], capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1)
    assert "need an NVIDIA GPU" in ran.stderr


def test_the_cpu_gives_its_own_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "KEYS", 2000)
    monkeypatch.setattr(checks, "QUERIES", 20)
    monkeypatch.setattr(checks, "CLASSES", 20)
    monkeypatch.setattr(checks, "SEARCHED", {"Flat": 0.999, "IVF16,Flat": 0.99})
    found = [*checks.searches(lambda index: index), *checks.training("cpu")]
    assert len(found) == 6
    assert all(check.passed for check in found)


@pytest.mark.thorough
def test_ray_workers_give_the_shards_of_the_local_engine(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    (found,) = checks.engines(tmp_path, "cpu")
    assert found.passed
