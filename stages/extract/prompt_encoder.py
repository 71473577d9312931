"""Encoding prompts in batches of one size, apart from any store: what every engine's workers do."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from xmap.stages.encoder.identity import EncoderIdentity
from xmap.stages.encoder.model import Encoder, require_finite
from xmap.stages.machine.kind import Machine, require_kind
from xmap.stages.workplace.engine import Advance
from xmap.store.formats.tables import Array


@dataclass(frozen=True)
class PromptBatch:
    """Prompts for one forward pass; `start` is the place of the first among all."""

    start: int
    prompts: tuple[str, ...]


@dataclass(frozen=True)
class EncodedPrompts:
    """The features (B, C) float32 of a batch, which of its prompts were cut, and the model's own logit scale."""

    start: int
    features: Array
    cut: tuple[str, ...]
    logit_scale: float | None

    @property
    def units(self) -> int:
        return len(self.features)


class PromptEncoder:
    """One model at work on prompts, with or without its projection: a `stages.workplace.engine.Worker`."""

    def __init__(self, encoder: EncoderIdentity, machine: Machine, size: int, projected: bool = True) -> None:
        """Raises `InputError` where this machine is not of the kind that the work was planned on."""
        require_kind(machine)
        self._model, self._size = Encoder.load(encoder, machine.device), size
        self._encode = self._model.encode_texts if projected else self._model.unprojected

    def work(self, batches: Sequence[PromptBatch], advance: Advance) -> Generator[EncodedPrompts]:
        """Encode batches in order, each filled up to `size`. Raises `InputError` for features that are not finite."""
        for batch in batches:
            prompts = list(batch.prompts)
            features = self._encode([*prompts, *[""] * (self._size - len(prompts))])[: len(prompts)]
            require_finite(features, self._model.identity)
            yield EncodedPrompts(batch.start, features, tuple(self._model.too_long(prompts)), self._model.logit_scale)
            advance(len(prompts))
