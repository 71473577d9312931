"""Published numbers to print beside our own: accuracies in percent with CLIP's ResNet-50, from `published.toml`, and where each is from.

They are for orientation: another backbone, other prompts or a larger validation set makes a row incomparable.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

FILE = "published.toml"
BACKBONE = "RN50"
SHOTS = (1, 2, 4, 8, 16)
ELEVEN = (
    "imagenet", "caltech101", "dtd", "eurosat", "fgvc_aircraft", "oxford_flowers", "food101", "oxford_pets", "stanford_cars", "sun397",
    "ucf101",
)  # fmt: skip
# ImageNet, then its variants.
TARGETS = ("imagenet", "imagenetv2", "imagenet_sketch", "imagenet_a", "imagenet_r")


@dataclass(frozen=True)
class Source:
    """A row of numbers: the method, where it was published, and on what settings were chosen."""

    method: str
    source: str
    chosen: str

    @property
    def words(self) -> str:
        return f"{self.source}; {BACKBONE}; {self.chosen}"


@dataclass(frozen=True)
class Published:
    """A published row: accuracies by number of shots."""

    source: Source
    accuracy: Mapping[int, float]


def published(dataset: str) -> list[Published]:
    """The published rows of a benchmark; none for other data."""
    return [Published(source, table[dataset]) for source, table in _tables() if dataset in table]


def published_average(datasets: Collection[str]) -> list[Published]:
    """Averages over `datasets` of the rows that have all of them; over the eleven also those known as averages alone."""
    having = [(source, [table[name] for name in datasets]) for source, table in _tables() if set(datasets) <= set(table)]
    rows = [Published(source, {shots: sum(row[shots] for row in rows) / len(rows) for shots in rows[0]}) for source, rows in having]
    whole = _read()["average"] if set(datasets) == set(ELEVEN) else ()
    return rows + [Published(_source(row), _by_shots(row, row["accuracy"])) for row in whole]


def published_domains() -> list[tuple[Source, Mapping[str, float]]]:
    """Published accuracies of models adapted on ImageNet at 16 shots: on ImageNet and on the variants, by dataset."""
    return [(_source(row), row["accuracy"]) for row in _read()["domain"]]


@cache
def _read() -> Mapping[str, Any]:
    return tomllib.loads(files("xmap.pipeline.studies").joinpath(FILE).read_text("utf-8"))


def _tables() -> list[tuple[Source, Mapping[str, Mapping[int, float]]]]:
    """For each source, accuracies by dataset and shots."""
    return [(_source(row), {name: _by_shots(row, values) for name, values in row["accuracy"].items()}) for row in _read()["table"]]


def _source(row: Mapping[str, Any]) -> Source:
    return Source(row["method"], row["source"], row["chosen"])


def _by_shots(row: Mapping[str, Any], values: list[float]) -> dict[int, float]:
    return dict(zip(row.get("shots", SHOTS), values, strict=True))
