"""What a cache is, decided before it exists. No torch: a no-op run plans in milliseconds."""

from __future__ import annotations

from collections.abc import Sequence

from xmap.stages.config import CacheConfig
from xmap.stages.datasets.dataset import TRAIN, VAL
from xmap.stages.names import CACHE, Parts, numbered
from xmap.store.artifacts.identity import Identity

FLAT, AUTO = "Flat", "auto"
CACHE_SCHEMA = 1
# Indexes other than Flat: how they are chosen, what their recall is measured on, how far their effort is raised.
INDEXED_SCHEMA = 2


def cache_identity(parts: Parts, texts: str, config: CacheConfig, seed: int, more_texts: Sequence[str | None] = ()) -> Identity:
    """The cache of features: their `parts`, the fingerprint of their `texts`, and the seed unless the support is fixed.

    `more_texts` are those of the encoders beside the first, None of one without a text tower. The recall of an index other than Flat is
    raised on validation samples, which are then an input.
    """
    others = {numbered("texts", number): print for number, print in enumerate(more_texts, 2) if print is not None}
    part = parts.support(config.shots)
    drawn = seed if part == TRAIN else None
    suffix = "" if drawn is None else f"-seed{drawn}"
    schema = CACHE_SCHEMA if config.index == FLAT else INDEXED_SCHEMA
    return Identity(
        CACHE,
        f"{parts.name}-{config.shots}shot{suffix}",
        {
            "schema": schema,
            **config.model_dump(mode="json", exclude=_idle(config)),
            "seed": drawn,
        },
        {"texts": texts, **others, "support": parts.prints[part], **_measured_on(parts, config)},
        parts.command("build-cache", config.shots, seeds=[seed]),
        parts.source,
    )


def _measured_on(parts: Parts, config: CacheConfig) -> dict[str, str]:
    return {"validation": parts.prints[VAL]} if config.index != FLAT and VAL in parts.prints else {}


def _idle(config: CacheConfig) -> set[str]:
    """The fields that change nothing: Flat finds all there is, and a named index is taken whatever room it needs."""
    return {FLAT: {"recall", "index_memory"}, AUTO: set()}.get(config.index, {"index_memory"})
