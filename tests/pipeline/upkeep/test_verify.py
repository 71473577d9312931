"""A share of the store read at a time: the longest unread first, so that a few runs read everything."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stages.fewshot.test_contents import rows_of, stored
from tests.worlds.few_shot import World
from xmap.pipeline.upkeep.verify import Unit, Verified, chosen, share_of, units_of, verify
from xmap.store.errors import InputError


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    for count in (1, 2, 3):
        stored(world, {"train": rows_of(f"train{count}", count)})
    return world


def read(world: World, share: Fraction) -> Verified:
    units = units_of(world.store)
    return verify(world.store, units, chosen(units, share), lambda files: None)


def test_as_many_runs_as_shares_read_everything_and_the_next_begins_again(world: World) -> None:
    everything = {unit.path for unit in units_of(world.store)}
    assert len(everything) > 3
    runs = [read(world, Fraction(1, 3)) for _ in range(3)]
    assert {unit.path for run in runs for unit in run.read} == everything
    assert all(len(run.read) < len(everything) for run in runs)
    assert (runs[0].oldest, runs[-1].oldest != "") == ("", True)
    later = units_of(world.store)
    assert all(unit.read for unit in later)
    assert all(first.read <= second.read for first, second in pairwise(later))


def test_what_is_damaged_or_was_built_anew_is_read_next(world: World) -> None:
    assert not read(world, Fraction(1)).problems
    pack = next(unit.path for unit in units_of(world.store) if unit.path.is_file())
    sound = pack.read_bytes()
    pack.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    assert len(read(world, Fraction(1)).problems) == 1
    assert [(run.problems != [], run.read[0].path) for run in [read(world, Fraction(1, 100))]] == [(True, pack)]
    pack.write_bytes(sound)
    folder = next(unit for unit in units_of(world.store) if unit.path.is_dir())
    assert folder.read
    manifest = folder.path / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:-9])
    first = units_of(world.store)[0]
    assert (first.path, first.read) == (folder.path, "")
    assert "is not JSON" in read(world, Fraction(1, 100)).problems[0]


@given(st.lists(st.integers(0, 1 << 40)), st.fractions(0, 1).filter(bool))
def test_a_share_has_at_least_its_bytes_and_nothing_more_than_it_needs(sizes: list[int], share: Fraction) -> None:
    units = [Unit(Path(str(place)), size, "") for place, size in enumerate(sizes)]
    count = chosen(units, share)
    assert sum(sizes[:count]) >= share * sum(sizes)
    assert count <= 1 or count == len(sizes) or sum(sizes[: count - 1]) < share * sum(sizes)
    assert count == len(sizes) or share < 1


@pytest.mark.parametrize(("text", "share"), [("1", 1), ("1/5", Fraction(1, 5)), ("0.2", Fraction(1, 5)), ("2/3", Fraction(2, 3))])
def test_a_share_is_a_fraction(text: str, share: Fraction) -> None:
    assert share_of(text) == share


@pytest.mark.parametrize("text", ["0", "-1/5", "6/5", "1/0", "a fifth", "", "nan", "inf", "1e999999999", "1 / 5", "٣/٥"])
def test_what_is_no_share_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(InputError, match="is no share of the store; give one as 1/5"):
        share_of(text)
