"""The learning curve: error = floor + rise * n^-rate, of `n` labels a class, as all the curves that agree with what was measured.

Three numbers are fitted to a handful of points, so no single best curve is taken. All of a grid of floors and rates, each with the
rises that fit, are weighed by how well they meet the points, given how uncertain these are (Bayes, with weak beliefs), and what they
foretell is averaged. A bounded fit of one curve, resampled, would be too sure where a number lies at its bound.

How far a point may lie off the curve beyond what samples and seeds explain is weighed too: a support of one draw has luck that no
number of seeds shows. Plain NumPy. Errors are shares in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xmap.stages.eval.metrics import percentile_interval
from xmap.store.formats.tables import Array

# What curves are weighed: rates of 0.1 to 2, most often near 1/2; floors from nothing to a little above the lowest error; luck of the
# supports as a share of the spread of a single answer, most often near 2 %.
RATES, USUAL_RATE, RATE_SPREAD = np.geomspace(0.1, 2.0, 24), 0.5, 0.75
FLOORS = 48
LUCK, USUAL_LUCK, LUCK_SPREAD = np.geomspace(0.003, 0.12, 8), 0.02, 1.0
# Standard deviations of the rise on either side of its best value.
SIDES = np.linspace(-3.0, 3.0, 13)
DRAWS, SEED = 4000, 0
LEAST_POINTS = 2

Shape = Callable[[Array, Array], Array]


@dataclass(frozen=True)
class Measured:
    """Errors (P,) at `labels` (P,) a class, rising, and their covariance (P, P): by the samples they share, and by the seeds."""

    labels: Array
    errors: Array
    covariance: Array


@dataclass(frozen=True)
class Foretold:
    """What is foretold: the median, which always lies in the 95 % interval from `low` to `high`."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, draws: Array) -> Foretold:
        return cls(float(np.median(draws)), *percentile_interval(draws))


@dataclass(frozen=True)
class Curve:
    """Curves (D,) that agree with the points. `start` is the fewest labels measured, where the rise is whole.

    `noise` is the variance of a point, as a share of a single answer's, by samples and seeds; `luck` (D,) the deviation beside it.
    """

    start: float
    floors: Array
    rises: Array
    rates: Array
    luck: Array
    noise: float
    shape: Shape

    def errors(self, labels: float) -> Array:
        """The error (D,) of each curve at `labels` a class."""
        found: Array = self.floors + self.rises * self.shape(np.asarray(labels / self.start), self.rates)
        return found

    def error(self, labels: float) -> Foretold:
        """The error on average over supports of `labels` a class."""
        return Foretold.of(self.errors(labels))

    def measurement(self, labels: float) -> Foretold:
        """What measuring there as before would find: the curve, and the luck of samples, seeds and supports."""
        errors = self.errors(labels)
        deviation = np.sqrt(errors * (1.0 - errors) * (self.noise + self.luck**2))
        found = errors + deviation * np.random.default_rng(SEED).standard_normal(len(errors))
        return Foretold.of(found.clip(0.0, 1.0))

    def gain(self, labels: float, more: float) -> Foretold:
        """How much lower the error is at `more` labels than at `labels`, on average over supports."""
        return Foretold.of(self.errors(labels) - self.errors(more))


def power(ratio: Array, rates: Array) -> Array:
    """The share of the rise that is left at `ratio` times the fewest labels."""
    found: Array = ratio**-rates
    return found


def fit_curve(measured: Measured, shape: Shape = power) -> Curve:
    """All curves that agree with what was measured. Raises `ValueError` for fewer than two points."""
    if len(measured.labels) < LEAST_POINTS:
        raise ValueError("a curve wants two points")
    errors, start = measured.errors, float(measured.labels[0])
    spread, highest = _spread(errors), errors + 3.0 * np.sqrt(measured.covariance.diagonal())
    floors = np.linspace(0.0, min(1.0, float(highest.min())), FLOORS)
    basis = shape((measured.labels / start)[None, :], RATES[:, None])
    best, width, fit = _rises(basis, errors - floors[:, None], measured.covariance + LUCK[:, None, None] ** 2 * np.diag(spread))
    fit = fit + _belief(RATES, USUAL_RATE, RATE_SPREAD)[:, None, None] + _belief(LUCK, USUAL_LUCK, LUCK_SPREAD)
    # Floors are believed in the less the nearer they are to the errors: flatly believed, they foretell too little gain.
    fit = fit + np.log1p(-floors / (floors[-1] + floors[1]))[:, None]
    # Where the best rise may not be, the nearest that may is beside those around it, so that there always is one.
    room = 1.0 - floors[None, :, None]
    nearest = np.where((best >= 0.0) & (best <= room), np.nan, best.clip(0.0, room))
    rises = np.concatenate([best[..., None] + width[..., None] * SIDES, nearest[..., None]], axis=3)
    off = (rises - best[..., None]) / width[..., None]
    weights = np.where((rises >= 0.0) & (rises <= room[..., None]), fit[..., None] - 0.5 * off**2, -np.inf)
    shares = np.exp(weights - weights.max()).ravel()
    chosen = np.random.default_rng(SEED).choice(len(shares), DRAWS, p=shares / shares.sum())
    rate, floor, luck, _ = np.unravel_index(chosen, weights.shape)
    noise = float(measured.covariance[-1, -1] / spread[-1])
    return Curve(start, floors[floor], rises.ravel()[chosen], RATES[rate], LUCK[luck], noise, shape)


def _rises(basis: Array, above: Array, covariance: Array) -> tuple[Array, Array, Array]:
    """Of each rate, floor and luck (R, F, L): the rise that fits best, its deviation, and the log of how likely the points are with any.

    `basis` is (R, P), the errors `above` the floor (F, P), `covariance` (L, P, P).
    """
    inverse = np.linalg.inv(covariance)
    strength = np.einsum("rp,lpq,rq->rl", basis, inverse, basis)[:, None, :]
    meeting = np.einsum("rp,lpq,fq->rfl", basis, inverse, above)
    left = np.einsum("fp,lpq,fq->fl", above, inverse, above) - meeting**2 / strength
    fit = -0.5 * (left + np.linalg.slogdet(covariance)[1] + np.log(strength))
    best = meeting / strength
    return best, np.broadcast_to(1.0 / np.sqrt(strength), best.shape), fit


def _belief(values: Array, usual: float, spread: float) -> Array:
    """The log of a belief in positive numbers: normal in their logarithm."""
    found: Array = -0.5 * (np.log(values / usual) / spread) ** 2
    return found


def _spread(errors: Array) -> Array:
    """The variance of a single answer (P,); never none, for no error is quite 0 or 1."""
    inner = errors.clip(0.002, 0.998)
    found: Array = inner * (1.0 - inner)
    return found
