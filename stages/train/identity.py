"""What an adapter is, decided before it exists. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from xmap.stages.config import Protocol, TopK
from xmap.stages.methods.registry import method_entry
from xmap.stages.methods.searched import MethodOptions
from xmap.stages.names import ADAPTER, Parts
from xmap.store.artifacts.identity import Identity

ADAPTER_SCHEMA = 4


@dataclass(frozen=True)
class TrainSpec:
    """Which adapter to train: of what method, with what options and seed, its settings chosen on what validation samples.

    `top_k` matters to methods whose keys stay in the cache's index; with "all" an adapter is dense.
    """

    method: str
    options: MethodOptions
    seed: int
    protocol: Protocol = "few"
    top_k: TopK = "all"

    @property
    def retrieved(self) -> int | None:
        """How many keys a query retrieves in training; None where it meets all of them. Raises `UnknownName`."""
        return None if self.top_k == "all" or not method_entry(self.method).retrieves else self.top_k


def adapter_identity(parts: Parts, cache: Identity, spec: TrainSpec, projection: Identity | None = None) -> Identity:
    """The adapter trained on `cache`; the validation samples it may choose on are an input. Raises `UnknownName`.

    `projection` is what the text tower gives before its projection, for a method that learns from it.
    """
    shots = int(str(cache.fields["shots"]))
    entry = method_entry(spec.method)
    fields = {
        "schema": ADAPTER_SCHEMA,
        "method": spec.method,
        "version": entry.version,
        # Of xmap's own methods nothing is said: their fields are as they always were.
        **({"origin": {**entry.origin}} if entry.origin else {}),
        "options": spec.options.declared(),
        "seed": spec.seed,
        "protocol": spec.protocol,
        # Of a dense adapter nothing is said: its fields are as they always were.
        **({} if spec.retrieved is None else {"top_k": spec.retrieved}),
    }
    inputs = {"texts": cache.inputs["texts"], "cache": cache.fingerprint, **parts.validation(shots)}
    if projection is not None:
        inputs["projection"] = projection.fingerprint
    name = f"{parts.name}-{spec.method}-{shots}shot-seed{spec.seed}"
    return Identity(ADAPTER, name, fields, inputs, parts.command("train", shots, [spec.method], [spec.seed]), parts.source)
