"""What an evaluation is, decided before it exists. No torch."""

from __future__ import annotations

from collections.abc import Mapping

from xmap.stages.config import EvalConfig
from xmap.stages.datasets.dataset import TEST
from xmap.stages.names import EVAL, Parts
from xmap.store.artifacts.identity import Identity
from xmap.store.errors import InputError

EVAL_SCHEMA = 6


def eval_identity(parts: Parts, texts: str, config: EvalConfig, adapters: Mapping[tuple[str, int], Identity], shots: int) -> Identity:
    """The evaluation of adapters, keyed by (method, seed). Raises `InputError` where the features hold no test split."""
    if TEST not in parts.prints:
        raise InputError(f"features {parts.name!r} hold no test images; extract a dataset with a test split.")
    methods = list(dict.fromkeys(method for method, _ in adapters))
    seeds = list(dict.fromkeys(seed for _, seed in adapters))
    inputs = {"texts": texts, "test": parts.prints[TEST]}
    inputs.update({f"adapter {method} seed {seed}": adapter.fingerprint for (method, seed), adapter in adapters.items()})
    fields = {"schema": EVAL_SCHEMA, **config.model_dump(mode="json"), "methods": methods, "seeds": seeds}
    return Identity(EVAL, f"{parts.name}-{shots}shot", fields, inputs, parts.command("eval", shots, methods, seeds), parts.source)
