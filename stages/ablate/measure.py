"""Scoring the variants of an ablation on the whole validation split, which nothing here chooses on: all settings are fixed.

The test split stays closed (`stages.fewshot.draw.split_files` refuses it), so a default may follow from what is seen here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from xmap.stages.ablate.variants import METHOD, Variant
from xmap.stages.adapters.files import on_device
from xmap.stages.adapters.neighbors import BATCH, batches
from xmap.stages.datasets.dataset import VAL
from xmap.stages.eval.metrics import RESAMPLES, Difference, bootstrap_interval, paired_difference, shared_part, with_seeds
from xmap.stages.fewshot.cache import OpenCache
from xmap.stages.fewshot.draw import Beside, splits_of
from xmap.stages.fewshot.task import Labelled, Segments
from xmap.stages.machine.device import repeatable
from xmap.stages.methods.fitting.threads import product_size, threads_for
from xmap.stages.methods.maths.hard_samples import Means, disagreement
from xmap.stages.methods.protocol import Cache, Fitted, NoLog
from xmap.stages.methods.protocol import method as load_method
from xmap.stages.methods.searched import MethodOptions
from xmap.stages.train.examination import on
from xmap.stages.train.identity import PoolSpec, TrainSpec
from xmap.stages.train.pool import read_pool
from xmap.stages.train.stage import assemble
from xmap.store.artifacts.artifact import Artifact
from xmap.store.errors import InputError
from xmap.store.formats.tables import Array

SEED = 0
RANDOM, FOCAL, DISAGREEMENT = "random", "focal: (1 - p)^2, zero-shot", "disagreement d"
ERRORS = ("zero-shot", "adapted")
# What an interval is over: the luck of the supports counts where they differ from seed to seed.
OVER_SAMPLES = "bootstrap over validation samples"
OVER_BOTH = "student-t over seeds and bootstrap over validation samples"


@dataclass(frozen=True)
class Inputs:
    """What a variant is trained on, with a pool where its config names one."""

    images: Artifact
    texts: Artifact
    cache: Artifact
    pool: Artifact | None = None
    pool_spec: PoolSpec | None = None


@dataclass(frozen=True)
class Trained:
    """A variant's adapter of one seed, with fixed settings, and the validation samples it is scored on, by sample id.

    `support` is the fingerprint of the cache that holds its support.
    """

    fitted: Fitted
    cache: Cache
    validation: Labelled
    seed: int
    support: str


@dataclass(frozen=True)
class Measured:
    """The accuracy of a variant in percent, and its difference from the default, with 95 % intervals of the kind `ci_kind`."""

    variant: str
    accuracy: float
    low: float
    high: float
    difference: float
    difference_low: float
    difference_high: float
    samples: int
    seeds: int
    default: bool
    ci_kind: str

    @property
    def verdict(self) -> str:
        """In a word: what the variant does. An interval that holds zero shows no effect."""
        if self.default:
            return "the default"
        if self.difference_low == self.difference_high == 0.0:
            return "the same"
        if self.difference_low <= 0.0 <= self.difference_high:
            return "no effect shown"
        return "better" if self.difference > 0 else "worse"


@dataclass(frozen=True)
class Ranking:
    """How well a score ranks wrongly answered samples before others: AUROC, 0.5 for chance, with its 95 % interval of `ci_kind`."""

    score: str
    errors: str
    auroc: float
    low: float
    high: float
    wrong: int
    samples: int
    ci_kind: str


def train_variant(inputs: Inputs, options: MethodOptions, seed: int, device: str, guided: bool = True) -> Trained:
    """Fit the method with its default settings; where it is not `guided`, sentences of a class count alike.

    Raises `InputError` without a validation split.
    """
    images, texts, cache = inputs.images, inputs.texts, inputs.cache
    if VAL not in splits_of(images):
        raise InputError(f"features {images.name!r} have no validation split, which ablations are measured on; give --val-share 0.2.")
    opened = OpenCache(cache, texts)
    task = assemble(images, opened, Beside.of(images, opened.values.sample_ids), TrainSpec(METHOD, options, seed, "paper"))
    task = task if guided else replace(task, text=task.text.unguided)
    if task.validation is None:
        raise InputError(f"features {images.name!r} hold no readable validation image, which ablations are measured on.")
    pool = None
    if inputs.pool is not None and inputs.pool_spec is not None:
        pool, _ = read_pool(inputs.pool, images, task.text.names, inputs.pool_spec)
    task_alone = replace(task, pool=pool).to(device).without_validation()
    with repeatable(seed, device), threads_for(product_size(task_alone, options)):
        fitted = load_method(METHOD).fit(task_alone, options, None, NoLog())
    return Trained(on_device(fitted, "cpu"), Cache.of(task), task.validation, seed, cache.fingerprint)


def hits(trained: Trained, variant: Variant) -> Array:
    """Which validation samples the variant gets right (B,) bool."""
    settings = {**trained.fitted.settings, **variant.settings}
    settings |= {name: float(settings[name]) * scale for name, scale in variant.scaled.items()}
    fitted, cache = replace(trained.fitted, settings=settings), trained.cache
    if variant.keys is not None:
        fitted, cache = keep_keys(fitted, cache, variant.keys)
    found: Array = on(load_method(METHOD), fitted, cache, trained.validation).numpy()
    return found


def keep_keys(fitted: Fitted, cache: Cache, per_class: int) -> tuple[Fitted, Cache]:
    """The adapter with at most `per_class` image keys of each class, the first by sample id; the affinity stays a class mean."""
    labels = cache.segments.labels
    rows = few(labels, per_class, torch.arange(len(labels)))
    segments = Segments.of(labels[rows], cache.segments.classes, min(per_class, cache.segments.shots))
    return replace(fitted, tensors={**fitted.tensors, "keys": fitted.tensors["keys"][rows]}), Cache(cache.text, segments)


def supports_differ(trained: Sequence[Trained]) -> bool:
    """Whether seeds met different supports."""
    return len({one.support for one in trained}) > 1


def measure(variant: Variant, found: Sequence[Array], base: Sequence[Array], differ: bool) -> Measured:
    """The row of a variant from the hits (B,) of each seed beside those of the default, seeds averaged.

    Intervals are over samples; where supports `differ` from seed to seed they hold their luck too, as an evaluation's differences do.
    """
    mine, default = (np.stack(hits, axis=1).astype(np.float64) for hits in (found, base))
    average = mine.mean(axis=1)
    accuracy = Difference(float(average.mean()), *bootstrap_interval(average, SEED))
    gap = paired_difference(average, default.mean(axis=1), SEED)
    if differ:
        accuracy, gap = _with_luck(accuracy, mine), _with_luck(gap, mine - default)
    shares = (accuracy.mean, max(accuracy.low, 0.0), min(accuracy.high, 1.0), gap.mean, gap.low, gap.high)
    mean, low, high, *gaps = (100.0 * share for share in shares)
    kind = OVER_BOTH if differ else OVER_SAMPLES
    return Measured(variant.name, mean, low, high, gaps[0], gaps[1], gaps[2], len(mine), len(found), variant.plain, kind)


def _with_luck(found: Difference, by_seed: Array) -> Difference:
    """The same mean of `by_seed` (B, S), with an interval that holds the luck of the supports."""
    return with_seeds(found, by_seed.mean(axis=0), shared_part(by_seed))


def find_hard(trained: list[Trained]) -> list[Ranking]:
    """AUROC of disagreement, of focal weights and of chance against the errors of zero-shot and of the adapter.

    Where all samples are answered rightly, or none, there is nothing to tell apart: those rows are left out.
    """
    columns = [_hard_columns(one) for one in trained]
    differ = supports_differ(trained)
    rows = []
    for errors in ERRORS:
        wrong = [seed[errors] for seed in columns]
        # A seed without both says nothing of its own.
        luck = differ and all(seed.any() and not seed.all() for seed in wrong)
        if len(np.unique(np.concatenate(wrong))) < 2:
            continue
        for score in (DISAGREEMENT, FOCAL, RANDOM):
            found = _auroc_of([seed[score] for seed in columns], wrong, luck)
            count, kind = int(np.sum(wrong)), OVER_BOTH if luck else OVER_SAMPLES
            rows.append(Ranking(score, errors, found.mean, max(found.low, 0.0), min(found.high, 1.0), count, np.size(wrong), kind))
    return rows


def auroc(scores: Array, positive: Array) -> float:
    """The probability that a positive sample scores above another one, ties half (Mann and Whitney, 1947); NaN without both."""
    count, others = int(positive.sum()), int((~positive).sum())
    if not count or not others:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    return float((ranks[positive].sum() - count * (count + 1) / 2.0) / (count * others))


def _auroc_of(scores: Sequence[Array], positive: Sequence[Array], luck: bool) -> Difference:
    """AUROC over the samples (B,) of all seeds, with its interval; with `luck`, the spread of the seeds' own is in it."""
    generator = np.random.default_rng(SEED)
    # One sample of all seeds is drawn together: they are not independent.
    score, wrong = np.stack(scores, axis=1), np.stack(positive, axis=1)
    samples = len(score)
    drawn = (generator.integers(0, samples, samples) for _ in range(RESAMPLES // 4))
    values = [auroc(score[rows].ravel(), wrong[rows].ravel()) for rows in drawn]
    low, high = np.nanquantile(values, [0.025, 0.975])
    found = Difference(auroc(score.ravel(), wrong.ravel()), float(low), float(high))
    return with_seeds(found, np.array([auroc(*seed) for seed in zip(scores, positive, strict=True)])) if luck else found


def _hard_columns(trained: Trained) -> dict[str, Array]:
    samples, module = trained.validation, load_method(METHOD)
    images, texts, wrong = [], [], []
    for part in batches(len(samples), BATCH):
        with torch.no_grad():
            scores = module.scores(trained.fitted, trained.cache, samples.features[part])
        if scores.image is not None and scores.text is not None:
            images.append(scores.image)
            texts.append(scores.text)
        wrong.append(scores.logits.argmax(1) != samples.labels[part])
    zero_shot = trained.cache.text.unguided.logits(samples.features).softmax(1)
    columns: dict[str, Tensor] = {
        DISAGREEMENT: disagreement(torch.cat(images), torch.cat(texts), Means.kept(trained.fitted.settings)),
        FOCAL: (1.0 - zero_shot.amax(1)).square(),
        RANDOM: torch.rand(len(samples), generator=torch.Generator().manual_seed(trained.seed)),
        ERRORS[0]: zero_shot.argmax(1) != samples.labels,
        ERRORS[1]: torch.cat(wrong),
    }
    return {name: values.numpy() for name, values in columns.items()}


def few(labels: Tensor, per_class: int, ranks: Tensor) -> Tensor:
    """The rows of the `per_class` lowest `ranks` of each class, in rank order within a class."""
    order = torch.argsort(ranks)
    order = order[torch.argsort(labels[order], stable=True)]
    ordered = labels[order]
    starts = torch.searchsorted(ordered, ordered)
    position = torch.arange(len(ordered), device=labels.device) - starts
    return order[position < per_class]
