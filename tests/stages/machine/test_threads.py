"""How many threads and processes load images."""

from __future__ import annotations

import pytest

import xmap.stages.machine.threads
from xmap.stages.machine.threads import FEW, MOST, TOGETHER, loading_processes, loading_threads


@pytest.mark.parametrize(("cores", "with_gpu"), [(1, TOGETHER), (2, TOGETHER), (8, 8), (64, MOST)])
def test_a_gpu_is_given_a_thread_for_each_core(cores: int, with_gpu: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xmap.stages.machine.threads, "_cores", lambda: cores)
    assert loading_threads("cuda", FEW + 1) == with_gpu
    assert loading_threads("cuda", FEW) == loading_threads("cpu", FEW + 1) == TOGETHER
    assert [loading_threads(device, FEW + 1, 3) for device in ("cpu", "cuda")] == [3, 3]
    assert loading_threads("cuda", 0, 0) == 0


def test_processes_help_where_a_gpu_waits_for_many_images() -> None:
    assert loading_processes("cuda", FEW + 1, TOGETHER + 1) == TOGETHER + 1
    assert loading_processes("cuda", FEW, 16) == 0
    assert loading_processes("cuda", 1_000_000, TOGETHER) == 0
    assert loading_processes("cpu", 1_000_000, 16) == 0


def test_there_is_a_core() -> None:
    assert xmap.stages.machine.threads._cores() >= 1
