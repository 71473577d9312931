"""What an adapter says of one image, as fields, plain values and a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import pyarrow as pa

from xmap.stages.images.decode import BadImage
from xmap.stages.predict.percent import percent
from xmap.store.disk.plain import plain
from xmap.store.formats.tables import Array, encode_table

if TYPE_CHECKING:
    from xmap.stages.adapters.sets import Sets
    from xmap.stages.adapters.strangeness import Rejection

NEIGHBOR = pa.struct([("sample_id", pa.string()), ("class", pa.string()), ("affinity", pa.float32())])
EVIDENCE = pa.struct([("class", pa.string()), ("affinity_image", pa.float32()), ("affinity_text", pa.float32())])
CHANCE = pa.struct([("class", pa.string()), ("probability", pa.float32())])
PLAIN = pa.schema(
    [
        ("path", pa.string()),
        ("class", pa.string()),
        ("probability", pa.float32()),
        ("second", pa.string()),
        ("second_probability", pa.float32()),
        ("zero_shot", pa.string()),
        ("zero_shot_probability", pa.float32()),
        ("probabilities", pa.list_(CHANCE)),
        ("error", pa.string()),
        ("message", pa.string()),
    ]
)
STRANGE = pa.schema([("nearest", pa.string()), ("strangeness", pa.float64())])
SETS = pa.schema([("set", pa.list_(pa.string())), ("set_size", pa.int32())])
EVIDENCES = pa.schema([("gamma", pa.float32()), ("evidence", pa.list_(EVIDENCE)), ("neighbors", pa.list_(NEIGHBOR))])


@dataclass(frozen=True)
class Asked:
    """What predictions are to say beside classes and probabilities: so many nearest cached images as evidence, sets,
    and whether an image is of none of the classes."""

    neighbors: int = 0
    sets: Sets | None = None
    rejection: Rejection | None = None


@dataclass(frozen=True)
class Neighbor:
    """A cached image that lies near: its sample id, its class, and its affinity to the image asked about."""

    sample_id: str
    class_name: str
    affinity: float


@dataclass(frozen=True, repr=False)
class Prediction:
    """What the adapter says of one image, or in `error` why the image cannot be read.

    `probabilities` and `zero_shot` are (N,), in the order of `classes`; `image` and `text` are the class sums of the two caches
    and `gamma` the share of the image side, None where the method has none. `prediction_set` are the classes in the set, the most
    probable first, None where no sets were asked for. `strangeness` is how far the image is from everything known, 0 to 1, None where
    it was not asked for; an image that is `rejected` has no class. `known` says whether the adapter learned from these very bytes, None
    where that is not known; `columns` is the image's row in the user's own table.
    """

    path: str
    classes: tuple[str, ...]
    probabilities: Array
    zero_shot: Array
    image: Array | None = None
    text: Array | None = None
    gamma: float | None = None
    neighbors: tuple[Neighbor, ...] = ()
    prediction_set: tuple[str, ...] | None = None
    strangeness: float | None = None
    rejected: bool = False
    error: BadImage | None = None
    known: bool | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        if self.error:
            return plain(f"<Prediction {self.path}: {self.error.kind}, {self.error.message}>")
        return plain(f"<Prediction {self.path}: {', '.join(f'{name} {percent(chance)} %' for name, chance in self.top(3))}>")

    @property
    def class_name(self) -> str:
        """The most probable class; empty for an image that could not be read, and for one that is rejected."""
        return "" if self.rejected else self.nearest

    @property
    def nearest(self) -> str:
        """The most probable class, also of an image that is rejected."""
        return "" if self.error else self.classes[int(self.probabilities.argmax())]

    @property
    def probability(self) -> float:
        """The probability of `nearest`."""
        return float("nan") if self.error else float(self.probabilities.max())

    @property
    def zero_shot_name(self) -> str:
        """The class that the encoder alone would say."""
        return "" if self.error else self.classes[int(self.zero_shot.argmax())]

    def top(self, count: int) -> list[tuple[str, float]]:
        """The `count` most probable classes, best first."""
        if self.error:
            return []
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(self.classes[int(label)], float(self.probabilities[label])) for label in order]

    def facts(self, explain: bool = False) -> dict[str, Any]:
        """All of it as plain values; with `explain` also the evidence."""
        if self.error:
            return {"path": self.path, "error": self.error.kind, "message": self.error.message}
        found: dict[str, Any] = {
            "path": self.path,
            "class": self.class_name,
            "probability": self.probability,
            **self._second,
            **({} if self.strangeness is None else {"nearest": self.nearest, "strangeness": self.strangeness}),
            **({} if self.prediction_set is None else {"set": list(self.prediction_set), "set_size": len(self.prediction_set)}),
            "zero_shot": self.zero_shot_name,
            "zero_shot_probability": float(self.zero_shot.max()),
            "probabilities": dict(zip(self.classes, map(float, self.probabilities), strict=True)),
        }
        if explain:
            found["gamma"] = self.gamma
            found["evidence"] = [self._evidence(name) for name, _ in self.top(5)]
            found["neighbors"] = [
                {"sample_id": near.sample_id, "class": near.class_name, "affinity": near.affinity} for near in self.neighbors
            ]
        return found

    @property
    def _second(self) -> dict[str, Any]:
        """The second choice, None where there is one class alone."""
        name, chance = (*self.top(2), (None, None))[1]
        return {"second": name, "second_probability": chance}

    def _evidence(self, name: str) -> dict[str, Any]:
        label = self.classes.index(name)
        sides = {"affinity_image": self.image, "affinity_text": self.text}
        return {"class": name, **{side: None if sums is None else float(sums[label]) for side, sums in sides.items()}}


def encode_predictions(file: BinaryIO, predictions: Iterable[Prediction], asked: Asked) -> None:
    """Write predictions into an open file as one Parquet table, one row an image; `probabilities` lists every class."""
    rows = [_flat(prediction.facts(bool(asked.neighbors))) for prediction in predictions]
    schema = pa.schema(
        [*PLAIN, *(STRANGE if asked.rejection else ()), *(SETS if asked.sets else ()), *(EVIDENCES if asked.neighbors else ())]
    )
    encode_table(file, pa.Table.from_pylist(rows, schema), "")


def _flat(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts whose class names are values: a column a class would be another table for each adapter."""
    chances = [{"class": name, "probability": chance} for name, chance in facts.get("probabilities", {}).items()]
    # A file name need not be text; Parquet holds text alone.
    return {**facts, "path": facts["path"].encode("utf-8", "backslashreplace").decode(), "probabilities": chances}
