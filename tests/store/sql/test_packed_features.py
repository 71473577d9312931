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
from xmap.store.errors import ArtifactDamaged
from xmap.store.formats.feature_rows import Rows
from xmap.store.formats.features import read_images, write_errors
from xmap.store.formats.packs import PACK_REMEDY, Packs, pack_keys
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
        write_samples(folder / "train-00000.parquet", written, "train", "f", (plain.name, augmented.name))
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
        # That it cannot be read is told at once, whose rows it had once somebody asks for them.
        odd, *lost_rows = connection.damaged
    assert isinstance(odd, ArtifactDamaged)
    assert (odd.path, odd.remedy) == (str(lost), PACK_REMEDY)
    said = [str(error).partition(" is damaged: ")[2].partition(";")[0] for error in lost_rows]
    assert said == ["2 rows of features that it refers to are not there"]


FEATURES = "SELECT sum(feature[1]) FROM features"
PACKED = (FEATURES, "FROM unused", 'SELECT * FROM "Features" LIMIT 1', "EXPLAIN FROM features", "WITH x AS (FROM main.features) FROM x")


@pytest.mark.failure("flipped bit")
def test_a_flipped_bit_in_a_pack_is_no_other_number(root: Path) -> None:
    """Where nobody has read it yet, and after somebody has: what the views do not read of it is as good as before."""
    (damaged,) = packs(root, "one", 2).paths()
    with connect(root) as connection:
        ((right,),) = rows(connection, FEATURES)
    data = bytearray(damaged.read_bytes())
    data[pq.read_metadata(damaged).row_group(0).column(2).data_page_offset + 40] ^= 0x40
    damaged.write_bytes(data)
    for _ in range(2):
        with connect(root) as connection:
            assert connection.damaged == ()
            assert rows(connection, "SELECT count(*) FROM samples WHERE dataset <> 'pets'") == [(6,)]
            for sql in PACKED:
                with pytest.raises(ArtifactDamaged, match="its bytes differ from those written") as caught:
                    connection.query(sql)
                assert (caught.value.path, caught.value.remedy) == (str(damaged), PACK_REMEDY)
    damaged.unlink()
    with connect(root) as connection:
        assert rows(connection, FEATURES)[0][0] < right
        (lost,) = connection.damaged
        assert "images/second-" in str(lost)
        assert "2 rows of features that it refers to are not there; run `xmap verify`" in str(lost)


@pytest.mark.failure("cut or missing file")
def test_rows_that_are_lost_are_told_once_and_only_to_who_asks_for_rows(root: Path) -> None:
    for path in packs(root, "one", 0).paths():
        path.unlink()
    with connect(root) as connection:
        connection.query("select * from samples")
        assert connection.damaged == ()
        for _ in range(2):
            connection.query(FEATURES)
            assert [(Path(str(found.path)).name.rpartition("-")[0], str(found).split(" rows")[0][-1]) for found in connection.damaged] == [
                ("first", "3"), ("second", "1"),
            ]  # fmt: skip


def test_packs_that_were_joined_are_neither_lost_nor_altered(root: Path) -> None:
    joined = packs(root, "one", 0)
    paths = joined.paths()
    assert len(paths) == 2
    joined.write(Rows.joined([joined.take(pack_keys(joined, path)) for path in paths]), paths)
    with connect(root) as connection:
        before = rows(connection, FEATURES)
        assert connection.damaged == ()
    for path in paths:
        path.unlink()
    with connect(root) as connection:
        assert rows(connection, FEATURES) == before
        assert connection.damaged == ()


def test_a_store_whose_packs_are_gone_has_samples_and_no_rows(root: Path) -> None:
    for folder in (root / "features").iterdir():
        for path in folder.iterdir():
            path.unlink()
    with connect(root) as connection:
        assert rows(connection, "SELECT DISTINCT dataset FROM features") == [("pets",)]
        assert rows(connection, "SELECT count(*) FROM samples WHERE dataset <> 'pets'") == [(3 + 1 + 2,)]
        assert len(connection.damaged) == 3


@pytest.mark.parametrize("name", ["it's", "a [b] * ?", "label=5", "\u05d0"])
def test_odd_names_of_models_and_folders(tmp_path: Path, name: str) -> None:
    root = tmp_path / name
    plain = packs(root, name, 1)
    keep(plain, {(A, 0): [1, 0]})
    add_samples(root, "first", plain, plain, [("a.png", 1, 0, A)])
    with connect(root) as connection:
        assert rows(connection, "SELECT sample_id, label, feature FROM features") == [("a.png", 1, [1, 0])]
