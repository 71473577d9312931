"""What is said of the pool of an adapter, in every table and on every page that shows what it does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def pool_words(facts: Mapping[str, Any]) -> str:
    """The pool of an adapter, as its manifest has it, in words."""
    asked = ", the ones asked about together" if facts.get("together") else ""
    return f"a pool of {facts['images']:,} images without labels{asked}, class shares {facts['shares']}"
