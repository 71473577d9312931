"""XMAdapter, our default form: the paper's two caches, fused affinities and hard-sample weights, in discriminant spaces.

    A_img[j] = exp(-beta (1 - norm((f - c) A_i) . norm(k_j))) / beta     image cache, class means over the keys of a class
    A_txt[c] = exp(-beta_t (max_c' q.m_c' - q.m_c)) / beta_t             text cache, q = Img2TxtNet(f), m = MetaNet(texts)
    logits   = s f norm(W + rho R)^T + alpha (gamma A_img + (1 - gamma) A_txt)

The spaces come in closed form (`stages.methods.maths.discriminant`). The image keys k_j and the residual class weights R are trained
together on support images that never meet themselves in either cache, with the weights w_i of section 2.5 and CLAP's pull to
the texts (Silva-Rodriguez et al., CVPR 2024). alpha, gamma and rho stay at their defaults unless validation speaks clearly for
others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from xmap.stages.fewshot.pool import Pool
from xmap.stages.fewshot.task import FewShotTask, Labelled, Retrieved, Segments, Support
from xmap.stages.methods.fitting.epochs import Batch, Schedule, Step, run_epochs
from xmap.stages.methods.maths.affinity import affinity, class_sums, masked_class_sums, sparse_class_sums
from xmap.stages.methods.maths.discriminant import Spaces, learn_spaces
from xmap.stages.methods.maths.hard_samples import Means, OnlineWeights, weighted_mean
from xmap.stages.methods.maths.trained_keys import TrainedKeySums
from xmap.stages.methods.maths.unlabelled import membership, soft_labels, spread_of
from xmap.stages.methods.options import POOL_SHOTS, XMAdapterOptions
from xmap.stages.methods.protocol import Cache, Fitted, NoLog, Scores, Selection, Settings, TrainLog
from xmap.stages.methods.searched import Grid

ALPHA_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
GAMMAS = (0.1, 0.3, 0.5, 0.7)
RESIDUALS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5)
CHUNK = 1024
# Strengths of the two sides: alpha gamma of the image side by shots, alpha (1 - gamma) of the text side.
IMAGE_PER_SHOT, IMAGE_MOST, TEXT_SIDE = 10.0, 100.0, 20.0
# With so few shots the keys stay as they are: an image left out leaves its class nothing, or one key, to be trained by.
FROZEN_SHOTS = 2.0
# Opinions are so much softer where they say how strange an image is.
SOFTNESS = 2.0
# A choice must be this many standard errors better on validation than the defaults (sign test on the samples that differ).
CLEARLY = 2.0


@dataclass(frozen=True)
class Sides:
    """Both sides' class means (B, N) for a batch of queries."""

    image: Tensor
    text: Tensor

    def fused(self, alpha: float, gamma: float) -> Tensor:
        """`alpha (gamma A_img + (1 - gamma) A_txt)` (B, N)."""
        return alpha * (gamma * self.image + (1.0 - gamma) * self.text)


def fit(task: FewShotTask, options: XMAdapterOptions, settings: Settings | None, log: TrainLog) -> Fitted:
    """Learn the spaces, train image keys and residual class weights, and choose alpha, gamma and rho on validation samples.

    With a pool all is learned from labels first; what these say of the pool's images then has a part in the spaces.
    """
    fixed = settings or defaults(task, options)
    if task.pool is None or not len(task.pool):
        fitted = learn(task, options, fixed, log, learn_spaces(task, options.metric))
    else:
        fitted = with_pool(task, options, fixed, log, task.pool)
    return fitted if settings is not None or task.validation is None else choose(task, options, fitted, task.validation)


def learn(task: FewShotTask, options: XMAdapterOptions, fixed: Settings, log: TrainLog, spaces: Spaces) -> Fitted:
    """Train image keys and residual class weights in `spaces`, with fixed settings."""
    tuned = options.keys == "tuned" and mean_shots(task) > FROZEN_SHOTS
    residual, keys, means = train(task, options, spaces, fixed, tuned, log)
    tensors = {
        "keys": keys,
        "text_keys": spaces.text_keys,
        "center": spaces.center,
        "image_map": spaces.image_map,
        "text_map": spaces.text_map,
        "residual": residual,
    }
    found = {**fixed, **means.settings}
    return Fitted(tensors, found, Selection(task.selected_on), residual.numel() + tuned * keys.numel())


def with_pool(task: FewShotTask, options: XMAdapterOptions, fixed: Settings, log: TrainLog, pool: Pool) -> Fitted:
    """Learn from labels, then once more with what these say of a pool's images; see `stages.methods.maths.unlabelled`.

    Beyond `POOL_SHOTS` labels show all that a pool would, and what they have taught stays as it is, bit for bit.
    """
    heard = mean_shots(task) <= POOL_SHOTS
    # Where directions are alike, the last bits of sums decide which stand for them, and training depends on that: one order for all pools.
    pool = replace(pool, features=torch.unique(pool.features, dim=0))
    spaces = learn_spaces(task, options.metric)
    fitted = learn(task, options, fixed, NoLog() if heard else log, spaces)
    soft, shares = opinion(task, fitted, spaces, pool)
    if heard:
        spread = spread_of(pool.features - spaces.center, soft, spaces.anchor, mean_shots(task))
        torch.manual_seed(task.seed)
        fitted = learn(task, options, fixed, log, learn_spaces(task, options.metric, spread))
    return replace(fitted, tensors={**fitted.tensors, "pool_shares": shares.float()})


def opinion(task: FewShotTask, fitted: Fitted, spaces: Spaces, pool: Pool) -> tuple[Tensor, Tensor]:
    """The soft labels (P, N) of a pool's images by a fitted adapter, and the class shares (N,); strange images weigh nothing.

    How strange an image of the classes may be the support shows, whose images do not meet themselves.
    """
    support, (alpha, gamma, beta, beta_text) = (
        task.support,
        (float(fitted.settings[name]) for name in ("alpha", "gamma", "beta", "beta_text")),
    )
    own = Sides(own_image(support, spaces, fitted.tensors["keys"], beta), own_text(support, spaces, beta_text))
    met = both_sides(fitted, task.segments, pool.features)
    known, strange = (
        1.0 - ((task.text.logits(features) + sides.fused(alpha, gamma)) / SOFTNESS).softmax(1).amax(1)
        for features, sides in ((support.keys, own), (pool.features, met))
    )
    logits = scores(fitted, Cache.of(task), pool.features).logits
    return soft_labels(logits, membership(strange, known), pool)


def defaults(task: FewShotTask, options: XMAdapterOptions) -> Settings:
    """The settings before any choice: the image side and rho grow with the shots, which are their evidence."""
    shots = mean_shots(task)
    image = min(max(IMAGE_PER_SHOT * (shots - 1.0), IMAGE_PER_SHOT), IMAGE_MOST)
    alpha = options.initial("alpha", image + TEXT_SIDE)
    gamma = options.initial("gamma", image / (image + TEXT_SIDE))
    rho = options.initial("residual", min(0.75, shots / 4.0))
    return {"alpha": alpha, "gamma": gamma, "residual": rho, "beta": options.beta, "beta_text": options.beta_text}


def mean_shots(task: FewShotTask) -> float:
    """The harmonic mean of the shots of the classes that have any."""
    counts = task.support.segments.counts
    return float(1.0 / (1.0 / counts[counts > 0]).mean())


def scores(fitted: Fitted, cache: Cache, features: Tensor, retrieved: Retrieved | None = None) -> Scores:
    """Residual text logits plus the fused affinities; the image side from all keys or from retrieved ones."""
    chosen = fitted.settings
    sides = both_sides(fitted, cache.segments, features, retrieved)
    weights = residual_weights(cache.text.weights, fitted.tensors["residual"], float(chosen["residual"]))
    logits = cache.text.logit_scale * features @ weights.T + sides.fused(float(chosen["alpha"]), float(chosen["gamma"]))
    return Scores(logits, sides.image, sides.text, features.new_full((features.shape[0],), float(chosen["gamma"])))


def index_queries(fitted: Fitted, features: Tensor) -> Tensor:
    """Where queries (B, C) meet the image keys: unit vectors in the image side's space."""
    return normalize((features - fitted.tensors["center"]) @ fitted.tensors["image_map"], dim=-1)


def both_sides(fitted: Fitted, segments: Segments, features: Tensor, retrieved: Retrieved | None = None) -> Sides:
    """The class means of both caches' affinities for unit features (B, C)."""
    beta, tensors = float(fitted.settings["beta"]), fitted.tensors
    if retrieved is not None:
        sums = sparse_class_sums(retrieved.scores, retrieved.rows, beta, segments)
    else:
        sums = class_sums(affinity(index_queries(fitted, features) @ tensors["keys"].T, beta), segments)
    mapped = normalize((features - tensors["center"]) @ tensors["text_map"], dim=-1)
    return Sides(sums / (segments.shots * beta), relative(mapped @ tensors["text_keys"].T, float(fitted.settings["beta_text"])))


def own_image(support: Support, spaces: Spaces, keys: Tensor, beta: float) -> Tensor:
    """The image side (M, N) that the support itself meets at unit `keys` (M, C), each image without its own key."""
    met = [masked_class_sums(affinity(spaces.keys[rows] @ keys.T, beta), rows, support.segments) for rows in support.chunks(CHUNK)]
    return torch.cat(met) / (support.segments.shots * beta)


def own_text(support: Support, spaces: Spaces, beta: float) -> Tensor:
    """The text side (M, N) that the support itself meets, each image without its own share of its class's text key."""
    texts = []
    for rows in support.chunks(CHUNK):
        mapped = normalize((support.keys[rows] - spaces.center) @ spaces.text_map, dim=-1)
        own = (mapped * spaces.own_text[rows]).sum(1, keepdim=True)
        texts.append(relative((mapped @ spaces.text_keys.T).scatter(1, support.labels[rows][:, None], own), beta))
    return torch.cat(texts)


def relative(similarity: Tensor, beta: float) -> Tensor:
    """The text kernel, measured from the query's best class, over beta_t: sharpness then leaves its slope at the top alone."""
    return torch.exp((similarity - similarity.amax(1, keepdim=True)) * beta) / beta


def residual_weights(texts: Tensor, residual: Tensor, share: float) -> Tensor:
    """The class weights norm(W + rho R) (N, C)."""
    return normalize(texts + share * residual, dim=-1)


def train(
    task: FewShotTask, options: XMAdapterOptions, spaces: Spaces, fixed: Settings, tuned: bool, log: TrainLog
) -> tuple[Tensor, Tensor, Means]:
    """Train R (N, C) and the keys (M, C) beside the leave-one-out caches: weighted cross-entropy plus CLAP's class-wise penalty.

    Returns R, the unit keys, which are those of `spaces` unless they are `tuned`, and the sides' means over the support. Weights
    follow the image side from epoch to epoch; where keys stay as they are, so do the weights.
    """
    support, text, segments = task.support, task.text, task.support.segments
    beta, alpha, gamma = (float(fixed[name]) for name in ("beta", "alpha", "gamma"))
    sides = Sides(own_image(support, spaces, spaces.keys, beta), own_text(support, spaces, float(fixed["beta_text"])))
    hard = OnlineWeights(sides.image, sides.text, options.hard_weight)
    penalties = zero_shot_trust(task) * options.penalty * (text.logit_scale / 100.0) ** 2
    residual = torch.zeros_like(text.weights).requires_grad_()
    keys = spaces.keys.clone().requires_grad_(tuned)
    key_sums = TrainedKeySums(segments, beta, unit=True)

    def step(batch: Batch) -> Step:
        rows, own = batch.rows, batch.labels[:, None]
        image = key_sums(spaces.keys[rows], keys, rows) / (segments.shots * beta) if tuned else sides.image[rows]
        hard.meet(rows, image)
        met, weights = Sides(image, sides.text[rows]), hard.weights[rows]
        logits = text.logit_scale * batch.features @ residual_weights(text.weights, residual, 1.0).T + met.fused(alpha, gamma)
        loss = weighted_mean(cross_entropy(logits, batch.labels, reduction="none"), weights)
        logged = {"affinity_image": met.image, "affinity_text": met.text}
        logged = {name: side.detach().gather(1, own).squeeze(1) for name, side in logged.items()}
        logged |= {"gamma": torch.full_like(weights, gamma), "difference": hard.difference[rows], "weight": weights}
        return Step(loss + (penalties * residual.square().sum(1)).mean(), logits, logged)

    trained = [residual, keys] if tuned else [residual]
    run_epochs(trained, support, schedule(task, options), step, log, lambda epoch: hard.renew(), lambda rows, generator: support.keys[rows])
    final = normalize(keys.detach(), dim=-1) if tuned else spaces.keys
    image = own_image(support, spaces, final, beta) if tuned else sides.image
    return residual.detach(), final, Means.over([(image, sides.text)])


def schedule(task: FewShotTask, options: XMAdapterOptions) -> Schedule:
    """Steps scale with the support, never below `min_steps`; the rate with the width and with the logit scale it works against."""
    batches = math.ceil(len(task.support) / options.batch_size)
    epochs = max(options.epochs, math.ceil(options.min_steps / batches))
    rate = options.learning_rate * 100.0 / task.text.logit_scale * math.sqrt(512.0 / task.support.keys.shape[1])
    return Schedule(epochs, options.batch_size, rate, task.seed)


def zero_shot_trust(task: FewShotTask) -> Tensor:
    """CLAP's multipliers (N,): the mean zero-shot probability of the true class over a class's support."""
    support = task.support
    own = task.text.logits(support.keys).softmax(1).gather(1, support.labels[:, None])
    return class_means(own.squeeze(1), support.segments)


def class_means(values: Tensor, segments: Segments) -> Tensor:
    """The mean (N,) of (M,) values over each class, 0 for a class without keys."""
    sums = values.new_zeros(segments.classes).index_add_(0, segments.labels, values)
    return sums / segments.counts.clamp(min=1.0)


def choose(task: FewShotTask, options: XMAdapterOptions, fitted: Fitted, validation: Labelled) -> Fitted:
    """Take the best (alpha, gamma, rho) on validation if it is clearly better than the defaults, else keep those."""
    start = {name: float(fitted.settings[name]) for name in ("alpha", "gamma", "residual")}
    own = {
        "residual": sorted({*RESIDUALS, start["residual"]}),
        "alpha": [start["alpha"] * factor for factor in ALPHA_FACTORS],
        "gamma": sorted({*GAMMAS, start["gamma"]}),
    }
    grid = {name: list(options.grid(name, derived=Grid(tuple(values))).values) for name, values in own.items()}
    hits = _hits(task, fitted, validation, grid)
    base = hits[_key(start)]
    best = max(hits, key=lambda point: int(hits[point].sum()))
    better, worse = int((hits[best] & ~base).sum()), int((base & ~hits[best]).sum())
    point = best if better - worse > CLEARLY * math.sqrt(better + worse) else _key(start)
    accuracy = 100.0 * float(hits[point].double().mean())
    chosen = dict(zip(("residual", "alpha", "gamma"), point, strict=True))
    edges = tuple(name for name, value in chosen.items() if value in (grid[name][0], grid[name][-1]) and value != start[name])
    selection = Selection(task.selected_on, len(hits), accuracy, grid, edges)
    return Fitted(fitted.tensors, {**fitted.settings, **chosen}, selection, fitted.trainable_parameters)


def _hits(task: FewShotTask, fitted: Fitted, validation: Labelled, grid: Mapping[str, list[float]]) -> dict[tuple[float, ...], Tensor]:
    sides = both_sides(fitted, task.support.segments, validation.features)
    hits: dict[tuple[float, ...], Tensor] = {}
    for share in grid["residual"]:
        weights = residual_weights(task.text.weights, fitted.tensors["residual"], share)
        logits = task.text.logit_scale * validation.features @ weights.T
        for alpha in grid["alpha"]:
            for gamma in grid["gamma"]:
                hits[(share, alpha, gamma)] = (logits + sides.fused(alpha, gamma)).argmax(1) == validation.labels
    return hits


def _key(point: Mapping[str, float]) -> tuple[float, ...]:
    return point["residual"], point["alpha"], point["gamma"]
