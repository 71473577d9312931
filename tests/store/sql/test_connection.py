"""SQL sees the views and nothing else, and changes nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from xmap.store.artifacts.artifact import Artifact, Draft, Identity, Store
from xmap.store.errors import QueryError
from xmap.store.files import write_bytes
from xmap.store.formats.features import ErrorRow, ImageFeatures, TextFeatures, write_errors, write_images, write_texts
from xmap.store.formats.log import NeighborColumn, write_affinity, write_predictions
from xmap.store.sql.columns import VIEWS
from xmap.store.sql.connection import Connection, connect

CLASSES = ["cat", 'it\'s a "dog"; <b>']
UNREAD = "not to be read"


def built(root: Path, identity: Identity, fill: Any, summary: dict[str, Any]) -> Artifact:
    with Store(root).build(identity) as draft:
        assert isinstance(draft, Draft)
        fill(draft.path)
        return draft.commit(summary)


def add_images(root: Path, name: str = "pets", dtype: type = np.float32, width: int = 4) -> Artifact:
    def fill(folder: Path) -> None:
        ids, labels = ("a/1.jpg", "a/1.jpg", "b/2.jpg"), np.array([0, 0, 1], np.int32)
        rows = ImageFeatures(ids, labels, np.array([0, 1, 0], np.int16), np.ones((3, width), dtype))
        write_images(folder / "train-00000.parquet", rows, "train", "f")
        write_images(folder / "test-00000.parquet", rows.take(np.array([2])), "test", "f")
        write_errors(folder / "errors.parquet", [ErrorRow("a/9.jpg", "train", "a/9.JPG", "empty", "the file has 0 bytes")], "f")

    return built(root, Identity("images", name, {"name": name}), fill, {"classes": CLASSES, "dataset": name})


def fill_store(root: Path) -> dict[str, Artifact]:
    images = add_images(root)
    texts_rows = TextFeatures(np.array([0, 1], np.int32), tuple(CLASSES), ("a {}.",) * 2, np.ones((2, 4), np.float32))
    texts = built(
        root,
        Identity("texts", "pets", {}),
        lambda folder: write_texts(folder / "texts.parquet", texts_rows, "f"),
        {"classes": CLASSES, "dataset": "pets"},
    )
    shared = {"method": "xmadapter", "seed": 1, "sample_id": ["b/2.jpg"], "label": np.array([1]), "predicted": np.array([0])}

    def train(folder: Path) -> None:
        write_affinity(
            folder / "affinity" / "train.parquet", {**shared, "run": "r", "split": "train", "epoch": 3, "loss": np.array([0.5])}, "f"
        )

    adapter = built(root, Identity("adapter", "pets-xm", {}, {"texts": texts.fingerprint}), train, {})
    neighbors = NeighborColumn(np.array([[1, 0]]), np.array([[0.9, 0.1]]), ["a/1.jpg", "b/3.jpg"], np.array([0, 1]))
    result = {
        "method": "xmadapter", "shots": 4, "seeds": [1, 2], "accuracies": [50.0, 60.0], "accuracy_mean": 55.0,
        "accuracy_ci95": [40.0, 70.0],
        "ci_kind": "student-t over seeds", "trials": 9, "train_seconds": 1.5, "per_class": [1.0, None],
    }  # fmt: skip

    def evaluate(folder: Path) -> None:
        write_affinity(
            folder / "affinity" / "test.parquet", {**shared, "run": "r", "split": "test", "epoch": 0, "neighbors": neighbors}, "f"
        )
        write_predictions(
            folder / "predictions.parquet", {**shared, "run": "r", "top5": np.array([[0, 1]]), "zero_shot": np.array([1])}, "f"
        )
        write_bytes(folder / "metrics.json", b"{}")

    inputs = {"texts": texts.fingerprint, "adapter xmadapter seed 1": adapter.fingerprint}
    evaluation = built(root, Identity("eval", "pets", {}, inputs), evaluate, {"results": [result]})
    return {"images": images, "texts": texts, "adapter": adapter, "eval": evaluation}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Artifact]]:
    root = tmp_path_factory.mktemp("filled") / "store"
    artifacts = fill_store(root)
    (root / "secret.csv").write_text(UNREAD)
    return root, artifacts


@pytest.fixture
def open_store(filled: tuple[Path, dict[str, Artifact]]) -> Iterator[Connection]:
    with connect(filled[0]) as connection:
        yield connection


def rows(connection: Connection, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in connection.query(sql).to_pylist()]


# ---- views


def types_of(connection: Connection, view: str) -> dict[str, str]:
    return {row["column_name"]: row["column_type"] for row in connection.query(f"DESCRIBE {view}").to_pylist()}


def test_an_empty_store_has_all_views_without_rows(tmp_path: Path) -> None:
    with connect(tmp_path / "nothing") as connection:
        for name in VIEWS:
            assert rows(connection, f"FROM {name}") == []


@pytest.mark.parametrize("view", VIEWS)
def test_columns_and_types_are_the_documented_ones_empty_and_filled(open_store: Connection, tmp_path: Path, view: str) -> None:
    documented = {name: kind for name, (kind, _) in VIEWS[view].columns.items()}

    def plain(kind: str) -> str:
        return kind.replace('"', "")

    with connect(tmp_path / "nothing") as empty:
        assert {name: plain(kind) for name, kind in types_of(empty, view).items()} == documented
    assert {name: plain(kind) for name, kind in types_of(open_store, view).items()} == documented
    assert rows(open_store, f"FROM {view}") != []
    assert all(meaning for _, meaning in VIEWS[view].columns.values())


def test_bad_images_are_rows_with_their_reason(open_store: Connection) -> None:
    row = open_store.query("from errors").to_pylist()[0]
    assert row.pop("artifact").startswith("images/")
    expected = {"sample_id": "a/9.jpg", "split": "train", "path": "a/9.JPG", "kind": "empty", "message": "the file has 0 bytes"}
    assert row == {**expected, "dataset": "pets"}


def test_samples_and_features(open_store: Connection, filled: tuple[Path, dict[str, Artifact]]) -> None:
    path = filled[1]["images"].path
    found = rows(open_store, "SELECT sample_id, split, label, class_name, dataset, artifact FROM samples ORDER BY split, sample_id")
    where = ("pets", f"images/{path.name}")
    assert found == [
        ("b/2.jpg", "test", 1, CLASSES[1], *where),
        ("a/1.jpg", "train", 0, "cat", *where),
        ("b/2.jpg", "train", 1, CLASSES[1], *where),
    ]
    assert rows(open_store, "SELECT count(*), sum(view), min(len(feature)) FROM features") == [(4, 1, 4)]
    assert rows(open_store, "SELECT DISTINCT list_cosine_similarity(feature, feature) FROM features") == [(1.0,)]


def test_affinity_predictions_and_neighbors(open_store: Connection) -> None:
    assert rows(open_store, "SELECT split, count(*) FROM affinity GROUP BY 1 ORDER BY 1") == [("test", 1), ("train", 1)]
    assert rows(open_store, "SELECT DISTINCT class_name, predicted_name, dataset FROM affinity") == [(CLASSES[1], "cat", "pets")]
    assert rows(open_store, "SELECT class_name, predicted_name, top5, zero_shot FROM predictions") == [(CLASSES[1], "cat", [0, 1], 1)]
    found = rows(open_store, "SELECT sample_id, rank, neighbor_id, neighbor_label FROM neighbors ORDER BY rank")
    assert found == [("b/2.jpg", 1, "b/3.jpg", 1), ("b/2.jpg", 2, "a/1.jpg", 0)]


def test_artifacts_and_runs(open_store: Connection, filled: tuple[Path, dict[str, Artifact]]) -> None:
    made = filled[1]
    assert dict(rows(open_store, "SELECT stage, path FROM artifacts")) == {
        stage: f"{stage}/{item.path.name}" for stage, item in made.items()
    }
    size = sum(path.stat().st_size for path in made["images"].files())
    assert rows(open_store, "SELECT bytes, fingerprint FROM artifacts WHERE stage = 'images'") == [(size, made["images"].fingerprint)]
    found = rows(
        open_store, "SELECT run, method, seed, shots, accuracy, accuracy_low, accuracy_high, trials, dataset FROM runs ORDER BY seed"
    )
    shared = (40.0, 70.0, 9, "pets")
    assert found == [
        (made["adapter"].path.name, "xmadapter", 1, 4, 50.0, *shared),
        (made["eval"].path.name, "xmadapter", 2, 4, 60.0, *shared),
    ]
    joined = "SELECT DISTINCT stage FROM affinity JOIN artifacts USING (artifact) ORDER BY 1"
    assert rows(open_store, joined) == [("adapter",), ("eval",)]


@pytest.mark.parametrize("results", [None, "text", [1, None], [{}], [{"method": 3, "seeds": ["x", 2**70], "accuracies": [None]}]])
def test_odd_results_give_fewer_rows_or_nulls(tmp_path: Path, results: Any) -> None:
    built(tmp_path, Identity("eval", "odd", {}), lambda folder: write_bytes(folder / "metrics.json", b"[]"), {"results": results})
    with connect(tmp_path) as connection:
        assert all(row[1:4] == (None, None, None) for row in rows(connection, "FROM runs"))


def test_results_are_found_in_metrics_json(tmp_path: Path) -> None:
    metrics = b'{"results": [{"method": "zero-shot", "seeds": [1], "accuracies": [61]}]}'
    built(tmp_path, Identity("eval", "x", {}), lambda folder: write_bytes(folder / "metrics.json", metrics), {})
    with connect(tmp_path) as connection:
        assert rows(connection, "SELECT method, seed, accuracy FROM runs") == [("zero-shot", 1, 61.0)]


def test_artifacts_of_other_widths_and_precisions_stand_in_one_view(tmp_path: Path) -> None:
    add_images(tmp_path, "wide", np.float32, 8)
    add_images(tmp_path, "half", np.float16, 4)
    with connect(tmp_path) as connection:
        assert rows(connection, "SELECT dataset, max(len(feature)) FROM features GROUP BY 1 ORDER BY 1") == [("half", 4), ("wide", 8)]


@pytest.mark.parametrize("file", ["test-00000.parquet", "manifest.json"])
def test_a_damaged_artifact_is_left_out_and_named_and_hides_no_other(tmp_path: Path, file: str) -> None:
    artifact = add_images(tmp_path)
    other = add_images(tmp_path, name="other")
    (artifact.path / file).write_bytes(b"")
    with connect(tmp_path) as connection:
        (damage,) = connection.damaged
        assert f"{file} is damaged" in str(damage)
        assert rows(connection, "SELECT name FROM artifacts") == [("other",)]
        assert rows(connection, "SELECT DISTINCT artifact FROM samples") == [(f"images/{other.path.name}",)]


@pytest.mark.parametrize(
    "name", ["it's", 'a"b', "a;b", "sp ace", "*", "[x]", "?", "[!a]", "label=5", "\u05d0\U0001f600", "-x", "a\nb", "{a,b}", "b\\x"]
)
def test_any_store_path_works_and_reads_its_own_files_alone(tmp_path: Path, name: str) -> None:
    for decoy in ("x", "b", "zz"):
        add_images(tmp_path / decoy, "decoy")
    add_images(tmp_path / name)
    with connect(tmp_path / name) as connection:
        assert rows(connection, "SELECT DISTINCT dataset FROM samples") == [("pets",)]
        assert rows(connection, "SELECT max(label) FROM samples") == [(1,)]


@pytest.mark.parametrize("name", ["b\\*", os.fsdecode(b"bad\xff")])
def test_a_store_path_beyond_sql_is_one_sentence(tmp_path: Path, name: str) -> None:
    add_images(tmp_path / name)
    with pytest.raises(QueryError) as caught:
        connect(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_the_default_store_is_the_environments(own_store: Path) -> None:
    add_images(own_store)
    with connect() as connection:
        assert rows(connection, "SELECT count(*) FROM samples") == [(3,)]


def test_a_relative_store_outlives_a_change_of_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_images(tmp_path / "store")
    monkeypatch.chdir(tmp_path)
    with connect("store") as connection:
        monkeypatch.chdir("/")
        assert rows(connection, "SELECT count(*) FROM samples") == [(3,)]


# ---- what is a query


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1", "select 1;", "-- why\nSELECT 1", "VALUES (1)", "FROM samples", "TABLE samples", "SHOW TABLES",
        "WITH a AS (SELECT 1) FROM a",
        "WITH RECURSIVE a AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM a WHERE x < 3) FROM a", "DESCRIBE samples", "SUMMARIZE affinity",
        "EXPLAIN SELECT 1", "EXPLAIN ANALYZE SELECT count(*) FROM samples", "explain (format json) FROM samples",
        "SELECT 1 UNION SELECT 2",
        "PIVOT samples ON split IN ('train', 'test') USING count(*)", "SELECT unnest([1, 2])", "FROM range(3)",
        "SELECT 'COPY_QUERY_NODE' AS \"type\"",
        "SELECT (SELECT max(label) FROM samples)", "SELECT label, row_number() OVER (ORDER BY label) FROM samples QUALIFY true",
        "SELECT 1 AS copy",
    ],
)  # fmt: skip
def test_questions_are_answered(open_store: Connection, sql: str) -> None:
    assert isinstance(open_store.query(sql), pa.Table)


OUTSIDE = [
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM '{root}/secret.csv'",
    "SELECT * FROM read_csv('{root}/secret.csv')",
    "SELECT * FROM read_parquet('{texts}')",
    "SELECT * FROM read_parquet('{allowed}')",
    "SELECT * FROM '{texts}'",
    "SELECT * FROM glob('{root}/*')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM query('FROM samples')",
    "SELECT * FROM query('WITH x AS (COPY (SELECT 1) TO ''{allowed}'' (USE_TMP_FILE false)) SELECT 1')",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "SELECT (SELECT count(*) FROM read_csv('/etc/passwd'))",
    "SELECT * FROM samples WHERE label IN (SELECT column0 FROM read_csv('/etc/passwd'))",
    "COPY samples TO '{root}/out.csv'",
    "COPY (SELECT 1) TO '{allowed}' (FORMAT csv, USE_TMP_FILE false)",
    "WITH x AS (COPY (SELECT 1) TO '{allowed}' (FORMAT csv, USE_TMP_FILE false)) SELECT 1",
    "SELECT * FROM (WITH x AS (COPY (SELECT 1) TO '{allowed}' (FORMAT csv, USE_TMP_FILE false)) SELECT 1)",
    "SELECT (WITH x AS (COPY (SELECT 1) TO '{allowed}' (FORMAT csv, USE_TMP_FILE false)) SELECT 1)",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{allowed}' (FORMAT csv, USE_TMP_FILE false)",
    "EXPLAIN ANALYZE WITH x AS (COPY (SELECT 1) TO '{allowed}' (FORMAT csv, USE_TMP_FILE false)) SELECT 1",
    "EXPLAIN /* */ ANALYZE COPY (SELECT 1) TO '{allowed}' (FORMAT csv, USE_TMP_FILE false)",
    "EXPLAIN (ANALYZE, FORMAT json) COPY (SELECT 1) TO '{allowed}' (FORMAT csv, USE_TMP_FILE false)",
    "/* */ EXPLAIN ANALYZE COPY (SELECT 1) TO '{allowed}' (FORMAT csv, USE_TMP_FILE false)",
    "DESCRIBE WITH x AS (COPY (SELECT 1) TO '{allowed}' (FORMAT csv, USE_TMP_FILE false)) SELECT 1",
    "EXPORT DATABASE '{root}/export'",
    "IMPORT DATABASE '{root}'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "ATTACH '{root}/other.db'",
    "DETACH memory",
    "SET threads = 4",
    "RESET threads",
    "SET enable_external_access = true",
    "SET allowed_paths = ['/etc/passwd']",
    "PRAGMA version",
    "CALL pragma_version()",
    "CHECKPOINT",
    "VACUUM",
    "USE memory",
    "CREATE TABLE t (i INT)",
    "CREATE OR REPLACE VIEW samples AS SELECT 1",
    "CREATE MACRO m() AS 1",
    "CREATE UNREAD s (TYPE http)",
    "DROP VIEW samples",
    "ALTER VIEW samples RENAME TO s",
    "INSERT INTO samples VALUES (1)",
    "WITH x AS (INSERT INTO _files VALUES ('a', 'b', 'c') RETURNING *) FROM x",
    "WITH x AS (DELETE FROM _artifacts RETURNING *) FROM x",
    "DELETE FROM artifacts",
    "UPDATE artifacts SET name = ''",
    "BEGIN",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "PIVOT samples ON split USING count(*)",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP VIEW samples",
    "",
    ";",
    "-- nothing",
    "SELEC 1",
    "SELECT",
    "SELECT $1",
    "SELECT ?",
    "SELECT '\udcff'",
    "SELECT 'a'::INT",
    "SELECT error('two\nlines')",
    "SELECT nothing FROM samples",
    "SELECT * FROM leaked",
    "SELECT " + "(" * 5000 + "1" + ")" * 5000,
    "SELECT " + "-".join("1" * 3000),
]  # fmt: skip


@pytest.mark.parametrize("sql", OUTSIDE, ids=lambda sql: sql[:40])
def test_all_else_is_refused_in_one_sentence_and_changes_nothing(
    filled: tuple[Path, dict[str, Artifact]], open_store: Connection, sql: str
) -> None:
    root, artifacts = filled
    leaked = pa.table({"x": [1]})
    names = {"root": root, "texts": artifacts["texts"].file("texts.parquet"), "allowed": artifacts["images"].file("test-00000.parquet")}
    for name, value in names.items():
        sql = sql.replace(f"{{{name}}}", str(value).replace("'", "''"))
    before = sorted(root.rglob("*"))
    with pytest.raises(QueryError) as caught:
        open_store.query(sql)
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".")
    assert UNREAD not in text
    assert "root:" not in text
    assert sorted(root.rglob("*")) == before
    assert not Path(".tmp").exists()
    assert all(artifact.verify() == [] for artifact in artifacts.values())
    assert rows(open_store, "SELECT count(*) FROM samples") == [(3,)]
    assert leaked.num_rows == 1


def test_an_unknown_table_is_answered_with_the_views(open_store: Connection) -> None:
    with pytest.raises(
        QueryError,
        match=r"nope does not exist; the views are samples, features, errors, affinity, predictions, neighbors, artifacts, runs\.",
    ):
        open_store.query("SELECT * FROM nope")
    with pytest.raises(QueryError, match=r'"labl" not found.*Candidate bindings.*"label"'):
        open_store.query("SELECT labl FROM samples")


def test_an_allowed_file_could_be_overwritten_without_the_check(filled: tuple[Path, dict[str, Artifact]], tmp_path: Path) -> None:
    """The reason for the check: if DuckDB ever closes this hole itself, this test says so."""
    target = tmp_path / "target.csv"
    script = (
        "import sys, duckdb\ntarget = sys.argv[1]\nopen(target, 'w').write('old')\ndb = duckdb.connect()\n"
        "db.execute(f\"SET allowed_paths = ['{target}']\")\ndb.execute('SET enable_external_access = false')\n"
        "db.execute(f\"WITH x AS (COPY (SELECT 1) TO '{target}' (FORMAT csv, USE_TMP_FILE false)) SELECT 1\").fetchall()\n"
        "print(open(target).read() != 'old')"
    )
    run = subprocess.run([sys.executable, "-c", script, str(target)], capture_output=True, text=True, timeout=60)
    assert run.stdout.strip() == "True", run.stderr


def test_the_store_is_opened_without_torch_and_faiss(filled: tuple[Path, dict[str, Artifact]]) -> None:
    script = "import sys\nfrom xmap.store.sql.connection import connect\nconnect(sys.argv[1]).query('FROM samples')\n"
    script += "print({'torch', 'faiss'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", script, str(filled[0])], capture_output=True, text=True, timeout=60)
    assert run.stdout.strip() == "set()", run.stderr


ENDLESS = {
    "a long range": "select count(*) from range(1000000000000)",
    "a cross join": "select count(*) from range(100000000000) a, range(10000) b",
    "an endless recursion": "with recursive t(n) as (select 1 union all select n + 1 from t) select count(*) from t",
    "many distinct values": "select count(distinct hash(r)) from range(100000000000) t(r)",
    "a pattern on every row": "select count(*) from range(100000000000) t(r) where regexp_matches(r::varchar, '(1|2)+3$')",
}
GREEDY = {
    "a list of everything": ("select list(r) from range(1000000000) t(r)", "of memory"),
    "a sort": ("select sum(r) over (order by hash(r)) from range(100000000) t(r)", "of memory"),
    "one text": ("select string_agg(repeat('a', 1000000)) from range(100000)", "of memory"),
    "a long answer": ("from range(1000000000)", "the answer takes more than"),
    "a wide answer": ("select repeat('a', 100000) from range(10000000)", "the answer takes more than"),
}


@pytest.fixture
def small(open_store: Connection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Connection]:
    """A connection with room for a hundredth of what others have."""
    monkeypatch.setattr("xmap.store.sql.connection.MEMORY", 64 << 20)
    monkeypatch.setattr("xmap.store.sql.connection.ANSWER", 16 << 20)
    with connect(tmp_path / "none") as connection:
        yield connection


@pytest.mark.failure("hostile query")
@pytest.mark.parametrize("name", ENDLESS)
def test_a_query_without_end_is_ended_and_the_connection_lives_on(small: Connection, name: str) -> None:
    # On a busy machine the memory may be gone before the time is.
    with pytest.raises(QueryError, match=r"took longer than 0\.2 s.*--timeout SECONDS|takes more than .* of memory"):
        small.query(ENDLESS[name], timeout=0.2)
    assert small.query("select 1 as n", timeout=60).to_pylist() == [{"n": 1}]


@pytest.mark.failure("hostile query")
@pytest.mark.parametrize("name", GREEDY)
def test_a_query_that_takes_too_much_is_refused_and_the_connection_lives_on(small: Connection, name: str) -> None:
    query, said = GREEDY[name]
    with pytest.raises(QueryError, match=said):
        small.query(query, timeout=30)
    assert small.query("select 1 as n").to_pylist() == [{"n": 1}]
