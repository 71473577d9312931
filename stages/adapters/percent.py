"""How a probability is written for a person: no answer is certain, and none impossible."""

from __future__ import annotations


def percent(probability: float, digits: int = 1) -> str:
    """In percent without its sign: `97.3`; `>99.9` where it would round up to 100.0, `<0.1` where it would round down to 0.0."""
    text, step = f"{100.0 * probability:.{digits}f}", 10.0**-digits
    if text == f"{100:.{digits}f}":
        return f">{100.0 - step:.{digits}f}"
    return f"<{step:.{digits}f}" if text == f"{0:.{digits}f}" else text
