"""The plan of a run: ordered steps, each an artifact's identity and how to build it. No torch until a step is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from xmap.pipeline.run.data_changes import AtHand
from xmap.pipeline.run.encoded import Build, Built
from xmap.pipeline.run.features import Features, encoder_of, features_of
from xmap.pipeline.run.pool import ESTIMATED, Pool, pool_of
from xmap.pipeline.run.source import ENCODER, source_of
from xmap.pipeline.run.trainings import Training
from xmap.pipeline.settings.config import XmapConfig
from xmap.pipeline.settings.usual import left_out
from xmap.stages.build_cache.identity import cache_identity
from xmap.stages.datasets.dataset import TRAIN
from xmap.stages.encoder.names import BUNDLED
from xmap.stages.eval.identity import eval_identity
from xmap.stages.extract.identity import projection_identity
from xmap.stages.methods.registry import method_entry, method_names
from xmap.stages.names import ADAPTER, CACHE, COOP, EVAL, IMAGES, JOINED, PAIRS, PROJECTION, TEXTS
from xmap.stages.pairs.identity import pairs_identity
from xmap.stages.train.identity import TrainSpec, adapter_identity
from xmap.stages.tune_texts.identity import TuneSpec, coop_identity
from xmap.stages.workplace.place import Workplace
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.artifacts.identity import Identity
from xmap.store.disk.plain import named
from xmap.store.errors import InputError, MethodRefused

if TYPE_CHECKING:
    from xmap.stages.encoder.identity import EncoderIdentity
    from xmap.stages.eval.scoring import Run

FAITHFUL = "xmadapter-paper"
STAGES = (IMAGES, TEXTS, JOINED, COOP, CACHE, PROJECTION, ADAPTER, PAIRS, EVAL)


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
    """Steps in the order they run, each identity once, and remarks a person should see before them and (`afterwards`) after them.

    `trainings` are those of the steps that an engine elsewhere does together. `dataset` names the data set, `at_hand` are its images as
    they are now, where there are any; `doubts` are those of the remarks that make one doubt any results.
    """

    steps: tuple[Step, ...]
    trainings: tuple[Training, ...] = ()
    remarks: tuple[str, ...] = ()
    dataset: str = ""
    at_hand: AtHand | None = None
    afterwards: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


def make_plan(store: Store, config: XmapConfig, last: str = EVAL, rehash: bool = False, features: Features | None = None) -> Plan:
    """The steps up to the stage `last`. Raises `XmapError` for whatever can be known to fail before work starts.

    Several plans on the same features may be handed them.
    """
    features = features or features_of(store, config, rehash)
    depth, remarks = STAGES.index(last), features.remarks
    steps = _features(features, depth)
    # Whoever builds caches alone asks for no pool: it is an input of adapters.
    pool = pool_of(store, config, features, rehash) if last == TEXTS or depth >= STAGES.index(ADAPTER) else None
    steps += [Step(pool.images, f"image features of the pool {pool.name}", pool.build)] if pool else []
    remarks += pool.remarks if pool else ()
    if depth >= STAGES.index(CACHE):
        _require_shots(features, config)
        texts = _texts(store, features, config, rehash)
        steps += [step for step in texts.values() if step.stage == COOP]
        caches = {seed: _cache(features, config, texts[seed].identity, seed) for seed in config.run.seeds}
        steps += caches.values()
    trainings: dict[tuple[str, int], Training] = {}
    if depth >= STAGES.index(ADAPTER):
        _require_one_encoder(features, config)
        projection = _projection(store, features, config, rehash)
        steps += [projection] if projection else []
        pairs = [(method, seed) for method in config.run.methods for seed in config.run.seeds]
        trainings = {pair: _training(features, config, caches[pair[1]].identity, (projection, pool), *pair) for pair in pairs}
        remarks += (*_text_remarks(features, config), *left_out(config.run))
        steps += [Step(training.identity, f"train {method}, seed {seed}", training.build) for (method, seed), training in trainings.items()]
    if depth >= STAGES.index(PAIRS):
        steps += _pairs(features, config)
    if depth >= STAGES.index(EVAL):
        steps.append(_eval(features, config, {pair: training.identity for pair, training in trainings.items()}))
        remarks += _unused(config)
    once = tuple({step.identity.fingerprint: step for step in reversed(steps)}.values())[::-1]
    afterwards = _model_remarks(features) if last == EVAL else ()
    return Plan(once, tuple(trainings.values()), remarks, features.dataset, features.at_hand, afterwards, features.doubts)


def _features(features: Features, depth: int) -> list[Step]:
    """Image and text features of each encoder, and what joins those of several."""
    texts = Step(features.texts, f"text features of {features.name}", features.build_texts)
    joined = Step(features.images, f"{'joined' if features.encoders else 'image'} features of {features.name}", features.build_images)
    if not features.encoders:
        return [joined, texts]
    steps = []
    for one in features.encoders:
        steps.append(Step(one.images, f"image features of {one.parts.name}", one.build_images))
        steps += [Step(one.texts, f"text features of {one.parts.name}", one.build_texts)] if one.texts else []
    return [*steps, joined] if depth >= STAGES.index(JOINED) else steps


def _unused(config: XmapConfig) -> tuple[str, ...]:
    """Remarks on methods that settings are given for and that do not run, and on shares of a pool that is not there."""
    given = [
        name for name, options in config.methods.items() if name not in config.run.methods and options.model_dump(exclude_defaults=True)
    ]
    methods = (f"settings of {named(given)} are given, which is not among the methods of this run: --methods names them",) if given else ()
    shares = not config.run.pool and config.run.pool_shares != ESTIMATED
    return (*methods, *(("--pool-shares is given, and changes nothing without --pool",) if shares else ()))


def _require_one_encoder(features: Features, config: XmapConfig) -> None:
    """Raise `InputError` where there are several encoders for what takes one."""
    if not features.encoders:
        return
    remedy = "leave out --also-model and --also-features"
    alone = [name for name in config.run.methods if not method_entry(name).several]
    if alone:
        able = [name for name in method_names() if method_entry(name).several]
        raise InputError(
            f"methods that take one encoder: {named(alone)}; {remedy}, or choose of {', '.join(able) or 'none'} with --methods."
        )
    if config.eval.top_k != "all":
        raise InputError(f"--top-k retrieves keys of one encoder; {remedy}, or take --top-k all.")


def _require_shots(features: Features, config: XmapConfig) -> None:
    features.parts.support(config.cache.shots)
    shots = config.cache.shots
    short = {name: counts for name, counts in features.counts.items() if counts.get(TRAIN, shots) < shots}
    if not short or config.cache.short == "keep":
        return
    raise InputError(
        f"{_shortest(short, shots)}--short keep to take what there is, or take {'it' if len(short) == 1 else 'them'} out of the data."
    )


def _shortest(short: Mapping[str, Mapping[str, int]], shots: int) -> str:
    """The class with the fewest training images: how many it has, where its other images are, and how many shots it would do for."""
    name = min(short, key=lambda name: (short[name][TRAIN], name))
    count, total = short[name][TRAIN], sum(short[name].values())
    others = " and ".join(f"{found} in {split}" for split, found in short[name].items() if found and split != TRAIN)
    where = f" (of its {total} images {others})" if others else ""
    more = f"; so have {len(short) - 1} other classes" if len(short) > 2 else "; so has 1 other class" if len(short) == 2 else ""
    least = f"--shots {count}{' or fewer' * (count > 1)}, or " if count else ""
    return f"class {name!r} has {count} training image{'s' * (count != 1)}, fewer than {shots} shots{where}{more}; choose {least}"


def _texts(store: Store, features: Features, config: XmapConfig, rehash: bool) -> dict[int, Step]:
    """The class texts of each seed: the prompts', which all seeds share, or those that CoOp tunes on a seed's support."""
    if config.text.text == "prompts":
        shared = Step(features.texts, f"text features of {features.name}", features.build_texts)
        return dict.fromkeys(config.run.seeds, shared)
    if features.described:
        raise InputError("--text coop tunes one prompt for all classes, and --descriptions gives sentences to each; leave one of them out.")
    encoder = encoder_of(store, config, features, rehash)
    return {seed: _coop(features, config, encoder, seed) for seed in config.run.seeds}


def _coop(features: Features, config: XmapConfig, encoder: EncoderIdentity, seed: int) -> Step:
    spec = TuneSpec(encoder, config.cache, config.text, seed, config.run.protocol)
    # The format that is meant, where it is chosen here.
    stated = source_of(config.override({"encoder.precision": encoder.precision}))[ENCODER]
    parts = replace(features.parts, source={**features.parts.source, ENCODER: stated})
    identity = coop_identity(parts, features.texts.fields, spec)

    def build(built: Built, workplace: Workplace) -> Artifact:
        from xmap.stages.tune_texts.stage import tune_texts

        images, texts = built[features.images.fingerprint], built[features.texts.fingerprint]
        return tune_texts(workplace, identity, images, texts, spec)

    return Step(identity, f"tune context, seed {seed}", build)


def _text_remarks(features: Features, config: XmapConfig) -> tuple[str, ...]:
    """What a reader of the paper should know: its text cache starts from CoOp's texts."""
    if FAITHFUL not in config.run.methods or config.text.text == "coop":
        return ()
    why = "imported features come without a text tower to tune" if features.imported else "--text coop tunes them"
    return (f"{FAITHFUL}: the class texts are those of hand prompts, the paper's are CoOp's ({why})",)


def _model_remarks(features: Features) -> tuple[str, ...]:
    """What a reader of the numbers should know of the model."""
    if features.encoder is None or features.encoder.name not in BUNDLED:
        return ()
    name = features.encoder.name
    return (f"{name} knows printed characters only: good for trying commands; for photographs choose another --model",)


def _cache(features: Features, config: XmapConfig, texts: Identity, seed: int) -> Step:
    more = [None if each is None else each.fingerprint for each in features.more_texts]
    identity = cache_identity(features.parts, texts.fingerprint, config.cache, seed, more)
    drawn = identity.fields["seed"]

    def build(built: Built, workplace: Workplace) -> Artifact:
        from xmap.stages.build_cache.stage import build_cache

        images, others = built[features.images.fingerprint], [None if digest is None else built[digest] for digest in more]
        return build_cache(workplace, identity, images, built[texts.fingerprint], config.cache, None if drawn is None else seed, others)

    return Step(identity, "build-cache" if drawn is None else f"build-cache, seed {seed}", build)


def _projection(store: Store, features: Features, config: XmapConfig, rehash: bool) -> Step | None:
    """What the text tower gives before its projection, where a method of the run learns from that."""
    asking = [method for method in config.run.methods if method_entry(method).unprojected]
    if not asking:
        return None
    if features.imported:
        problem = "they were imported, and come without the text tower that it goes back through"
        raise MethodRefused(
            asking[0], features.name, problem, "leave it out of --methods, or extract the images with --data DIR and --model NAME"
        )
    identity = projection_identity(features.texts, features.parts.command("train", config.cache.shots, asking))
    # What is there needs no model.
    encoder = None if store.find(identity) else encoder_of(store, config, features, rehash, f"leave {asking[0]} out of --methods")

    def build(built: Built, workplace: Workplace) -> Artifact:
        from xmap.stages.extract.stage import extract_projection

        return extract_projection(workplace, identity, built[features.texts.fingerprint], encoder or encoder_of(store, config, features))

    return Step(identity, f"texts of {features.name} before their projection", build)


def _training(
    features: Features, config: XmapConfig, cache: Identity, others: tuple[Step | None, Pool | None], method: str, seed: int
) -> Training:
    projection, pool = others
    spec = TrainSpec(method, config.options(method), seed, config.run.protocol, config.eval.top_k, pool.spec if pool else None)
    before = {"projection": projection.identity.fingerprint} if projection and method_entry(method).unprojected else {}
    beside = before | ({"pool": pool.images.fingerprint} if pool else {})
    identity = adapter_identity(features.parts, cache, spec, beside)
    inputs = features.images.fingerprint, cache.inputs["texts"], cache.fingerprint
    return Training(identity, *inputs, spec, beside)


def _pairs(features: Features, config: XmapConfig) -> list[Step]:
    """What looks for images that are there twice, where there are images."""
    command = features.parts.command("eval", config.cache.shots, config.run.methods, list(config.run.seeds))
    # By the first of several encoders: what is there twice is so whoever sees it.
    images = features.encoders[0].images if features.encoders else features.images
    identity = pairs_identity(features.first, config.pairs, command)
    if identity is None:
        return []

    def build(built: Built, workplace: Workplace) -> Artifact:
        from xmap.stages.pairs.stage import find_pairs

        return find_pairs(workplace, identity, built[images.fingerprint], config.pairs)

    return [Step(identity, "compare images", build)]


def _eval(features: Features, config: XmapConfig, adapters: Mapping[tuple[str, int], Identity]) -> Step:
    identity = eval_identity(features.parts, features.texts.fingerprint, config.eval, adapters, config.cache.shots)

    def build(built: Built, workplace: Workplace) -> Artifact:
        from xmap.stages.eval.stage import evaluate

        images, texts = built[features.images.fingerprint], built[features.texts.fingerprint]
        return evaluate(workplace, identity, images, texts, runs_of(built, adapters), config.eval)

    return Step(identity, "eval", build)


def runs_of(built: Built, adapters: Mapping[tuple[str, int], Identity]) -> list[Run]:
    """What an evaluation is handed of each adapter, keyed by (method, seed): itself, its cache and its class texts."""
    from xmap.stages.eval.scoring import Run

    return [
        Run(*pair, built[adapter.inputs["cache"]], built[adapter.fingerprint], built[adapter.inputs["texts"]])
        for pair, adapter in adapters.items()
    ]
