"""The index that `auto` takes: exact where it can be, smaller codes as room runs out."""

from __future__ import annotations

import pytest

from xmap.stages.build_cache.index_choice import choose_index
from xmap.store.errors import InputError

MILLION = 1_000_000


@pytest.mark.parametrize(
    ("keys", "memory", "recall", "factory"),
    [
        (1, 4.0, 0.95, "Flat"),
        (16_000, 4.0, 0.95, "Flat"),
        (MILLION, 4.0, 1.0, "Flat"),
        (50_000, 4.0, 0.95, "Flat"),
        (50_001, 4.0, 0.95, "IVF1024,PQ256x4fs,Refine(SQfp16)"),
        (MILLION, 4.0, 0.95, "IVF4096,PQ256x4fs,Refine(SQfp16)"),
        (MILLION, 1.2, 0.95, "IVF4096,PQ256x4fs,Refine(SQfp16)"),
        (MILLION, 4.0, 0.99, "IVF4096,Flat"),
        (MILLION, 1.0, 0.95, "IVF4096,SQ8"),
        (MILLION, 1.0, 0.99, "IVF4096,PQ512"),
        (MILLION, 0.1, 0.95, "IVF4096,PQ64"),
        (16_000, 0.01, 0.95, "IVF256,SQ8"),
    ],
)
def test_the_choice_follows_keys_memory_and_recall(keys: int, memory: float, recall: float, factory: str) -> None:
    choice = choose_index(keys, 512, memory, recall)
    assert choice.factory == factory
    assert factory in choice.why
    assert "\n" not in choice.why


def test_what_fits_nowhere_is_refused_with_the_remedy() -> None:
    with pytest.raises(InputError, match="--index-memory"):
        choose_index(MILLION, 512, 0.01, 0.9)


def test_an_odd_width_has_no_codes_for_pairs_of_channels() -> None:
    assert choose_index(MILLION, 511, 4.0, 0.95).factory == "IVF4096,Flat"
