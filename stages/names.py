"""What caches, adapters and evaluations are, decided before they exist. No torch: a no-op run plans in milliseconds.

An input is named by the fingerprint of the part of the features it comes from, so that a changed test image retrains nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xmap.stages.config import CacheConfig, EvalConfig, TextConfig, TopK
from xmap.stages.datasets.dataset import TEST, TRAIN, VAL
from xmap.stages.methods.options import method_entry
from xmap.stages.methods.searched import MethodOptions
from xmap.store.artifacts.artifact import Identity
from xmap.store.artifacts.fingerprint import Fields, Json, fingerprint
from xmap.store.errors import InputError

COOP, CACHE, ADAPTER, EVAL = "coop", "cache", "adapter", "eval"
COOP_SCHEMA = 1
CACHE_SCHEMA = 1
# Indexes other than Flat: how they are chosen, what their recall is measured on, how far their effort is raised.
INDEXED_SCHEMA = 2
ADAPTER_SCHEMA = 2
EVAL_SCHEMA = 4
FLAT, AUTO = "Flat", "auto"
FIXED = "support-"

Parts = Mapping[str, str]


def support_part(name: str, parts: Parts, shots: int) -> str:
    """The part of features `name` that holds the support: `support-{shots}` where supports are fixed, else `train`.

    Raises `InputError` where there is none.
    """
    known = sorted(int(part.removeprefix(FIXED)) for part in parts if part.startswith(FIXED))
    if not known and TRAIN in parts:
        return TRAIN
    if not known:
        raise InputError(f"features {name!r} hold no training images; extract a dataset that has some.")
    if shots not in known:
        listed = ", ".join(str(count) for count in known)
        raise InputError(f"features {name!r} hold a support for {listed} shots, not for {shots}; choose one of these with --shots.")
    return f"{FIXED}{shots}"


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
    inputs = {"support": parts[part], **_validation(name, parts, cache.shots)}
    return Identity(COOP, f"{name}-{cache.shots}shot-seed{seed}", fields, inputs, _command("build-cache", where, cache.shots, seeds=[seed]))


def cache_identity(name: str, parts: Parts, texts: str, config: CacheConfig, seed: int, where: str = "") -> Identity:
    """The cache of features `name`: their `parts`, the fingerprint of their `texts`, and the seed unless the support is fixed.

    The recall of an index other than Flat is raised on validation samples, which are then an input.
    `where` is the part of the command line that names the features.
    """
    part = support_part(name, parts, config.shots)
    drawn = seed if part == TRAIN else None
    suffix = "" if drawn is None else f"-seed{drawn}"
    schema = CACHE_SCHEMA if config.index == FLAT else INDEXED_SCHEMA
    return Identity(
        CACHE,
        f"{name}-{config.shots}shot{suffix}",
        {
            "schema": schema,
            **config.model_dump(mode="json", exclude=_idle(config)),
            "seed": drawn,
        },
        {"texts": texts, "support": parts[part], **({"validation": parts[VAL]} if config.index != FLAT and VAL in parts else {})},
        _command("build-cache", where, config.shots, seeds=[seed]),
    )


def _idle(config: CacheConfig) -> set[str]:
    """The fields that change nothing: Flat finds all there is, and a named index is taken whatever room it needs."""
    return {FLAT: {"recall", "index_memory"}, AUTO: set()}.get(config.index, {"index_memory"})


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
    inputs = {"texts": texts, "cache": cache.fingerprint, **_validation(name, parts, shots)}
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
        _command("train", where, shots, [method], [seed]),
    )


def trained_on(method: str, top_k: TopK) -> int | None:
    """How many keys a query retrieves while `method` is trained; None where it meets all of them. Raises `UnknownName`."""
    return None if top_k == "all" or not method_entry(method).retrieves else top_k


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
    return Identity(EVAL, f"{name}-{shots}shot", fields, inputs, _command("eval", where, shots, methods, seeds))


def _validation(name: str, parts: Parts, shots: int) -> dict[str, str]:
    """The part of the features that validation samples come from, where there is one."""
    found = parts.get(VAL) or (parts.get(TRAIN) if support_part(name, parts, shots) == TRAIN else None)
    return {} if found is None else {"validation": found}


def _first(values: Json) -> Json:
    return values[0] if isinstance(values, list) else values


def part_of(fields: Mapping[str, str]) -> str:
    """The fingerprint of one part of features that others extracted: the content hashes of its files."""
    return fingerprint(fields)


def _command(command: str, where: str, shots: int, methods: Sequence[str] = (), seeds: Sequence[int] = ()) -> str:
    words = ["xmap", command, where, f"--shots {shots}"]
    words += [f"--methods {','.join(methods)}"] if methods else []
    words += [f"--seeds {','.join(map(str, seeds))}"] if seeds else []
    return " ".join(word for word in words if word)
