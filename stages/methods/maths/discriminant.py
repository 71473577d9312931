"""The spaces in which XMAdapter's two caches are compared: learned in closed form from the support and the class texts.

Plain CLIP cosines hide the class behind the modality gap and behind directions that vary within every class. Here
    MetaNet       p_c = (t_c - mean t) B            ridge regression from class texts to class image means, pulled to b I
    within        S_w   shrunk covariance of the support around its class means
    between       S_b   covariance of the class means around p_c, what the texts cannot tell
and in the basis where S_w is the identity and S_b = diag(e), one image mean of n shots deserves the weight
    g = e / (e + 1/n)                               the share of the image side, direction by direction
so the image cache sees a query through A sqrt(g) and the text cache through A sqrt(1 - g). The support's own images enter
all of this. So that a support query does not meet itself while training, its own class's p_c is the one that the ridge would
give without the image, exactly; A, g, the strength of the ridge and the p_c of other classes are left as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from xmap.stages.fewshot.space import shrinkage
from xmap.stages.fewshot.task import FewShotTask

Metric = Literal["split", "shared", "plain"]
RIDGES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)
# How many classes the prior on S_b counts for, per dimension.
PRIOR = 0.25
TINY = 1e-12


@dataclass(frozen=True)
class Spaces:
    """Where queries go: `norm((f - center) @ image_map)` and `norm((f - center) @ text_map)`, both (C, C) maps.

    `keys` (M, C) and `text_keys` (N, C) are the unit cache keys there; `own_text` (M, C) is each support image's own class
    text key as it would be without that image.
    """

    center: Tensor
    image_map: Tensor
    text_map: Tensor
    keys: Tensor
    text_keys: Tensor
    own_text: Tensor
    anchor: Anchor


@dataclass(frozen=True)
class Anchor:
    """What labels and texts say of class means, in float64 and measured from the center.

    `basis` (C, C) is A, `between` (C,) e, `foretold` (N, C) the p_c, `means` (N, C) and `counts` (N,) those of the support.
    """

    basis: Tensor
    between: Tensor
    foretold: Tensor
    means: Tensor
    counts: Tensor

    def believed(self) -> Tensor:
        """The class means (N, C) that are most probable by both: p_c and the mean of n images, weighed by 1/e and n in the basis."""
        precision, counts = 1.0 / self.between, self.counts[:, None]
        mixed = (self.foretold @ self.basis * precision + self.means @ self.basis * counts) / (precision + counts)
        solved: Tensor = torch.linalg.solve(self.basis.T, mixed.T)
        return solved.T


@dataclass(frozen=True)
class Spread:
    """How images without labels lie around their classes: their `scatter` (C, C) float64, and how many free deviations it is of."""

    scatter: Tensor
    freedom: float


@dataclass(frozen=True)
class MetaNet:
    """The ridge map from centred class texts to centred class image means; for classes without keys all but `mapped` is 0.

    `mapped` (N, C) all classes' p_c, `unseen` (N, C) as they would be without the class's own images. A class mean that moves by
    d (C,) takes its p_c along by `leverage` (N,) d, the center's share included, and by `lean` (N, C) (t_c . d), the scale b's share.
    """

    texts: Tensor
    mapped: Tensor
    unseen: Tensor
    leverage: Tensor
    lean: Tensor


def learn_spaces(task: FewShotTask, metric: Metric, spread: Spread | None = None) -> Spaces:
    """Learn both spaces in float64 (eigenvectors of nearly singular matrices) and return them in float32; a `spread` adds to S_w."""
    segments, labels = task.support.segments, task.support.labels
    keys, texts = task.support.keys.double(), task.text.weights.double()
    counts = segments.counts.double()
    seen = counts > 0
    means = class_means(keys, labels, counts)
    center = means[seen].mean(0)
    net = fit_meta_net(texts - texts[seen].mean(0), means - center, seen)
    shots = float(1.0 / (1.0 / counts[seen]).mean())
    misfit = (means - center - net.mapped)[seen] / kept(net.leverage[seen])
    basis, values, share = discriminant(keys - means[labels], misfit, shots, int(seen.sum()), metric, spread)
    image_map, text_map = basis * share.sqrt(), basis * (1.0 - share).sqrt()
    own = leave_one_out(net, means - center, keys - center, labels, counts)
    return Spaces(
        center.float(),
        image_map.float(),
        text_map.float(),
        normalize((keys - center) @ image_map, dim=-1).float(),
        normalize(net.mapped @ text_map, dim=-1).float(),
        normalize(own @ text_map, dim=-1).float(),
        Anchor(basis, values, net.mapped, means - center, counts),
    )


def class_means(keys: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
    """The mean (N, C) of the keys (M, C) of each class, of which it has `counts` (N,); 0 for a class without keys."""
    return keys.new_zeros(len(counts), keys.shape[1]).index_add_(0, labels, keys) / counts.clamp(min=1.0)[:, None]


def fit_meta_net(texts: Tensor, means: Tensor, seen: Tensor) -> MetaNet:
    """Ridge regression of `means` on `texts` (N, C, both centred), shrunk to a multiple b of the identity.

    The ridge is the one of `RIDGES` with the smallest leave-one-class-out error, which needs no refit.
    """
    known, target = texts[seen], means[seen]
    total = (known * known).sum().clamp(min=TINY)
    scale = float((known * target).sum() / total)
    gram = known.T @ known
    unit = float(gram.trace()) / gram.shape[0] + TINY
    values, vectors = torch.linalg.eigh(gram)
    values = values.clamp(min=0.0)
    rotated, rest = known @ vectors, target - scale * known
    best_error, best, strength = float("inf"), torch.zeros_like(values), RIDGES[0]
    for ridge in RIDGES:
        inverse = 1.0 / (values + ridge * unit)
        fit = (rotated * inverse) @ (rotated.T @ rest)
        error = float(((rest - fit) / kept(_leverage(rotated, inverse))).square().sum())
        if error < best_error:
            best_error, best, strength = error, inverse, ridge
    mapped = scale * texts + ((texts @ vectors) * best) @ (rotated.T @ rest)
    unseen, lean, leverage = torch.zeros_like(texts), torch.zeros_like(texts), torch.zeros_like(texts[:, 0])
    unseen[seen] = _without_class(known, target, values, vectors, strength)
    leverage[seen], lean[seen] = _leverage(rotated, best), (rotated * (1.0 - values * best)) @ vectors.T / total
    return MetaNet(texts, mapped, unseen, leverage, lean)


def _without_class(known: Tensor, target: Tensor, values: Tensor, vectors: Tensor, ridge: float) -> Tensor:
    """Each class's p_c (n, C) by the map fitted to the other classes alone, from the eigenvectors of all (Sherman and Morrison, 1950)."""
    others = max(len(known) - 1, 1)
    share = len(known) / others
    squares, products = (known * known).sum(1), (known * target).sum(1)
    left = (squares.sum() - share * squares).clamp(min=TINY)
    scale = ((products.sum() - share * products) / left)[:, None]
    rotated = known @ vectors
    solved = rotated / (values + ridge * (left / len(values) + TINY)[:, None])
    hat = (rotated * solved).sum(1, keepdim=True)
    gram = (solved * values) @ vectors.T - share * hat * known
    rest = solved @ (rotated.T @ target) - share * hat * target - scale * gram
    return share * (scale * known + rest / (1.0 - share * hat).clamp(min=TINY)) - target / others


def discriminant(
    residuals: Tensor, misfit: Tensor, shots: float, classes: int, metric: Metric, spread: Spread | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """The basis A (C, C) in which S_w is the identity, and of each direction e (C,) and the image side's share g (C,).

    `residuals` (M, C) are keys minus class means, `misfit` (classes, C) class means minus what the texts foretell. With one
    shot nothing shows S_w: it is taken as round, half of the total. `shared` gives both sides the same metric, `plain` none.
    """
    width = residuals.shape[1]
    identity = torch.eye(width, dtype=residuals.dtype, device=residuals.device)
    total = misfit.T @ misfit / classes
    within = _within(residuals, len(residuals) - classes, 0.5 * float(total.trace()) / width, spread)
    root = torch.linalg.cholesky(torch.linalg.inv(within)) if metric != "plain" else identity
    values, vectors = torch.linalg.eigh(root.T @ (total - within / shots) @ root)
    values = values.clamp(min=0.0)
    values = ((classes * values + PRIOR * width * values.mean()) / (classes + PRIOR * width)).clamp(min=1e-3)
    share = values / (values + 1.0 / shots)
    return root @ vectors, values, share if metric == "split" else torch.full_like(share, 0.5)


def _within(residuals: Tensor, freedom: float, size: float, spread: Spread | None) -> Tensor:
    """S_w (C, C), shrunk towards a round one, of that `size` where nothing else shows it; what a spread adds counts as deviations too."""
    width, square = residuals.shape[1], float(residuals.square().sum())
    if spread is not None:
        freedom, square = freedom + spread.freedom, square + float(spread.scatter.trace())
    size = square / freedom / width if freedom > 0 else size
    trust, identity = shrinkage(width, freedom), torch.eye(width, dtype=residuals.dtype, device=residuals.device)
    within = (1.0 - trust) * residuals.T @ residuals / max(freedom, 1)
    if spread is not None:
        within = within + (1.0 - trust) * spread.scatter / max(freedom, 1)
    return within + trust * max(size, TINY) * identity


def leave_one_out(net: MetaNet, means: Tensor, keys: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
    """Each support image's class text key p_c (M, C) as the ridge map gives it without that image, at the same ridge.

    `means` (N, C) and `keys` (M, C) are both measured from the center of all, and so is the answer.
    """
    count = counts[labels][:, None]
    moved = (means[labels] - keys) / (count - 1.0).clamp(min=1.0)
    scaled = net.lean[labels] * (net.texts[labels] * moved).sum(1, keepdim=True)
    return torch.where(count > 1, net.mapped[labels] + net.leverage[labels][:, None] * moved + scaled, net.unseen[labels])


def _leverage(rotated: Tensor, inverse: Tensor) -> Tensor:
    """The diagonal of the hat matrix, the intercept's share included."""
    return (rotated * inverse * rotated).sum(1) + 1.0 / len(rotated)


def kept(leverage: Tensor) -> Tensor:
    """What of a class's misfit is left where its own mean pulled its p_c: 1 minus the leverage, as a column that is never 0."""
    return (1.0 - leverage).clamp(min=1e-3)[:, None]
