"""The numbers behind a report's figures, over all test images and seeds of one method in one evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xmap.store.formats.tables import Array
from xmap.store.sql.connection import Connection
from xmap.store.sql.selects import literal

BINS = 15
DISTRIBUTIONS = ("gamma", "affinity_image", "affinity_text", "difference")
HISTOGRAM_BINS = 30
NARROW = 1e-6
CURVES = ("loss", "accuracy", "weight_high", "gamma", "affinity_image", "affinity_text")


def confusion(connection: Connection, artifact: str) -> dict[str, list[list[int]]]:
    """For each method `[label, predicted, how often]` over all its seeds."""
    query = (
        f"select method, label, predicted, count(*) as n from predictions where artifact = {literal(artifact)} group by all order by all"  # noqa: S608
    )
    found: dict[str, list[list[int]]] = {}
    for row in connection.query(query).to_pylist():
        found.setdefault(row["method"], []).append([row["label"], row["predicted"], row["n"]])
    return found


def calibration(connection: Connection, artifact: str) -> dict[str, list[list[float]]]:
    """For each method and filled bin `[bin, answers, mean probability %, accuracy %]`; the bins are those of the calibration error."""
    query = f"""
select method, least(greatest(ceil(probability::double * {BINS}) - 1, 0), {BINS - 1})::int as place, count(*) as n,
  100 * avg(probability) as probability, 100 * avg((label = predicted)::int) as accuracy
from predictions where artifact = {literal(artifact)} and isfinite(probability) group by all order by all"""  # noqa: S608
    found: dict[str, list[list[float]]] = {}
    for row in connection.query(query).to_pylist():
        line = [row["place"], row["n"], round(row["probability"], 2), round(row["accuracy"], 2)]
        found.setdefault(row["method"], []).append(line)
    return found


def set_sizes(connection: Connection, artifact: str) -> dict[str, list[list[int]]]:
    """For each method that has prediction sets `[classes in the set, how often]` over all its seeds."""
    query = (
        "select method, set_size, count(*) as n from predictions "  # noqa: S608
        f"where artifact = {literal(artifact)} and set_size is not null group by all order by all"
    )
    found: dict[str, list[list[int]]] = {}
    for row in connection.query(query).to_pylist():
        found.setdefault(row["method"], []).append([row["set_size"], row["n"]])
    return found


def distributions(connection: Connection, artifact: str) -> dict[str, dict[str, Any]]:
    """For each method and column it has: `from`, `to`, and counts of right and of wrong answers in equal bins between them."""
    columns = ", ".join(DISTRIBUTIONS)
    query = f"select method, correct, {columns} from affinity where artifact = {literal(artifact)} and split = 'test'"  # noqa: S608
    table = connection.query(query)
    methods, correct = np.asarray(table["method"].to_pylist()), table["correct"].to_numpy(zero_copy_only=False).astype(bool)
    found: dict[str, dict[str, Any]] = {}
    for method in dict.fromkeys(methods.tolist()):
        rows = methods == method
        values = {name: table[name].to_numpy(zero_copy_only=False)[rows] for name in DISTRIBUTIONS}
        found[method] = {name: histogram(column, correct[rows]) for name, column in values.items() if np.isfinite(column).any()}
    return found


def histogram(values: Array, correct: Array) -> dict[str, Any]:
    """`from`, `to`, and the counts of right and of wrong values in equal bins between them: one bin where they are all nearly equal.

    `correct` is bool; values that are not finite are in no bin, and one is at least.
    """
    there = np.isfinite(values)
    found, right = values[there].astype(np.float64), correct[there]
    low, high = float(found.min()), float(found.max())
    # Below that the numbers' own precision would be shown, and bins of it may be empty intervals.
    if high - low < NARROW * max(1.0, abs(low), abs(high)):
        return {"from": low, "to": high, "right": [int(right.sum())], "wrong": [int((~right).sum())]}
    # By shares of the range, which may be wider than a number can be.
    places = ((found / 2 - low / 2) / (high / 2 - low / 2) * HISTOGRAM_BINS).astype(int).clip(0, HISTOGRAM_BINS - 1)
    counts = [np.bincount(places[side], minlength=HISTOGRAM_BINS).tolist() for side in (right, ~right)]
    return {"from": float(f"{low:.9g}"), "to": float(f"{high:.9g}"), "right": counts[0], "wrong": counts[1]}


def curves(connection: Connection, adapters: Mapping[str, str]) -> dict[str, dict[str, list[list[Any]]]]:
    """For each method with more than one epoch of training and each curve: rows `[epoch, mean over seeds, lowest, highest seed]`.

    `adapters` maps artifact paths to methods. Accuracy is that on the support, in percent; `weight_high` the weight that one sample
    in twenty exceeds.
    """
    if not adapters:
        return {}
    paths = ", ".join(map(literal, adapters))
    query = f"""
select artifact, epoch, avg(loss) as loss, 100 * avg(correct::int) as accuracy, quantile_cont(weight, 0.95) as weight_high,
  avg(gamma) as gamma, avg(affinity_image) as affinity_image, avg(affinity_text) as affinity_text
from affinity where split = 'train' and artifact in ({paths}) group by all order by all"""  # noqa: S608
    values: dict[tuple[str, str, int], list[float]] = {}
    for row in connection.query(query).to_pylist():
        for name in CURVES:
            if row[name] is not None and np.isfinite(row[name]):
                values.setdefault((adapters[row["artifact"]], name, row["epoch"]), []).append(row[name])
    found: dict[str, dict[str, list[list[Any]]]] = {}
    for (method, name, epoch), seeds in sorted(values.items()):
        found.setdefault(method, {}).setdefault(name, []).append([epoch, *_spread(seeds)])
    return {method: lines for method, lines in found.items() if any(len(line) > 1 for line in lines.values())}


def _spread(seeds: Sequence[float]) -> list[float]:
    return [float(f"{value:.5g}") for value in (sum(seeds) / len(seeds), min(seeds), max(seeds))]
