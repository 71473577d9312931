"""A second team of torch's threads is there while others need the cores, and changes nothing but how the first one waits."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from xmap.stages.machine.waiting import giving_way


@pytest.fixture
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("threads", "device", "more"), [(2, "cpu", 1), (1, "cpu", 0), (2, "cuda", 0)], indirect=["threads"])
def test_another_team_sleeps_until_the_block_ends(threads: None, device: str, more: int) -> None:
    before, wide = threading.active_count(), torch.randn(300, 70_000)
    alone = wide @ wide.T
    with giving_way(device):
        assert threading.active_count() == before + more
        assert torch.equal(wide @ wide.T, alone)
    assert threading.active_count() == before
    with pytest.raises(ValueError, match="inside"), giving_way(device):
        raise ValueError("inside")
    assert threading.active_count() == before
