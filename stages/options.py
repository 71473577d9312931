"""The options of every method, and the registry of methods. No torch here: planning validates options in milliseconds.

Adding a method: its options class and its entry here, its module under `stages/methods/`, its test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from stages.config import Config
from store.errors import UnknownName


class ZeroShotOptions(Config):
    """CLIP's zero-shot classifier has no options."""


class TipAdapterOptions(Config):
    """Tip-Adapter: the image cache, untrained. Defaults apply where nothing can be selected."""

    alpha: float = Field(1.0, gt=0, description="Weight of the cache at 16 shots and logit scale 100; rescaled for others.")
    beta: float = Field(5.5, gt=0, description="Sharpness of the affinity.")


class TipAdapterFOptions(TipAdapterOptions):
    """Tip-Adapter-F: the image keys become weights, trained as published."""

    epochs: int = Field(20, ge=1, description="Passes over the support.")
    learning_rate: float = Field(1e-3, gt=0, description="AdamW's, cosine decay to zero.")
    batch_size: int = Field(256, ge=1, description="Queries a step.")
    self_match: Literal["none", "mask"] = Field("none", description="Whether a support query meets its own key while training.")


@dataclass(frozen=True)
class MethodEntry:
    """A registered method: its options, the module that holds it, and the version of its mathematics.

    `version` enters the fingerprint: raise it when the same options would give other numbers.
    """

    options: type[Config]
    module: str
    version: int = 1


METHODS: Mapping[str, MethodEntry] = {
    "zero-shot": MethodEntry(ZeroShotOptions, "stages.methods.zero_shot"),
    "tip-adapter": MethodEntry(TipAdapterOptions, "stages.methods.tip_adapter"),
    "tip-adapter-f": MethodEntry(TipAdapterFOptions, "stages.methods.tip_adapter_f"),
}


def method_entry(name: str) -> MethodEntry:
    """The entry of a method. Raises `UnknownName`."""
    if name not in METHODS:
        raise UnknownName("method", name, tuple(METHODS))
    return METHODS[name]
