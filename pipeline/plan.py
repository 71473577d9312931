"""The plan of a run: ordered steps, each an artifact's identity and how to build it. No torch until a step is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.config import XmapConfig
from pipeline.features import IMAGES, TEXTS, Build, Built, Features, features_of
from stages.identities import ADAPTER, CACHE, EVAL, adapter_identity, cache_identity, eval_identity, support_part
from stages.progress import Progress
from store.artifact import Artifact, Identity, Store
from store.errors import InputError

STAGES = (IMAGES, TEXTS, CACHE, ADAPTER, EVAL)


@dataclass(frozen=True)
class Step:
    """One artifact of a run: what it is, what to call it, and how to build it from those before it (by fingerprint)."""

    identity: Identity
    title: str
    build: Build

    @property
    def stage(self) -> str:
        return self.identity.stage


@dataclass(frozen=True)
class Plan:
    """Steps in the order they run, each identity once, and remarks a person should see."""

    steps: tuple[Step, ...]
    remarks: tuple[str, ...] = ()


def make_plan(store: Store, config: XmapConfig, last: str = EVAL, rehash: bool = False, features: Features | None = None) -> Plan:
    """The steps up to the stage `last`. Raises `XmapError` for whatever can be known to fail before work starts.

    Several plans on the same features may be handed them.
    """
    features = features or features_of(store, config, rehash)
    depth = STAGES.index(last)
    steps = [
        Step(features.images, f"image features of {features.name}", features.build_images),
        Step(features.texts, f"text features of {features.name}", features.build_texts),
    ]
    if depth >= STAGES.index(CACHE):
        _require_shots(features, config)
        caches = {seed: _cache(store, features, config, seed) for seed in config.run.seeds}
        steps += caches.values()
    if depth >= STAGES.index(ADAPTER):
        pairs = [(method, seed) for method in config.run.methods for seed in config.run.seeds]
        adapters = {pair: _adapter(store, features, config, caches[pair[1]].identity, *pair) for pair in pairs}
        steps += adapters.values()
    if depth >= STAGES.index(EVAL):
        found = {pair: step.identity for pair, step in adapters.items()}
        steps.append(_eval(store, features, config, {seed: step.identity for seed, step in caches.items()}, found))
    return Plan(tuple({step.identity.fingerprint: step for step in reversed(steps)}.values())[::-1], features.remarks)


def _require_shots(features: Features, config: XmapConfig) -> None:
    support_part(features.name, features.parts, config.cache.shots)
    if features.shortest is None or config.cache.short == "keep":
        return
    count, name = features.shortest
    if count < config.cache.shots:
        least = f"--shots {count} or fewer, or " if count else ""
        remedy = f"choose {least}--short keep to take what there is"
        raise InputError(f"class {name!r} has {count} training images, fewer than {config.cache.shots} shots; {remedy}.")


def _cache(store: Store, features: Features, config: XmapConfig, seed: int) -> Step:
    identity = cache_identity(features.name, features.parts, features.texts.fingerprint, config.cache, seed, features.where)
    drawn = identity.fields["seed"]

    def build(built: Built, progress: Progress) -> Artifact:
        from stages.build_cache import build_cache

        images, texts = built[features.images.fingerprint], built[features.texts.fingerprint]
        return build_cache(store, identity, images, texts, config.cache, None if drawn is None else seed, progress)

    return Step(identity, "build-cache" if drawn is None else f"build-cache, seed {seed}", build)


def _adapter(store: Store, features: Features, config: XmapConfig, cache: Identity, method: str, seed: int) -> Step:
    options, shots, protocol = config.options(method), config.cache.shots, config.run.protocol
    identity = adapter_identity(
        features.name, features.parts, features.texts.fingerprint, cache, method, options, seed, protocol, shots, features.where
    )

    def build(built: Built, progress: Progress) -> Artifact:
        from stages.train import train

        images, texts = built[features.images.fingerprint], built[features.texts.fingerprint]
        key = built[cache.fingerprint]
        return train(store, identity, images, texts, key, method, options, seed, protocol, shots, config.run.device, progress)

    return Step(identity, f"train {method}, seed {seed}", build)


def _eval(
    store: Store, features: Features, config: XmapConfig, caches: Mapping[int, Identity], adapters: Mapping[tuple[str, int], Identity]
) -> Step:
    identity = eval_identity(
        features.name, features.parts, features.texts.fingerprint, config.eval, adapters, config.cache.shots, features.where
    )

    def build(built: Built, progress: Progress) -> Artifact:
        from stages.evaluate import Run, evaluate

        images, texts = built[features.images.fingerprint], built[features.texts.fingerprint]
        runs = [
            Run(method, seed, built[caches[seed].fingerprint], built[adapter.fingerprint]) for (method, seed), adapter in adapters.items()
        ]
        return evaluate(store, identity, images, texts, runs, config.eval, config.run.device, progress)

    return Step(identity, "eval", build)
