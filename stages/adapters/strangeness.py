"""How far an image is from everything that an adapter knows, and from where on it is of none of its classes.

    p      the adapter's opinion: its raw logits z, softened       softmax(z / 2)
    q      the cached images' opinion, by their own space          softmax(8 cosines)
    s      strangeness                                             1 - max over classes of (p + q) / 2

It is small where both are sure of the same class. Chosen on validation samples, with classes left out (docs/unknown.md). The temperature
has no part in it: kept samples have a part in that, and would no longer be to the adapter what new images are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from xmap.stages.adapters.kept import OUT_OF_SAMPLE, Kept
from xmap.stages.adapters.sets import fewest, require_share, threshold
from xmap.stages.datasets.dataset import TRAIN, VAL
from xmap.stages.fewshot.draw import KEPT_WORDS, NOTHING_KEPT
from xmap.store.formats.tables import Array

if TYPE_CHECKING:
    from torch import Tensor

Numbers = TypeVar("Numbers", "Tensor", Array)

SOFTNESS, SHARPNESS = 2.0, 8.0
ASKED = "rejecting by {}: the share of known images to accept"
# What is proven of a threshold, by where the samples come from that it stands on.
PROMISES: Mapping[str, str] = {
    KEPT_WORDS[VAL]: "at least {} % of such images are accepted (split conformal)",
    KEPT_WORDS[TRAIN]: "at least {} % of images like the training images left over are accepted (split conformal)",
    OUT_OF_SAMPLE: "about {} % of images of the classes are accepted, which nothing proves",
    NOTHING_KEPT: "",
}


def strangeness(logits: Tensor, cosines: Tensor) -> Tensor:
    """The strangeness (B,) float64, 0 to 1, of raw logits (B, N) and cosines (B, N) to the classes in the cache's space."""
    said, near = (logits.double() / SOFTNESS).softmax(1), (SHARPNESS * cosines.double()).softmax(1)
    return 1.0 - (said + near).amax(1) / 2.0


@dataclass(frozen=True)
class Rejection:
    """Which images are taken for none of the classes, so that a `share` of the images of the classes is accepted.

    With too few kept samples for that promise nothing is rejected. Raises `InputError` for what is no share.
    """

    kept: Kept
    share: float

    def __post_init__(self) -> None:
        require_share(self.share, ASKED, 0.95)

    @cached_property
    def threshold(self) -> float:
        """The largest strangeness that is accepted: the quantile of conformal prediction, infinite for too few samples."""
        return threshold(self.kept.strangeness, self.share)

    def rejects(self, strange: Numbers) -> Numbers:
        """Which images (B,) bool of a strangeness (B,) are taken for none of the classes."""
        return strange > self.threshold

    def __str__(self) -> str:
        share = f"{100 * self.share:g}"
        if math.isinf(self.threshold):
            return f"none of these: {self.kept}; to accept {share} % takes {fewest(self.share):,}, so that nothing is rejected"
        return f"none of these: stranger than {self.threshold:.3f}; {self.kept}; {PROMISES[self.kept.source].format(share)}"
