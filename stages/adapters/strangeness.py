"""How far an image is from everything that an adapter knows, and from where on it is of none of its classes.

    p      the adapter's opinion: its raw logits z, softened       softmax(z / 2)
    q      the cached images' opinion, by their own space          softmax(8 cosines)
    s      strangeness                                             1 - max over classes of (p + q) / 2

It is small where both are sure of the same class. Chosen on validation samples, with classes left out (docs/unknown.md). The temperature
has no part in it: kept samples have a part in that, and would no longer be to the adapter what new images are.
"""

from __future__ import annotations

from torch import Tensor

SOFTNESS, SHARPNESS = 2.0, 8.0
SHARE = 0.95


def strangeness(logits: Tensor, cosines: Tensor) -> Tensor:
    """The strangeness (B,) float64, 0 to 1, of raw logits (B, N) and cosines (B, N) to the classes in the cache's space."""
    said, near = (logits.double() / SOFTNESS).softmax(1), (SHARPNESS * cosines.double()).softmax(1)
    return 1.0 - (said + near).amax(1) / 2.0
