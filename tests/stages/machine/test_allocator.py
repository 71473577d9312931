"""Memory that is kept while a model works goes back when it has worked."""

from __future__ import annotations

import sys

import pytest
import torch

from xmap.stages.machine.allocator import kept_memory

SIZE = 64 << 20


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
