"""What tuned class texts are, decided before they exist. No torch."""

from __future__ import annotations

from xmap.stages.config import CacheConfig, TextConfig
from xmap.stages.names import COOP, Parts, command_line, support_part, validation_input
from xmap.store.artifacts.fingerprint import Fields, Json
from xmap.store.artifacts.identity import Identity

COOP_SCHEMA = 1


def coop_identity(
    name: str, parts: Parts, texts: Fields, config: TextConfig, cache: CacheConfig, seed: int, protocol: str, where: str = ""
) -> Identity:
    """The class texts that CoOp tunes on the support of `seed`; `texts` are the fields of the prompts' text features."""
    part = support_part(name, parts, cache.shots)
    fields = {
        "schema": COOP_SCHEMA,
        "encoder": texts["encoder"],
        "classes": texts["classes"],
        "template": _first(texts["templates"]),
        **config.model_dump(mode="json", exclude={"text"}),
        "shots": cache.shots,
        "short": cache.short,
        "seed": seed,
        "protocol": protocol,
    }
    inputs = {"support": parts[part], **validation_input(name, parts, cache.shots)}
    return Identity(
        COOP, f"{name}-{cache.shots}shot-seed{seed}", fields, inputs, command_line("build-cache", where, cache.shots, seeds=[seed])
    )


def _first(values: Json) -> Json:
    return values[0] if isinstance(values, list) else values
