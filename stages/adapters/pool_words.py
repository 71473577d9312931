"""What is said of the pool of an adapter, in every table and on every page that shows what it does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def pool_words(facts: Mapping[str, Any]) -> str:
    """The pool of an adapter, as its manifest has it, in words."""
    one = facts["images"] == 1
    asked = f", the {'one' if one else 'ones'} asked about together" if facts.get("together") else ""
    images = "1 image without a label" if one else f"{facts['images']:,} images without labels"
    return f"a pool of {images}{asked}, class shares {facts['shares']}"
