"""Peak memory is that of the work inside, not of the process's past; what is kept while a model works goes back when it has worked."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import xmap.stages.machine.memory
from xmap.stages.machine.memory import CLEAR, available_bytes, kept_memory, peak_memory
from xmap.store.disk.memory_limit import unclaimed_bytes

BIG = 200_000_000
SIZE = 64 << 20


@pytest.mark.skipif(not CLEAR.exists(), reason="this system cannot forget earlier peaks")
def test_only_the_work_inside_counts() -> None:
    with peak_memory("cpu") as quiet:
        pass
    with peak_memory("cpu") as busy:
        np.ones(BIG, np.uint8)
    with peak_memory("cpu") as after:
        pass
    assert quiet.peak_bytes
    assert busy.peak_bytes
    assert after.peak_bytes
    assert busy.peak_bytes - quiet.peak_bytes > 0.9 * BIG
    assert busy.peak_bytes - after.peak_bytes > 0.9 * BIG


def test_the_figure_is_there_when_the_work_fails() -> None:
    seen = []

    def fail() -> None:
        with peak_memory("cpu") as memory:
            seen.append(memory)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert seen[0].peak_bytes


def resident() -> int:
    """Bytes of this process that are in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts memory so")
def test_freed_memory_is_kept_inside_and_given_back_at_the_end() -> None:
    start = resident()
    with kept_memory("cpu"):
        torch.ones(SIZE, dtype=torch.uint8)
        inside = resident()
    after = resident()
    assert inside - start > SIZE // 2
    assert after - start < SIZE // 2


def test_a_gpu_or_an_error_inside_is_no_matter() -> None:
    with kept_memory("cuda"):
        pass
    with pytest.raises(ValueError, match="inside"), kept_memory("cpu"):
        raise ValueError("inside")


def test_what_is_free_is_the_least_of_the_machine_and_the_groups_around_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own").write_text("0::/box\n")
    (tmp_path / "box").mkdir()
    monkeypatch.setattr(xmap.stages.machine.memory, "unclaimed_bytes", partial(unclaimed_bytes, tmp_path, tmp_path / "own"))
    free = available_bytes()
    assert free
    (tmp_path / "box" / "memory.current").write_text("3000\n")
    for limit, left in (("4000", 1000), ("max", None), ("1000", 0)):
        (tmp_path / "box" / "memory.max").write_text(f"{limit}\n")
        found = available_bytes()
        assert found == left if left is not None else found is not None and found > 4000
