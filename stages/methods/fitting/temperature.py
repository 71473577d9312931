"""One number that makes logits honest: softmax(logits / T), fitted on samples not trained on (Guo et al., ICML 2017).

    T = argmin  sum_i CE(logits_i / T, y_i) + (log T)^2 / (2 spread^2)

The second term is a Gaussian belief that T is near 1. Thousands of samples outvote it; a few dozen, among which there may be not one
mistake, for which any small T would do, do not. T changes no order of classes, and so no answer.
"""

from __future__ import annotations

import math

from torch import Tensor

# How far log T is believed to lie from 0; measured on validation (docs/calibration.md).
SPREAD = 0.3
# T lies between 1 / WIDEST and WIDEST.
WIDEST = 100.0
HALVINGS = 40


def fit_temperature(logits: Tensor, labels: Tensor, spread: float = SPREAD) -> float:
    """T of samples with logits (B, N) and labels (B,); 1 without samples, or where there is but one class."""
    if not len(labels) or logits.shape[1] < 2:
        return 1.0
    apart = (logits - logits.gather(1, labels[:, None])).double()
    low, high = -math.log(WIDEST), math.log(WIDEST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if _slope(apart, middle, spread) > 0 else (middle, high)
    return float(f"{math.exp((low + high) / 2):.6g}")


def _slope(apart: Tensor, log_t: float, spread: float) -> float:
    """The derivative by log T of what is minimised; `apart` (B, N) are logits minus those of the true class."""
    sharp = math.exp(-log_t)
    expected = ((sharp * apart).softmax(1) * apart).sum()
    return log_t / spread**2 - sharp * float(expected)
