"""A loaded adapter with its encoder: pixels of images, answers of batches, and what it says of itself."""

from __future__ import annotations

import time
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from xmap.pipeline.adapters.encoder import is_on_disk, stated_encoder
from xmap.pipeline.serve.questions import Wanted
from xmap.pipeline.serve.refusals import Refused
from xmap.stages.images.decode import BadImage, Rules
from xmap.stages.images.read import Held
from xmap.stages.predict.prediction import Prediction
from xmap.store.errors import InputError

if TYPE_CHECKING:
    from xmap.pipeline.adapters.adapter import Adapter
    from xmap.stages.images.views import Pixels
    from xmap.stages.predict.encoders import Encoders
    from xmap.stages.predict.predictor import Predictor

# Images of so many pixels are decoded at once; larger ones take turns, lest a few of them keep all others waiting.
ORDINARY = 16_000_000
# A PNG of one grey pixel.
PICTURE = b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg==")
# Kinds of promises that are kept for other requests.
REMEMBERED = 64
# Of the summary of an adapter, what is said of it: nothing that may hold a place.
SAID = ("method", "seed", "shots", "calibration", "kept")


@dataclass(frozen=True)
class Ready:
    """An image as the encoder takes it, and what is to be said of it."""

    name: str
    pixels: Pixels
    wanted: Wanted


class LoadedAdapter:
    """One adapter, its encoder and the rules of reading pixels. Whoever holds it is answered by it, also after another has been loaded."""

    def __init__(self, adapter: Adapter, encoders: Encoders, rules: Rules) -> None:
        self.adapter, self.encoders = adapter, encoders
        ordinary = Rules(rules.depth, min(ORDINARY, rules.max_pixels))
        self._makers = {large: encoders.maker(chosen) for large, chosen in ((False, ordinary), (True, rules))}
        self._predictor = lru_cache(REMEMBERED)(self._predictor_of)

    @property
    def fingerprint(self) -> str:
        """The adapter's."""
        return self.adapter.artifact.fingerprint

    def warm(self) -> None:
        """Answer a first image, which takes longer than all others. Raises `InputError` where that cannot be done."""
        made = self.pixels(Held("", PICTURE), large=False)
        if isinstance(made, BadImage):
            raise InputError(f"this machine decodes no PNG ({made.message}); run `xmap doctor`.")
        self.answers([Ready("", made, Wanted())])
        # Read while the store is there.
        _ = self.facts

    def pixels(self, image: Held, large: bool) -> Pixels | BadImage:
        """The pixels of an image, as the encoders take them; those of `large` ones only where it is said."""
        from xmap.stages.images.views import Deep

        made = self._makers[large].load(image)
        return made.pixels if isinstance(made, Deep) else made

    def require(self, wanted: Wanted) -> None:
        """Raise `Refused` for what this adapter cannot promise."""
        if (wanted.sets is not None or wanted.reject is not None) and self.adapter.scorer.promises.kept is None:
            raise Refused("malformed", "this adapter kept no samples for sets and reject; leave them out, or train it again.")
        if wanted.sets is None and wanted.sets_by == "class":
            raise Refused("malformed", "sets_by says nothing without sets; give the share too, such as 0.9.")

    def answers(self, batch: Sequence[Ready]) -> tuple[list[dict[str, Any]], float]:
        """The facts of each image of a batch, and the seconds of the encoder's forward pass. Raises `InputError`."""
        pixels = np.concatenate([image.pixels for image in batch])
        started = time.perf_counter()
        features = self.encoders.encode(pixels)
        seconds = time.perf_counter() - started
        found: list[dict[str, Any]] = [{}] * len(batch)
        for wanted in dict.fromkeys(image.wanted for image in batch):
            rows = [row for row, image in enumerate(batch) if image.wanted == wanted]
            made = self._predictor(wanted.sets, wanted.sets_by or "all", wanted.reject)
            for row, answer in zip(rows, made.answers([batch[row].name for row in rows], features[rows], {}), strict=True):
                found[row] = _facts(answer, wanted.top)
        return found, seconds

    def _predictor_of(self, sets: float | None, by: str, reject: float | None) -> Predictor:
        from xmap.stages.predict.predictor import Predictor

        return Predictor(self.adapter.scorer, self.adapter.asked(False, sets, by if sets is not None else "all", reject))

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What the server says of its adapter: no path, and no command, which may hold one."""
        artifact, texts = self.adapter.artifact, self.adapter.texts
        recorded = texts.fields.get("encoder")
        named = "encoder" in texts.fields and not is_on_disk(stated_encoder(texts))
        return {
            "name": artifact.name,
            "fingerprint": artifact.fingerprint,
            "dataset": self.adapter.dataset,
            "classes": list(self.adapter.classes),
            **{name: artifact.summary[name] for name in SAID if name in artifact.summary},
            "selected_on": artifact.summary.get("selection", {}).get("selected_on"),
            "encoder": stated_encoder(texts).model if named else None,
            "encoder_weights": recorded.get("weights") if isinstance(recorded, dict) else None,
            "made": artifact.manifest["created"],
        }


def _facts(answer: Prediction, top: int | None) -> dict[str, Any]:
    """What `xmap predict --json` says of an image, with the `top` classes alone, best first."""
    facts = answer.facts()
    return {**facts, "probabilities": dict(answer.top(len(answer.classes) if top is None else top))}


def load_served(
    adapter: Adapter, encoder: Mapping[str, Any], device: str, rules: Rules, before: LoadedAdapter | None = None
) -> LoadedAdapter:
    """An adapter ready to answer, with the encoders of `before` where these are the same. `encoder` names them, as `Adapter.encoder`
    takes it. Raises what loading does."""
    from xmap.stages.predict.encoders import Encoders

    wanted = [identity.fields for identity in adapter.encoder_identities(**encoder)]
    same = before is not None and [one.identity.fields for one in before.encoders.each] == wanted
    encoders = before.encoders if before is not None and same else Encoders.of(adapter.encoder(**encoder, device=device))
    loaded = LoadedAdapter(adapter, encoders, rules)
    loaded.warm()
    return loaded
