"""Packs of few rows are joined: each row stays as it is, whenever the work is killed and whoever reads meanwhile."""

from __future__ import annotations

import json
import os
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xmap.pipeline.upkeep.compact
import xmap.store.formats.packs
from tests.stages.fewshot.test_contents import rows_of, stored
from tests.store.sql.test_packed_features import A, B, C, add_samples, keep
from tests.worlds.commands import call
from tests.worlds.faults import Points, in_child
from tests.worlds.few_shot import World
from tests.worlds.questions import built, rows
from xmap.pipeline.upkeep.compact import compact, scattered
from xmap.pipeline.upkeep.packs import unused, wrong
from xmap.store.artifacts.artifact import Store
from xmap.store.artifacts.identity import Identity
from xmap.store.artifacts.locks import at_work
from xmap.store.errors import StoreBusy
from xmap.store.formats.feature_rows import Rows, keys_of
from xmap.store.formats.packs import Packs, altered
from xmap.store.sql.connection import connect

FULL = 6
some_packs = st.lists(st.sets(st.integers(0, 25), min_size=1, max_size=9), max_size=9)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xmap.pipeline.upkeep.compact, "FULL", FULL)


def content(number: int) -> str:
    return f"{number:02x}" * 32


def write(packs: Packs, numbers: Sequence[int]) -> None:
    features = np.asarray([[number, number / 3] for number in numbers], np.float32)
    packs.write(Rows([content(number) for number in numbers], np.zeros(len(numbers), np.int16), features))


def gathered(packs: Packs, numbers: Sequence[int]) -> list[list[float]]:
    found: list[list[float]] = packs.gather(keys_of([content(number) for number in numbers], np.zeros(len(numbers)))).tolist()
    return found


@settings(max_examples=15, deadline=None)
@given(some_packs)
def test_each_row_is_there_once_as_it_was_in_packs_that_are_not_small(sets: list[set[int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store, packs = Store(folder), Packs.of(Path(folder), "model", {})
        for numbers in sets:
            write(packs, sorted(numbers))
        every = sorted(set().union(*sets))
        before = gathered(packs, every)
        compact(store)
        assert gathered(packs, every) == before
        assert list(altered(packs)) == []
        assert scattered(store) == []
        sizes = [len(xmap.store.formats.packs.pack_keys(packs, path)) for path in packs.paths()]
        # What was not small stays as it is, doubles and all; of what is left over one small pack.
        assert sum(2 * size < FULL for size in sizes) <= 1
        assert max(sizes, default=0) <= 9


@pytest.mark.promise
@pytest.mark.failure("killed")
def test_a_kill_at_any_write_point_loses_no_row_and_shows_none_twice(tmp_path: Path) -> None:
    def filled(name: str) -> Store:
        packs = Packs.of(tmp_path / name, "one", {})
        for numbers in ([0, 1], [2], [3, 4], [5], [6, 7, 8]):
            write(packs, numbers)
        samples = [(f"{number}.png", number % 2, 0, content(number)) for number in range(9)]
        add_samples(packs.root, "first", packs, packs, samples)
        return Store(packs.root)

    note = tmp_path / "points"

    def count() -> None:
        points, store = Points(), filled("counted")
        points.install()
        compact(store)
        note.write_text(str(points.passed))

    assert in_child(count) == 0
    for point in range(0, int(note.read_text()), 3):
        store = filled(f"at-{point}")

        def killed(store: Store = store, point: int = point) -> None:
            Points(point, lambda: os.kill(os.getpid(), signal.SIGKILL)).install()
            compact(store)

        assert in_child(killed) == -signal.SIGKILL
        packs = Packs.of(store.root, "one", {})
        assert gathered(packs, range(9)) == [[number, np.float32(number / 3)] for number in range(9)]
        assert wrong(store) == []
        with connect(store.root) as connection:
            assert rows(connection, "SELECT count(*), count(DISTINCT sample_id) FROM features") == [(9, 9)]
        compact(store)
        assert len(packs.paths()) == 2


def test_whoever_reads_meanwhile_finds_the_rows_where_they_are_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, packs = Store(tmp_path), Packs.of(tmp_path, "one", {})
    for number in range(4):
        write(packs, [number])
    real, left = xmap.store.formats.packs.pack_rows, [None]

    def joined_meanwhile(path: Path) -> object:
        if left:
            left.pop()
            compact(store)
        return real(path)

    monkeypatch.setattr(xmap.store.formats.packs, "pack_rows", joined_meanwhile)
    assert gathered(packs, range(4)) == [[number, np.float32(number / 3)] for number in range(4)]
    assert len(packs.paths()) == 1


def test_nothing_is_joined_while_somebody_works_and_no_altered_pack_ever(tmp_path: Path) -> None:
    store, packs = Store(tmp_path), Packs.of(tmp_path, "one", {})
    for number in range(4):
        write(packs, [number])
    with at_work(tmp_path), pytest.raises(StoreBusy):
        compact(store)
    lost = packs.paths()[0]
    lost.write_bytes(lost.read_bytes()[:-1])
    compact(store)
    assert lost in packs.paths()
    assert len(packs.paths()) == 2


def test_the_command_says_how_many_and_asks(own_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xmap.pipeline.upkeep.compact, "FULL", 100)
    world = World(own_store)
    images = [stored(world, {"train": rows_of("train", count)}) for count in (1, 2)]
    # What was made from both keeps them.
    inputs = {f"adapter {number}": found.fingerprint for number, found in enumerate(images)}
    built(own_store, Identity("eval", "toy", {}, inputs), lambda folder: None, {"results": []})
    assert "may be joined" not in call("gc").stdout
    shown = call("gc", "--compact")
    assert "2 packs of few rows into 1 may be joined" in shown.stdout
    assert "nothing was joined" in shown.stdout
    assert len(scattered(world.store)) == 1
    done = call("gc", "--compact", "--yes", "--json")
    assert json.loads(done.stdout)["joined"] == {"packs": 2, "into": 1}
    assert "joined 2 packs of few rows into 1" in done.stderr
    assert scattered(world.store) == wrong(world.store) == []
    assert "joined" not in call("gc", "--compact", "--yes").stderr


def test_images_in_no_data_set_are_seen_by_sql_and_counted_by_gc(tmp_path: Path, own_store: Path) -> None:
    one, seeds, other = (Packs.of(own_store, name, {"number": number}) for number, name in enumerate(["one", "one", "two"]))
    keep(one, {(A, 0): [1, 0], (B, 0): [2, 0]})
    keep(seeds, {(A, 1): [1, 1], (B, 1): [2, 1], (B, 2): [2, 2]})
    keep(other, {(C, 0): [3], (A, 0): [3]})
    with connect(own_store) as connection:
        assert rows(connection, "SELECT count(*) FROM unused") == [(6,)]
    assert unused(Store(own_store)) == 3
    # Of A the plain row is referred to: the image is in a data set, and so no row of it is listed.
    add_samples(own_store, "first", one, seeds, [("a.png", 0, 0, A)])
    with connect(own_store) as connection:
        listed = rows(connection, "FROM unused ORDER BY content, views")
    assert listed == [(C, 1, other.name), (B, 1, one.name), (B, 2, seeds.name)]
    assert unused(Store(own_store)) == 2
    assert "images that have features here and are in no data set: 2" in call("gc").stderr
    assert json.loads(call("gc", "--json").stdout)["unused"] == 2
