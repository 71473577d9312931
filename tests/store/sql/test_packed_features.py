"""The views over features that lie in packs: each sample's own row, of the maker that its table names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.worlds.questions import add_images, built, rows
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.artifacts.identity import Identity
from xmap.store.formats.features import read_images, write_errors
from xmap.store.formats.packs import Packs, Rows
from xmap.store.formats.samples import Samples, write_samples
from xmap.store.formats.tables import write_table
from xmap.store.sql.connection import connect

A, B, C = "aa" * 32, "bb" * 32, "00" * 32
Sample = tuple[str, int, int, str]
# Those of samples that have one.
GROUPS = {"a.png": "dusk", "b.png": 'it\'s "one"'}


def packs(root: Path, name: str, number: int) -> Packs:
    return Packs.of(root, name, {"number": number})


def keep(found: Packs, features: Mapping[tuple[str, int], Sequence[float]]) -> None:
    views = np.asarray([view for _, view in features], np.int16)
    found.write(Rows([content for content, _ in features], views, np.asarray(list(features.values()), np.float32)))


def add_samples(root: Path, name: str, plain: Packs, augmented: Packs, samples: Sequence[Sample]) -> Artifact:
    """Image features whose rows (sample id, label, view, content) are in packs."""

    def fill(folder: Path) -> None:
        ids, labels, views, contents = zip(*samples, strict=True)
        groups, sources = [GROUPS.get(name, "") for name in ids], [f"of {name}" for name in ids]
        written = Samples(ids, np.asarray(labels, np.int32), np.asarray(views, np.int16), contents, groups, sources)
        write_samples(folder / "train-00000.parquet", written, "train", "f", plain, augmented)
        write_errors(folder / "errors.parquet", [], "f")

    about = {"classes": ["ant", "bee"], "dataset": name, "features": [plain.name, augmented.name]}
    return built(root, Identity("images", name, {"name": name}), fill, about)


def add_table(root: Path, name: str, table: pa.Table) -> None:
    """Image features that are this table of samples."""
    labels = {key.decode(): value.decode() for key, value in table.schema.metadata.items() if key.startswith(b"xmap.")}

    def fill(folder: Path) -> None:
        write_table(folder / "train-00000.parquet", table, "f", labels)
        write_errors(folder / "errors.parquet", [], "f")

    built(root, Identity("images", name, {"name": name}), fill, {"classes": ["ant", "bee"], "dataset": name})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two encoders and two view seeds of the same images, and imported features beside."""
    one, seed_1, seed_2, two = (packs(tmp_path, name, number) for number, name in enumerate(["one", "one", "one", "two"]))
    keep(one, {(A, 0): [1, 0], (B, 0): [2, 0]})
    keep(one, {(C, 0): [3, 0]})
    keep(seed_1, {(A, 1): [1, 1], (A, 2): [1, 2]})
    keep(seed_2, {(A, 1): [1, 11], (A, 2): [1, 12]})
    keep(two, {(C, 0): [30, 30, 30], (A, 0): [10, 10, 10]})
    views = [("a.png", 0, view, A) for view in range(3)]
    add_samples(tmp_path, "first", one, seed_1, [*views, ("b.png", 1, 0, B), ("again.png", 1, 0, B)])
    add_samples(tmp_path, "second", one, seed_2, [("x.png", 1, 0, C), ("x.png", 1, 1, A), ("y.png", 0, 2, A)])
    add_samples(tmp_path, "third", two, seed_1, [("z.png", 0, 0, A), ("z.png", 0, 0, C)])
    add_images(tmp_path)
    return tmp_path


FIRST = [
    ("a.png", 0, "ant", 0, [1, 0]),
    ("a.png", 0, "ant", 1, [1, 1]),
    ("a.png", 0, "ant", 2, [1, 2]),
    ("again.png", 1, "bee", 0, [2, 0]),
    ("b.png", 1, "bee", 0, [2, 0]),
]


def test_each_sample_has_the_row_of_its_own_maker(root: Path) -> None:
    sql = "SELECT sample_id, label, class_name, view, feature FROM features WHERE dataset = '{}' ORDER BY sample_id, view, feature"
    with connect(root) as connection:
        assert rows(connection, sql.format("first")) == FIRST
        assert rows(connection, sql.format("second")) == [
            ("x.png", 1, "bee", 0, [3, 0]), ("x.png", 1, "bee", 1, [1, 11]), ("y.png", 0, "ant", 2, [1, 12]),
        ]  # fmt: skip
        assert rows(connection, sql.format("third")) == [("z.png", 0, "ant", 0, [10] * 3), ("z.png", 0, "ant", 0, [30] * 3)]
        assert rows(connection, "SELECT count(*), sum(len(feature)) FROM features WHERE dataset = 'pets'") == [(4, 16)]
        assert rows(connection, "SELECT DISTINCT split FROM features ORDER BY split") == [("test",), ("train",)]
        assert connection.damaged == ()


def test_samples_are_seen_without_their_rows(root: Path) -> None:
    with connect(root) as connection:
        sql = "SELECT sample_id, class_name FROM samples WHERE dataset = 'first' ORDER BY sample_id"
        assert rows(connection, sql) == [("a.png", "ant"), ("again.png", "bee"), ("b.png", "bee")]


def test_samples_tell_what_belongs_together_and_where_the_bytes_are(root: Path) -> None:
    """Of imported features and of tables of before there were groups both are null."""
    path = Store(root).artifacts("images")[0].files("train-")[0]
    table = pq.read_table(path).drop_columns(["group", "source"])
    add_table(root, "before", table)
    with connect(root) as connection:
        told = rows(connection, "SELECT sample_id, content, \"group\", source FROM samples WHERE dataset = 'first' ORDER BY sample_id")
        assert told == [
            ("a.png", A, "dusk", "of a.png"), ("again.png", B, None, "of again.png"), ("b.png", B, "it's \"one\"", "of b.png")
        ]  # fmt: skip
        assert rows(connection, "SELECT DISTINCT \"group\", source, content IS NULL FROM samples WHERE dataset = 'before'") == [
            (None, None, False)
        ]
        assert rows(connection, "SELECT DISTINCT \"group\", source, content FROM samples WHERE dataset = 'pets'") == [(None, None, None)]
        assert rows(connection, "SELECT count(*) FROM features WHERE dataset = 'before'") == [(5,)]
        assert connection.damaged == ()


def test_the_view_says_what_is_read_elsewhere(root: Path) -> None:
    """DuckDB's join and the reader's search give the same rows."""
    with connect(root) as connection:
        for artifact in Store(root).artifacts("images"):
            found = read_images(artifact.files("train-"))
            sql = f"SELECT sample_id, view, feature FROM features WHERE artifact = 'images/{artifact.path.name}' AND split = 'train'"  # noqa: S608
            expected = sorted(zip(found.sample_ids, found.views.tolist(), found.features.tolist(), strict=True))
            assert sorted(rows(connection, sql)) == expected


def test_a_damaged_pack_leaves_the_other_rows(root: Path) -> None:
    lost = next(path for path in packs(root, "one", 1).paths())
    lost.write_bytes(b"no table")
    with connect(root) as connection:
        found = rows(connection, "SELECT sample_id, view FROM features WHERE dataset = 'first' ORDER BY sample_id, view")
        assert found == [("a.png", 0), ("again.png", 0), ("b.png", 0)]
        assert rows(connection, "SELECT count(*) FROM samples WHERE dataset = 'first'") == [(3,)]


def test_a_store_whose_packs_are_gone_has_samples_and_no_rows(root: Path) -> None:
    for folder in (root / "features").iterdir():
        for path in folder.iterdir():
            path.unlink()
    with connect(root) as connection:
        assert rows(connection, "SELECT DISTINCT dataset FROM features") == [("pets",)]
        assert rows(connection, "SELECT count(*) FROM samples WHERE dataset <> 'pets'") == [(3 + 1 + 2,)]


@pytest.mark.parametrize("name", ["it's", "a [b] * ?", "label=5", "\u05d0"])
def test_odd_names_of_models_and_folders(tmp_path: Path, name: str) -> None:
    root = tmp_path / name
    plain = packs(root, name, 1)
    keep(plain, {(A, 0): [1, 0]})
    add_samples(root, "first", plain, plain, [("a.png", 1, 0, A)])
    with connect(root) as connection:
        assert rows(connection, "SELECT sample_id, label, feature FROM features") == [("a.png", 1, [1, 0])]
