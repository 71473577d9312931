"""What an evaluation is, decided before it exists. No torch."""

from __future__ import annotations

from collections.abc import Mapping

from xmap.stages.config import EvalConfig
from xmap.stages.datasets.dataset import TEST
from xmap.stages.names import EVAL, Parts, command_line
from xmap.store.artifacts.identity import Identity
from xmap.store.errors import InputError

EVAL_SCHEMA = 4


def eval_identity(
    name: str,
    parts: Parts,
    texts: str,
    config: EvalConfig,
    adapters: Mapping[tuple[str, int], Identity],
    shots: int,
    where: str = "",
) -> Identity:
    """The evaluation of adapters, keyed by (method, seed). Raises `InputError` where the features hold no test split."""
    if TEST not in parts:
        raise InputError(f"features {name!r} hold no test images; extract a dataset with a test split.")
    methods = list(dict.fromkeys(method for method, _ in adapters))
    seeds = list(dict.fromkeys(seed for _, seed in adapters))
    inputs = {"texts": texts, "test": parts[TEST]}
    inputs.update({f"adapter {method} seed {seed}": adapter.fingerprint for (method, seed), adapter in adapters.items()})
    fields = {"schema": EVAL_SCHEMA, **config.model_dump(mode="json"), "methods": methods, "seeds": seeds}
    return Identity(EVAL, f"{name}-{shots}shot", fields, inputs, command_line("eval", where, shots, methods, seeds))
