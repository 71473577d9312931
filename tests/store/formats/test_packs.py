"""Packs of feature rows against a slow dictionary: what is written is found, in the order asked for, and nothing else is."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xmap.store.artifacts.artifact import Store
from xmap.store.errors import ArtifactDamaged
from xmap.store.formats.feature_rows import Rows, keys_of
from xmap.store.formats.packs import Packs, all_packs, altered, is_whole

WIDTH = 3
# Among them such as numpy would cut or take for one another: zeros at either end.
CONTENTS = [byte * 32 for byte in ("00", "01", "ff", "a0")] + ["00" * 31 + "01", "01" + "00" * 31]
Row = tuple[str, int]
some_rows = st.lists(st.tuples(st.sampled_from(CONTENTS), st.sampled_from([0, 1, 2, 255, 256, 32767])), max_size=9, unique=True)


def feature(row: Row) -> list[float]:
    return [float(CONTENTS.index(row[0])), float(row[1]), 0.5]


def rows_of(rows: list[Row]) -> Rows:
    features = np.asarray([feature(row) for row in rows], np.float32).reshape(-1, WIDTH)
    return Rows([content for content, _ in rows], np.asarray([view for _, view in rows], np.int16), features)


def keys(rows: list[Row]) -> np.ndarray:
    return keys_of([content for content, _ in rows], np.asarray([view for _, view in rows], np.int16))


@pytest.fixture
def packs(tmp_path: Path) -> Packs:
    return Packs.of(tmp_path, "model", {"version": 2})


@settings(max_examples=60)
@given(st.lists(some_rows, max_size=4), some_rows, st.randoms(use_true_random=False))
def test_what_is_written_is_there_and_comes_back_in_the_order_asked_for(written: list[list[Row]], asked: list[Row], draw: object) -> None:
    with tempfile.TemporaryDirectory() as folder:
        packs = Packs.of(Path(folder), "model", {})
        there: dict[Row, list[float]] = {}
        for rows in written:
            packs.write(rows_of(rows))
            there |= {row: feature(row) for row in rows}
        assert packs.has(keys(asked)).tolist() == [row in there for row in asked]
        wanted = list(there)
        draw.shuffle(wanted)  # type: ignore[attr-defined]
        found = packs.gather(keys([*wanted, *wanted[:2]]))
        assert found.tolist() == [there[row] for row in [*wanted, *wanted[:2]]]
        if any(row not in there for row in asked):
            with pytest.raises(ArtifactDamaged, match=r"rows of features are not there; run `xmap verify`"):
                packs.gather(keys(asked))


def test_the_same_rows_are_one_file_and_no_file_is_ever_another(packs: Packs) -> None:
    packs.write(rows_of([(CONTENTS[0], 0)]))
    (first,) = packs.paths()
    inode = first.stat().st_ino
    packs.write(rows_of([(CONTENTS[0], 0)]))
    packs.write(rows_of([(CONTENTS[1], 0)]))
    assert len(packs.paths()) == 2
    assert first.stat().st_ino == inode
    assert list(altered(packs)) == []


def test_rows_to_be_written_elsewhere_keep_their_order_each_once(packs: Packs) -> None:
    every = [(content, view) for content in CONTENTS for view in (0, 256)]
    packs.write(rows_of(every))
    asked = [every[place] for place in (7, 2, 7, 0, 11, 2)]
    found = packs.take(keys(asked))
    once = list(dict.fromkeys(asked))
    assert list(zip(found.contents, found.views.tolist(), strict=True)) == once
    assert found.features.tolist() == [feature(row) for row in once]


def test_makers_are_apart(tmp_path: Path) -> None:
    one, other = (Packs.of(tmp_path, "a/../b", {"version": number}) for number in (1, 2))
    one.write(rows_of([(CONTENTS[0], 0)]))
    assert not other.has(keys([(CONTENTS[0], 0)])).any()
    assert [found.name for found in all_packs(Store(tmp_path))] == [one.name]
    assert one.folder.parent == tmp_path / "features"


def test_reasons_come_back_and_are_no_rows(packs: Packs) -> None:
    reasons = {CONTENTS[0]: ("truncated", "cut"), CONTENTS[1]: ("damaged", "<b>\n\u05d0")}
    packs.write_reasons(reasons)
    packs.write_reasons({CONTENTS[2]: ("empty", "the file has 0 bytes")})
    assert packs.reasons() == {**reasons, CONTENTS[2]: ("empty", "the file has 0 bytes")}
    assert packs.paths() == []
    assert not packs.has(keys([(CONTENTS[0], 0)])).any()
    packs.paths(bad=True)[0].write_bytes(b"cut")
    assert len(packs.reasons()) in (1, 2)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: os.truncate(path, 40),
    "empty": lambda path: os.truncate(path, 0),
    "no table": lambda path: path.write_text("no table"),
    "link": lambda path: (shutil.move(path, path.with_name("away")), path.symlink_to("away")),
    "pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "folder": lambda path: (path.unlink(), path.mkdir()),
    "nowhere": lambda path: (path.unlink(), path.symlink_to("nowhere")),
    "other columns": lambda path: pq.write_table(pa.table({"content": ["a"], "view": [1]}), path),
    "no value": lambda path: pq.write_table(
        pa.table({"content": pa.array([None], pa.binary(32)), "view": pa.array([None], pa.int16()), "feature": [[1.0]]}), path
    ),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_pack_has_no_rows_is_named_and_closes_no_other(packs: Packs, damage: str) -> None:
    for content in CONTENTS[:2]:
        packs.write(rows_of([(content, 0)]))
    lost = next(path for path in packs.paths() if pq.read_table(path)["content"][0].as_py().hex() == CONTENTS[0])
    DAMAGE[damage](lost)
    assert list(altered(packs)) == [lost]
    assert not is_whole(packs, lost)
    assert packs.has(keys([(CONTENTS[0], 0), (CONTENTS[1], 0)])).tolist() == [False, True]
    assert lost not in packs.sound()[0] or damage in ("no value",)
    with pytest.raises(ArtifactDamaged):
        packs.gather(keys([(CONTENTS[0], 0)]))


@pytest.mark.parametrize("damage", ["cut", "empty", "no table", "link", "pipe", "nowhere"])
def test_a_damaged_pack_is_written_anew_and_found_by_the_same_process(packs: Packs, damage: str) -> None:
    packs.write(rows_of([(CONTENTS[0], 0)]))
    DAMAGE[damage](packs.paths()[0])
    assert not packs.has(keys([(CONTENTS[0], 0)])).any()
    packs.write(rows_of([(CONTENTS[0], 0)]))
    assert list(altered(packs)) == []
    assert packs.has(keys([(CONTENTS[0], 0)])).all()
    assert packs.gather(keys([(CONTENTS[0], 0)])).tolist() == [feature((CONTENTS[0], 0))]


def test_a_flipped_bit_of_a_vector_is_never_given_out(packs: Packs) -> None:
    packs.write(rows_of([(CONTENTS[0], 0)]))
    (path,) = packs.paths()
    whole = path.read_bytes()
    for position in range(4, len(whole) - 8, 7):
        data = bytearray(whole)
        data[position] ^= 16
        path.write_bytes(data)
        assert list(altered(packs)) == [path]
        try:
            assert packs.gather(keys([(CONTENTS[0], 0)])).tolist() == [feature((CONTENTS[0], 0))]
        except ArtifactDamaged:
            continue


def test_names_that_are_no_packs_are_passed_over(packs: Packs, tmp_path: Path) -> None:
    packs.write(rows_of([(CONTENTS[0], 0)]))
    for name in ("x.parquet", f"{'0' * 64}.parquet.partial", f"{'g' * 64}.parquet", f"bad-{'0' * 63}.parquet", "notes.txt"):
        (packs.folder / name).write_text("odd")
    (tmp_path / "features" / "odd").mkdir()
    (tmp_path / "features" / "model-0123456789abcdef").write_text("a file")
    (tmp_path / "features" / "link-0123456789abcdef").symlink_to(packs.folder)
    assert len(packs.paths()) == 1
    assert packs.paths(bad=True) == []
    assert [found.name for found in all_packs(Store(tmp_path))] == [packs.name]


def test_vectors_of_another_width_are_refused(packs: Packs) -> None:
    packs.write(rows_of([(CONTENTS[0], 0)]))
    packs.write(Rows([CONTENTS[1]], np.zeros(1, np.int16), np.zeros((1, 5), np.float32)))
    with pytest.raises(ArtifactDamaged, match="not as wide as those of other packs"):
        packs.gather(keys([(CONTENTS[0], 0), (CONTENTS[1], 0)]))


def test_a_store_without_packs_has_none(packs: Packs) -> None:
    assert (packs.paths(), packs.reasons(), list(altered(packs)), list(all_packs(Store(packs.root)))) == ([], {}, [], [])
    assert packs.has(keys([(CONTENTS[0], 0)])).tolist() == [False]
    assert packs.gather(keys([])).shape[0] == 0
