"""What an adapter was made with beside images and prompts: its name does not say it, and without it two adapters look alike."""

from __future__ import annotations

from collections.abc import Mapping

from xmap.stages.names import ADAPTER, EVAL
from xmap.store.artifacts.artifact import Artifact


def made_with(artifact: Artifact, by_print: Mapping[str, Artifact]) -> tuple[str, ...]:
    """Several encoders, sentences that describe classes and a pool, in words, of an adapter or of all that an evaluation scored.

    `by_print` are the artifacts at hand by fingerprint. Empty where there are none of these, and for artifacts of other stages.
    """
    inputs = {name: by_print[digest] for name, digest in artifact.inputs.items() if digest in by_print}
    if artifact.stage == EVAL:
        adapters = (found for found in inputs.values() if found.stage == ADAPTER)
        return tuple(dict.fromkeys(words for adapter in adapters for words in made_with(adapter, by_print)))
    if artifact.stage != ADAPTER:
        return ()
    encoders = inputs["cache"].summary.get("encoders") if "cache" in inputs else None
    sentences = inputs["texts"].summary.get("sentences") if "texts" in inputs else None
    return (
        *((f"the encoders {' + '.join(encoders)}",) if encoders else ()),
        *((f"{sentences:,} sentence{'s' * (sentences != 1)} of classes",) if sentences else ()),
        *((f"the pool {inputs['pool'].name}" if "pool" in inputs else "a pool",) if "pool" in artifact.summary else ()),
    )
