"""Class names that several classes share, told apart; and class texts that several classes share, which nothing tells apart."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xmap.store.formats.tables import Array

SHOWN = 3


def told_apart(names: Sequence[str]) -> tuple[str, ...]:
    """The names, the second and later ones of a name numbered: `cougar`, `cougar (2)`. Names that differ stay as they are."""
    taken = set(map(_key, names))
    counts: dict[str, int] = defaultdict(int)
    apart = []
    for name in names:
        counts[_key(name)] += 1
        if counts[_key(name)] == 1:
            apart.append(name)
            continue
        while _key(other := f"{name} ({counts[_key(name)]})") in taken:
            counts[_key(name)] += 1
        taken.add(_key(other))
        apart.append(other)
    return tuple(apart)


def sharing(names: Sequence[str], texts: Array) -> list[tuple[str, ...]]:
    """The groups of names whose rows of `texts` (N, C) are equal, in the order of the names."""
    groups: dict[bytes, list[str]] = defaultdict(list)
    for name, text in zip(names, texts, strict=True):
        groups[text.tobytes()].append(name)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def sharing_said(groups: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """One sentence on classes that share a text; none where there are no such classes."""
    if not groups:
        return ()
    shown = "; ".join(" = ".join(map(repr, group)) for group in groups[:SHOWN])
    more = f" and {len(groups) - SHOWN} more" if len(groups) > SHOWN else ""
    return (f"classes with one text, so that zero-shot cannot tell them apart: {shown}{more}",)


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip()
