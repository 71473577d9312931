"""What tuned class texts are, decided before they exist. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from xmap.stages.config import CacheConfig, Protocol, TextConfig
from xmap.stages.names import COOP, Parts
from xmap.store.artifacts.fingerprint import Fields, Json
from xmap.store.artifacts.identity import Identity

if TYPE_CHECKING:
    from xmap.stages.encoder.identity import EncoderIdentity

COOP_SCHEMA = 2


@dataclass(frozen=True)
class TuneSpec:
    """Which class texts to tune: through the text tower of `encoder`, on the support that `seed` draws for `cache`.

    `protocol` says which validation samples the epoch is chosen on.
    """

    encoder: EncoderIdentity
    cache: CacheConfig
    text: TextConfig
    seed: int
    protocol: Protocol = "few"


def coop_identity(parts: Parts, texts: Fields, spec: TuneSpec) -> Identity:
    """The class texts that CoOp tunes; `texts` are the fields of the prompts' text features."""
    shots, seed = spec.cache.shots, spec.seed
    fields = {
        "schema": COOP_SCHEMA,
        "encoder": texts["encoder"],
        "classes": texts["classes"],
        "template": _first(texts["templates"]),
        **spec.text.model_dump(mode="json", exclude={"text"}),
        "shots": shots,
        "short": spec.cache.short,
        "seed": seed,
        "protocol": spec.protocol,
    }
    inputs = {"support": parts.prints[parts.support(shots)], **parts.validation(shots)}
    command = parts.command("build-cache", shots, seeds=[seed])
    return Identity(COOP, f"{parts.name}-{shots}shot-seed{seed}", fields, inputs, command, parts.source)


def _first(values: Json) -> Json:
    return values[0] if isinstance(values, list) else values
