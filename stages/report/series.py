"""The numbers behind a report's figures, over all test images and seeds of one method in one evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from store.sql import Connection
from store.tables import Array
from store.views import literal

BINS = 15
DISTRIBUTIONS = ("gamma", "affinity_image", "affinity_text", "difference")
HISTOGRAM_BINS = 30
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
from predictions where artifact = {literal(artifact)} group by all order by all"""  # noqa: S608
    found: dict[str, list[list[float]]] = {}
    for row in connection.query(query).to_pylist():
        line = [row["place"], row["n"], round(row["probability"], 2), round(row["accuracy"], 2)]
        found.setdefault(row["method"], []).append(line)
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
        found[method] = {name: _histogram(column, correct[rows]) for name, column in values.items() if np.isfinite(column).any()}
    return found


def _histogram(values: Array, correct: Array) -> dict[str, Any]:
    there = np.isfinite(values)
    low, high = float(values[there].min()), float(values[there].max())
    if high - low < 1e-6:
        return {"from": low, "to": high, "right": [int(correct[there].sum())], "wrong": [int((~correct[there]).sum())]}
    counts = [np.histogram(values[there & side], HISTOGRAM_BINS, (low, high))[0].tolist() for side in (correct, ~correct)]
    return {"from": round(low, 6), "to": round(high, 6), "right": counts[0], "wrong": counts[1]}


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
