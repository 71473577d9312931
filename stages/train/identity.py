"""What an adapter is, decided before it exists. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xmap.stages.config import PoolShares, Protocol, TopK
from xmap.stages.methods.registry import method_entry
from xmap.stages.methods.searched import MethodOptions
from xmap.stages.names import ADAPTER, Parts
from xmap.store.artifacts.fingerprint import Fields
from xmap.store.artifacts.identity import Identity

ADAPTER_SCHEMA = 4


@dataclass(frozen=True)
class PoolSpec:
    """How a pool without labels is learned from: which class shares are believed, those `given` by class name, which sum to 1.

    `together`: it is the images that are asked about.
    """

    shares: PoolShares = "estimated"
    given: Mapping[str, float] | None = None
    together: bool = False

    @property
    def declared(self) -> Fields:
        """As an adapter's fields say it: nothing of what is not so."""
        given = {} if self.given is None else {"given": dict(self.given)}
        return {"shares": self.shares, **given, **({"together": True} if self.together else {})}


@dataclass(frozen=True)
class TrainSpec:
    """Which adapter to train: of what method, with what options and seed, its settings chosen on what validation samples.

    `top_k` matters to methods whose keys stay in the cache's index; with "all" an adapter is dense. `pool` says how a pool is learned
    from, where there is one.
    """

    method: str
    options: MethodOptions
    seed: int
    protocol: Protocol = "few"
    top_k: TopK = "all"
    pool: PoolSpec | None = None

    @property
    def retrieved(self) -> int | None:
        """How many keys a query retrieves in training; None where it meets all of them. Raises `UnknownName`."""
        return None if self.top_k == "all" or not method_entry(self.method).retrieves else self.top_k


def adapter_identity(parts: Parts, cache: Identity, spec: TrainSpec, beside: Mapping[str, str] | None = None) -> Identity:
    """The adapter trained on `cache`; the validation samples it may choose on are an input. Raises `UnknownName`.

    `beside` are the fingerprints of what else it learns from, by what that is to it: a `projection`, a `pool`.
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
        **({} if spec.pool is None else {"pool": spec.pool.declared}),
    }
    inputs = {"texts": cache.inputs["texts"], "cache": cache.fingerprint, **parts.validation(shots), **(beside or {})}
    name = f"{parts.name}-{spec.method}-{shots}shot-seed{spec.seed}"
    return Identity(ADAPTER, name, fields, inputs, parts.command("train", shots, [spec.method], [spec.seed]), parts.source)
