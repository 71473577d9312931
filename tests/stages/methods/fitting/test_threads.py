"""Small trainings take one thread, whatever the machine has; the caller's number comes back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from tests.worlds.small_task import WIDTH, small_task
from xmap.stages.methods import tip_adapter_f
from xmap.stages.methods.fitting.threads import SMALL, product_size, threads_for
from xmap.stages.methods.options import TipAdapterFOptions
from xmap.stages.methods.protocol import NoLog
from xmap.stages.methods.registry import METHODS
from xmap.stages.train.stage import fit


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("size", "threads"), [(0, 1), (SMALL - 1, 1), (SMALL, 3), (SMALL * 100, 3)])
def test_only_small_products_are_for_one_thread(size: int, threads: int) -> None:
    with threads_for(size):
        assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == 3


def test_the_number_comes_back_after_an_error() -> None:
    with pytest.raises(KeyError), threads_for(0):
        raise KeyError
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize("name", list(METHODS))
def test_the_size_is_that_of_the_task(name: str) -> None:
    options = METHODS[name].options()
    alone, judged = small_task([3, 3, 3]), small_task([1, 1, 1], validation=True)
    assert product_size(alone, options) == 2 * 9 * (9 + 3) * WIDTH
    assert product_size(judged, options) == 2 * 12 * (3 + 3) * WIDTH


def test_a_small_adapter_has_the_same_bytes_with_any_number_of_threads() -> None:
    task = small_task([3, 2, 4], validation=True)
    fitted = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        fitted.append(fit(tip_adapter_f, task, TipAdapterFOptions(epochs=2), NoLog()))
        assert torch.get_num_threads() == threads
    assert all(torch.equal(found.tensors["keys"], fitted[0].tensors["keys"]) for found in fitted)
    assert all(found.settings == fitted[0].settings for found in fitted)
