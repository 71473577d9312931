"""Whether the logs of an evaluation say what its results say: they may come from anybody, and a page is made of both."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xmap.store.artifacts.artifact import Artifact
from xmap.store.errors import ArtifactDamaged
from xmap.store.formats.log import AFFINITY, LATER, PREDICTIONS
from xmap.store.formats.pairs import PAIRS, PAIRS_TABLE
from xmap.store.formats.tables import Array, read_schema, read_table, require_columns

TEST_LOG, SAID = "affinity/test.parquet", "predictions.parquet"
# One answer: a method, a seed, a sample.
ANSWER = ("method", "seed", "sample_id")
LISTS = ("top5", "top5_probability", "top5_image", "top5_text")


def require_logs(evaluation: Artifact, classes: int) -> None:
    """Raise `ArtifactDamaged` unless both logs hold one answer of every method and seed to each of the same test samples."""
    tables = evaluation.files("predictions", ".parquet") + evaluation.files("affinity/", ".parquet")
    said, test = evaluation.file(SAID), evaluation.file(TEST_LOG)
    problem = "its tables are not those of an evaluation" if set(tables) != {said, test} else None
    there = set(read_schema(said).names)
    kept = pa.schema([field for field in PREDICTIONS if field.name not in LATER or field.name in there])
    predictions, log = (_answers(path, schema) for path, schema in ((said, kept), (test, AFFINITY)))
    problem = problem or _misfit(evaluation, predictions, log) or _out_of_range(predictions, classes)
    if problem:
        raise ArtifactDamaged(evaluation.path, problem, evaluation.remedy)


def require_training_log(adapter: Artifact) -> None:
    """Raise `ArtifactDamaged` where the rows of an adapter's log have no epoch or sample."""
    for path in adapter.files("affinity/", ".parquet"):
        _full(path, AFFINITY)


def require_pairs(pairs: Artifact) -> None:
    """Raise `ArtifactDamaged` where the table of pairs has other columns, or rows that lack a value."""
    read_table(pairs.file(PAIRS_TABLE), types=PAIRS)


def _answers(path: Any, schema: pa.Schema) -> pa.Table:
    """A log sorted by answer."""
    return _full(path, schema).sort_by([(name, "ascending") for name in ANSWER])


def _full(path: Any, schema: pa.Schema) -> pa.Table:
    """A log whose columns are of their types, and those that must be, without a hole."""
    require_columns(path, schema)
    read_table(path, types=pa.schema([field for field in schema if not field.nullable]))
    return read_table(path, schema.names)


def _misfit(evaluation: Artifact, predictions: pa.Table, log: pa.Table) -> str | None:
    columns = (*ANSWER, "label", "predicted")
    if not all(predictions[name].equals(log[name]) for name in columns) or set(log["split"].unique().to_pylist()) - {"test"}:
        return "its predictions and its affinity log are of different answers"
    wanted = sorted((row["method"], seed) for row in evaluation.summary["results"] for seed in row["seeds"])
    blocks = predictions.group_by(["method", "seed"]).aggregate([("sample_id", "count"), ("sample_id", "count_distinct")])
    found = sorted(zip(blocks["method"].to_pylist(), blocks["seed"].to_pylist(), strict=True))
    sizes = {*blocks["sample_id_count"].to_pylist(), *blocks["sample_id_count_distinct"].to_pylist()}
    if found != wanted or sizes != {evaluation.summary["samples"]}:
        return "its logs are not of the methods, seeds and samples of its results"
    ids = predictions["sample_id"].to_numpy(zero_copy_only=False).reshape(len(wanted), -1)
    labels = predictions["label"].to_numpy().reshape(len(wanted), -1)
    return None if (ids == ids[0]).all() and (labels == labels[0]).all() else "its methods were asked about different samples"


def _out_of_range(predictions: pa.Table, classes: int) -> str | None:
    """Labels that no class has, probabilities that are none, lists of different lengths."""
    top = predictions["top5"].combine_chunks()
    labels = [predictions["label"], predictions["predicted"], predictions["zero_shot"], pc.list_flatten(top)]
    if any(_beyond(found, 0, classes - 1) for found in labels):
        return f"its logs have labels that none of {classes} classes has"
    if predictions["probability"].null_count or _beyond(predictions["probability"], 0, 1):
        return "its probabilities are not between 0 and 1"
    if "set_size" in predictions.column_names and _beyond(predictions["set_size"], 0, classes):
        return f"its prediction sets are not of 0 to {classes} classes"
    lengths: list[Array] = [pc.list_value_length(predictions[name]).to_numpy(zero_copy_only=False) for name in LISTS]
    differs = ((lengths[0] != other) & ~np.isnan(other.astype(np.float64)) for other in lengths[1:])
    return "its lists of best classes have different lengths" if any(bool(found.any()) for found in differs) else None


def _beyond(column: Any, low: int, high: int) -> bool:
    values = column.drop_null().to_numpy()
    return bool(len(values)) and not bool(((values >= low) & (values <= high)).all())
