"""A store with one artifact of each kind that the views show, and rows asked of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from xmap.store.artifacts.artifact import Artifact, Draft, Store
from xmap.store.artifacts.identity import Identity
from xmap.store.disk.files import write_bytes
from xmap.store.formats.answers import ANSWERS, shard_name
from xmap.store.formats.features import ErrorRow, ImageFeatures, TextFeatures, write_errors, write_images, write_texts
from xmap.store.formats.log import OUT_OF_SAMPLE_TABLE, NeighborColumn, write_affinity, write_out_of_sample, write_predictions
from xmap.store.formats.pairs import PAIRS, PAIRS_TABLE, write_pairs
from xmap.store.formats.sentences import SENTENCES_TABLE, write_sentences
from xmap.store.formats.tables import write_table
from xmap.store.sql.connection import Connection

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
        seen = {name: value for name, value in shared.items() if name != "predicted"}
        said = {"label_probability": np.array([0.25]), "likely": np.array([0]), "likely_probability": np.array([0.75])}
        write_out_of_sample(folder / OUT_OF_SAMPLE_TABLE, {**seen, **said, "run": "r", "split": "train"}, "f")

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
    row = ("test", "b/2.jpg", 1, "train", "b/2.jpg", 1, 1.0, True)
    pairs = pa.table([pa.array([value], field.type) for value, field in zip(row, PAIRS, strict=True)], PAIRS)
    compared = built(
        root,
        Identity("pairs", "pets", {}),
        lambda folder: write_pairs(folder / PAIRS_TABLE, pairs, "f"),
        {"classes": CLASSES, "dataset": "pets"},
    )
    cached = built(
        root,
        Identity("cache", "pets", {}, {"texts": texts.fingerprint}),
        lambda folder: write_sentences(folder / SENTENCES_TABLE, np.array([0, 1], np.int32), ["It purrs.", "It barks."], np.ones(2), "f"),
        {"classes": CLASSES, "dataset": "pets"},
    )
    said = pa.Table.from_pylist([{"name": "holiday", "path": "new.jpg", "class": "cat", "set": ["cat"], "given": '{"price": 3}'}], ANSWERS)
    labelled = built(
        root,
        Identity("answers", "holiday", {}, {"adapter": adapter.fingerprint}),
        lambda folder: write_table(folder / shard_name(0), said, "f"),
        {"classes": CLASSES, "samples": 1, "bad": 0, "answered": {"cat": 1}, "promises": []},
    )
    made = {"images": images, "texts": texts, "cache": cached, "adapter": adapter, "pairs": compared}
    return {**made, "eval": evaluation, "answers": labelled}


def rows(connection: Connection, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in connection.query(sql).to_pylist()]
