"""What an adapter is, decided before it exists. No torch."""

from __future__ import annotations

from xmap.stages.config import TopK
from xmap.stages.methods.registry import method_entry
from xmap.stages.methods.searched import MethodOptions
from xmap.stages.names import ADAPTER, Parts, command_line, validation_input
from xmap.store.artifacts.identity import Identity

ADAPTER_SCHEMA = 2


def adapter_identity(
    name: str,
    parts: Parts,
    texts: str,
    cache: Identity,
    method: str,
    options: MethodOptions,
    seed: int,
    protocol: str,
    shots: int,
    where: str = "",
    top_k: TopK = "all",
) -> Identity:
    """The adapter of one method and seed on `cache`; the validation samples it may choose on are an input. Raises `UnknownName`.

    `top_k` matters to methods whose keys stay in the cache's index; "all" is a dense adapter, whose fields do not mention it.
    """
    inputs = {"texts": texts, "cache": cache.fingerprint, **validation_input(name, parts, shots)}
    return Identity(
        ADAPTER,
        f"{name}-{method}-{shots}shot-seed{seed}",
        {
            "schema": ADAPTER_SCHEMA,
            "method": method,
            "version": method_entry(method).version,
            "options": options.declared(),
            "seed": seed,
            "protocol": protocol,
            **({} if trained_on(method, top_k) is None else {"top_k": top_k}),
        },
        inputs,
        command_line("train", where, shots, [method], [seed]),
    )


def trained_on(method: str, top_k: TopK) -> int | None:
    """How many keys a query retrieves while `method` is trained; None where it meets all of them. Raises `UnknownName`."""
    return None if top_k == "all" or not method_entry(method).retrieves else top_k
