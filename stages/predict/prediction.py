"""What an adapter says of one image, as fields and plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from xmap.stages.adapters.percent import percent
from xmap.stages.images.decode import BadImage
from xmap.store.disk.plain import plain
from xmap.store.formats.answers import free_names
from xmap.store.formats.tables import Array

if TYPE_CHECKING:
    from xmap.stages.adapters.sets import Sets
    from xmap.stages.adapters.strangeness import Rejection

# Classes whose share of both caches evidence says, the most probable ones.
EVIDENCE_CLASSES = 5
# Cached images that evidence names.
NEIGHBORS = 5


@dataclass(frozen=True)
class Asked:
    """What predictions are to say beside classes and probabilities: so many nearest cached images as evidence, sets,
    whether an image is of none of the classes, what images without labels the adapter learned from, in words, and what each of several
    encoders, by name, says alone."""

    neighbors: int = 0
    sets: Sets | None = None
    rejection: Rejection | None = None
    pool: str = ""
    encoders: tuple[str, ...] = ()


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
    it was not asked for; an image that is `rejected` has no class. `encoder_said` are the classes that several encoders say, each alone,
    and `encoder_share` how much of the answer comes from each, 0 to 1; both are empty where there is one. `known` says whether the
    adapter learned from these very bytes, None where that is not known; `columns` is the image's row in the user's own table.

    >>> (found,) = xmap.load().predict("photo.jpg", explain=True)
    >>> found.class_name == found.top(1)[0][0]
    True
    >>> found.probabilities.shape, len(found.neighbors)
    ((3,), 5)
    >>> found.facts()["path"]
    'photo.jpg'
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
    encoder_said: tuple[str, ...] = ()
    encoder_share: tuple[float, ...] = ()
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

    def facts(self, explain: bool = False, top: int | None = None) -> dict[str, Any]:
        """All of it as plain values; with `explain` also the evidence, with `top` the probabilities of so many classes, the best first."""
        given = dict(zip(free_names(self.columns), self.columns.values(), strict=True)) if self.columns else {}
        if self.error:
            return {"path": self.path, "error": self.error.kind, "message": self.error.message, **given}
        found: dict[str, Any] = {
            "path": self.path,
            "class": self.class_name,
            "probability": self.probability,
            **self._second,
            **({} if self.strangeness is None else {"nearest": self.nearest, "strangeness": self.strangeness}),
            **({} if self.prediction_set is None else {"set": list(self.prediction_set), "set_size": len(self.prediction_set)}),
            "zero_shot": self.zero_shot_name,
            "zero_shot_probability": float(self.zero_shot.max()),
            **({"encoder_said": list(self.encoder_said), "encoder_share": list(self.encoder_share)} if self.encoder_said else {}),
            **({} if self.known is None else {"known": self.known}),
            "probabilities": dict(self.top(top) if top else zip(self.classes, map(float, self.probabilities), strict=True)),
        }
        if explain:
            found["gamma"] = self.gamma
            found["evidence"] = [self._evidence(name) for name, _ in self.top(EVIDENCE_CLASSES)]
            found["neighbors"] = [
                {"sample_id": near.sample_id, "class": near.class_name, "affinity": near.affinity} for near in self.neighbors
            ]
        return found | given

    @property
    def _second(self) -> dict[str, Any]:
        """The second choice, None where there is one class alone."""
        name, chance = (*self.top(2), (None, None))[1]
        return {"second": name, "second_probability": chance}

    def _evidence(self, name: str) -> dict[str, Any]:
        label = self.classes.index(name)
        sides = {"affinity_image": self.image, "affinity_text": self.text}
        return {"class": name, **{side: None if sums is None else float(sums[label]) for side, sums in sides.items()}}
