"""Files beside the vectors: aligned by id where both sides have ids, else by row, else refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.worlds.imported import write_table
from xmap.stages.imports.listed import ListedColumn, ids_of, read_listed
from xmap.stages.imports.vectors import IDS, LABELS
from xmap.store.errors import InputError

NAMES = st.lists(st.text("abcdef/.0", min_size=1, max_size=6), unique=True, max_size=12)


@settings(max_examples=40, deadline=None)
@given(NAMES, st.randoms())
def test_values_follow_their_ids(names: list[str], random: object) -> None:
    shuffled = list(names)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    listed = ListedColumn("labels", pa.array([f"of {name}" for name in shuffled], pa.string()), pa.array(shuffled, pa.string()))
    assert listed.aligned(pa.array(names, pa.string()), len(names)).to_pylist() == [f"of {name}" for name in names]


@settings(max_examples=40, deadline=None)
@given(NAMES, NAMES)
def test_other_ids_are_named_and_counted(names: list[str], others: list[str]) -> None:
    listed = ListedColumn("labels", pa.array(others, pa.string()), pa.array(others, pa.string()))
    missing, extra = sorted(set(names) - set(others)), sorted(set(others) - set(names))
    if not missing and not extra:
        assert listed.aligned(pa.array(names, pa.string()), len(names)).to_pylist() == names
        return
    with pytest.raises(InputError) as caught:
        listed.aligned(pa.array(names, pa.string()), len(names))
    said = str(caught.value)
    assert ("lacks" in said, "that no vector has" in said) == (bool(missing), bool(extra))
    assert f"lacks {len(missing):,} id" in said or not missing
    assert f"has {len(extra):,} id" in said or not extra


@settings(max_examples=40, deadline=None)
@given(NAMES.filter(bool), st.integers(2, 4))
def test_an_id_that_is_there_twice_is_refused(names: list[str], times: int) -> None:
    ids = pa.array([*names, *[names[0]] * (times - 1)], pa.string())
    with pytest.raises(InputError, match=r"has 1 id .* more than once"):
        ListedColumn("labels", ids, ids).aligned(pa.array(names, pa.string()), len(names))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 9), st.integers(0, 9), st.booleans())
def test_by_row_where_a_side_has_no_ids_and_counts_are_equal(rows: int, count: int, ids: bool) -> None:
    listed = ListedColumn("labels", pa.array(range(rows)), pa.array(map(str, range(rows)), pa.string()) if ids else None)
    if rows == count:
        assert listed.aligned(None, count).to_pylist() == list(range(rows))
    else:
        with pytest.raises(InputError, match=f"labels has {rows} rows and there are {count} vectors"):
            listed.aligned(None, count)


@pytest.mark.parametrize("name", ["a.npy", "a.parquet", "a.arrow", "a.csv", "a.tsv"])
def test_every_kind_of_file_tells_labels(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "a.npy":
        np.save(path, np.asarray(["ant", "bee"]))
    elif name in ("a.csv", "a.tsv"):
        mark = "," if name == "a.csv" else "\t"
        path.write_text(f"file_name{mark}label\nx{mark}ant\ny{mark}bee\n")
    else:
        write_table(path, pa.table({"file_name": ["x", "y"], "label": ["ant", "bee"]}))
    found = read_listed(path, LABELS)
    assert found.values.to_pylist() == ["ant", "bee"]
    assert (found.ids is None) == (name == "a.npy")


def test_the_only_other_column_is_meant(tmp_path: Path) -> None:
    path = write_table(tmp_path / "a.parquet", pa.table({"id": [1, 2], "what it is": ["ant", "bee"]}))
    found = read_listed(path, LABELS)
    assert (found.values.to_pylist(), found.ids and found.ids.to_pylist()) == (["ant", "bee"], ["1", "2"])
    with pytest.raises(InputError, match="has no column 'label' but"):
        read_listed(write_table(tmp_path / "b.parquet", pa.table({"x": [1], "y": [2]})), LABELS)


def test_ids_are_texts_or_whole_numbers(tmp_path: Path) -> None:
    assert ids_of(pa.array([1, 2]), "a").to_pylist() == ["1", "2"]
    assert ids_of(pa.array(["e\u0301"]), "a").to_pylist() == ["\u00e9"]
    np.save(tmp_path / "ids.npy", np.asarray([0.5, 1.5]))
    with pytest.raises(InputError, match="its ids are double; give texts or whole numbers"):
        ids_of(read_listed(tmp_path / "ids.npy", IDS).values, "a")
    with pytest.raises(InputError, match=r"row 1 has the id '\\x00b', which .* \(2 rows have such\)"):
        ids_of(pa.array(["a", "\0b", " "]), "a")
