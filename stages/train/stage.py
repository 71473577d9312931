"""The stage `train`: fit one method on one support with one seed, and keep what it is and how it got there.

The task a method is handed has no test features, and nothing here opens them (`stages.fewshot.draw.split_files` refuses). Where
there are no validation samples, settings are chosen on part of the support that is held out, and the method is then fitted
on all of it with those settings; with one shot nothing is chosen.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, replace

import torch

from xmap.stages.adapters.files import adapter_facts, on_device, texts_are_tuned, write_adapter
from xmap.stages.adapters.kept import Kept, write_kept
from xmap.stages.adapters.strangeness import strangeness
from xmap.stages.fewshot.cache import OpenCache
from xmap.stages.fewshot.draw import Beside, draw_calibration, draw_kept, draw_validation, per_class
from xmap.stages.fewshot.load import labelled, load_unprojected, require_same_encoder
from xmap.stages.fewshot.task import FewShotTask
from xmap.stages.machine.device import repeatable, resolve_device
from xmap.stages.machine.memory import available_bytes, peak_memory
from xmap.stages.methods.fitting.threads import product_size, threads_for
from xmap.stages.methods.protocol import Cache, Fitted, Method, NoLog, TrainLog
from xmap.stages.methods.protocol import method as load_method
from xmap.stages.methods.searched import MethodOptions
from xmap.stages.train.calibration import Said, calibrate_by_folds, calibrate_on, score
from xmap.stages.train.examination import examine
from xmap.stages.train.held_out import held_out
from xmap.stages.train.identity import TrainSpec
from xmap.stages.train.log import logged_rows, nearest, observe, write_log
from xmap.stages.train.out_of_sample import judge_beside, judge_support, write_judged
from xmap.stages.train.pool import pool_facts, read_pool
from xmap.stages.train.recorder import Recorder
from xmap.stages.workplace.place import Workplace
from xmap.stages.workplace.progress import Progress
from xmap.store.artifacts.artifact import Artifact
from xmap.store.artifacts.fingerprint import Json
from xmap.store.artifacts.identity import Identity
from xmap.store.errors import InputError
from xmap.store.formats.features import ImageFeatures

# Samples, or none, and in words what they are.
Drawn = tuple[ImageFeatures | None, str]
# A dense support is in memory as views and as keys, and once more while these are made.
COPIES = 3


def train(
    workplace: Workplace,
    identity: Identity,
    images: Artifact,
    texts: Artifact,
    cache: Artifact,
    spec: TrainSpec,
    beside: Mapping[str, Artifact] | None = None,
) -> Artifact:
    """Fit a method on the support of `cache` and store the adapter, its index and its affinity log.

    A method whose keys are the cache's own may leave them in the cache's index (`TrainSpec.retrieved`), and meets those it finds.
    `beside` holds what else the method learns from: a `projection`, what the text tower gives before it; a `pool` without labels.

    Raises `UnknownName` for a method that is not registered and `InputError` for a device that is not there or inputs that
    do not belong together.
    """
    module, progress = load_method(spec.method), workplace.progress
    device = resolve_device(workplace.device)
    with workplace.build(identity) as held:
        if isinstance(held, Artifact):
            return held
        progress.start(f"train {spec.method}, seed {spec.seed}", 1)
        opened = OpenCache(cache, texts)
        if spec.retrieved is None:
            require_room(spec.method, cache, opened.width)
        others = Beside.of(images, opened.values.sample_ids)
        task = with_beside(assemble(images, opened, others, spec), spec, images, beside or {}, progress)
        if len(task.support) < int(cache.summary["entries"]):
            progress.say(f"the training log tells of {len(task.support):,} of {cache.summary['entries']:,} samples, at even steps.")
        drawn, apart = draw_calibration(others, spec.seed), draw_kept(others, spec.seed, spec.protocol)
        recorder, placed = Recorder(), task.to(device)
        with repeatable(spec.seed, device), peak_memory(device) as memory:
            started = time.monotonic()
            fitted = fit(module, placed, spec.options, recorder)
            seconds = time.monotonic() - started
            said = None if drawn[0] is None else Said.of(module, fitted, placed, labelled(drawn[0]), drawn[1])
            calibration, folded = calibrate_by_folds(module, fitted, placed, spec.options) if said is None else (calibrate_on(said), None)
            kept = _kept(module, fitted, placed, opened, apart, folded)
        fitted = on_device(replace(fitted, calibration=calibration), "cpu")
        if not recorder:
            observe(module, fitted, task, recorder)
        facts = adapter_facts(spec.method, fitted, spec.options)
        stored = write_adapter(held.path, fitted, facts, str(cache.summary["index"]), cache.summary.get("effort"))
        write_kept(held.path, kept, identity.fingerprint)
        near = nearest(task, opened)
        write_log(held, spec, recorder, task, fitted, opened, near)
        judged = [] if said is None else [judge_beside(others.split, said, calibration)]
        write_judged(held, spec, [judge_support(task, opened, near), *judged])
        progress.advance(1)
        summary: dict[str, Json] = {"method": spec.method, "seed": spec.seed, "shots": opened.shots, **facts, "kept": kept.facts}
        summary |= {"train_seconds": round(seconds, 3), "stored_bytes": stored, **asdict(memory)}
        summary |= {} if task.pool is None else {"pool": pool_facts(task.pool, task.text.names, fitted, spec.pool)}
        return held.commit({**summary, "examination": examine(module, fitted, task)}, device=device)


def assemble(images: Artifact, cache: OpenCache, beside: Beside, spec: TrainSpec) -> FewShotTask:
    """The task: texts, the support of `cache` or its index, and the validation samples that the protocol allows."""
    k = spec.retrieved
    support = cache.support(images, None if k is None else logged_rows(len(cache.values)))
    require_same_encoder(images, cache.texts, support.views.shape[2], cache.text)
    rows, selected_on = draw_validation(beside, cache.shots, spec.seed, spec.protocol, cache.text.classes)
    index = None if k is None else cache.keys(k)
    validation = None if rows is None else labelled(rows)
    return FewShotTask(cache.text, support, validation, spec.seed, selected_on, index, cache.widths, cache.more_texts)


def with_beside(task: FewShotTask, spec: TrainSpec, images: Artifact, beside: Mapping[str, Artifact], progress: Progress) -> FewShotTask:
    """The task with what else its method learns from."""
    if "projection" in beside:
        task = replace(task, text=replace(task.text, unprojected=load_unprojected(beside["projection"], task.text)))
    if "pool" not in beside or spec.pool is None:
        return task
    pool, labelled = read_pool(beside["pool"], images, task.text.names, spec.pool)
    if pool.features.shape[1] != task.text.weights.shape[1]:
        widths = f"width {pool.features.shape[1]}, those that are trained on {task.text.weights.shape[1]}"
        raise InputError(f"the pool {beside['pool'].name!r} has features of {widths}; name a pool of the same encoder with --pool.")
    if labelled:
        progress.say(f"{labelled:,} images of the pool have labels, in training or validation, and are left out of it")
    return replace(task, pool=pool)


def fit(module: Method, task: FewShotTask, options: MethodOptions, log: TrainLog) -> Fitted:
    """Fit with choices made on validation samples, else on held-out support, else with fixed defaults.

    Keys in an index cannot be held out of it: without validation samples these meet fixed defaults.
    """
    with threads_for(product_size(task, options)):
        return _fit(module, task, options, log)


def _fit(module: Method, task: FewShotTask, options: MethodOptions, log: TrainLog) -> Fitted:
    if task.validation is not None:
        return module.fit(task, options, None, log)
    held = held_out(task.support, task.seed) if task.index is None else torch.empty(0, dtype=torch.int64)
    if not len(held):
        return module.fit(task.without_validation(), options, None, log)
    counts = torch.bincount(task.support.labels[held], minlength=task.support.classes).cpu().numpy()
    chosen = module.fit(replace(task.fold(held), selected_on=f"held-out support, {per_class(counts)}"), options, None, NoLog())
    torch.manual_seed(task.seed)
    final = module.fit(task.without_validation(), options, chosen.settings, log)
    return replace(final, selection=chosen.selection)


def _kept(module: Method, fitted: Fitted, task: FewShotTask, cache: OpenCache, apart: Drawn, folded: Kept | None) -> Kept:
    """What an adapter says of the samples kept `apart` from all choices; where there are none beside the support, of that, out of sample.

    Class texts that were tuned on all of it leave nothing out of sample: what they say of it bears no promise.
    """
    rows, source = apart
    if rows is None:
        return Kept.none(source) if folded is None or texts_are_tuned(cache) else folded
    samples = labelled(rows)
    logits = score(module, fitted, Cache.of(task), samples.to(str(task.text.weights.device)))
    return Kept.of(source, samples.sample_ids, samples.labels, logits, strangeness(logits, cache.space.cosines(samples.features)))


def require_room(method: str, cache: Artifact, width: int) -> None:
    """Raise `InputError` where a method that needs all keys at once would not find the memory for them."""
    entries, free = int(cache.summary["entries"]), available_bytes()
    needed = entries * (int(cache.summary["views"]) + COPIES - 1) * width * 4
    if free is not None and needed > free:
        raise InputError(
            f"{method} here takes all {entries:,} keys into memory, about {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free; "
            "choose fewer --shots, or --methods tip-adapter with --top-k 100."
        )
