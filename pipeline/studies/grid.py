"""What a benchmark varies: its flags, which take several values where other commands take one."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from xmap.stages.config import Config
from xmap.stages.datasets.benchmarks.table import ENTRIES
from xmap.stages.several import ALL, NAMES, NUMBERS, every

Count = Annotated[int, Field(ge=1)]


class GridConfig(Config):
    """What a benchmark varies; where a name is that of a setting too, it takes several of it."""

    datasets: Annotated[tuple[str, ...], NAMES] = Field((), description="Benchmarks, or all; they lie under --root.")
    features: Annotated[tuple[str, ...], NAMES] = Field((), description="Stored features, imported or extracted.")
    shots: Annotated[tuple[Count, ...], Field(min_length=1), NUMBERS] = Field(
        (1, 2, 4, 8, 16), description="Labelled training images a class."
    )
    methods: Annotated[tuple[str, ...], Field(min_length=1), NAMES] = Field((ALL,), description="Methods to train and compare.")

    @field_validator("datasets")
    @classmethod
    def _every(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return every(names, [entry.name for entry in ENTRIES])
