"""Fingerprints: the hash of everything that determines an artifact's bytes, and the explanation of a mismatch.

A fingerprint is the blake3 of the canonical JSON of *declared* fields. Nothing is hashed implicitly: no code, no path,
no time. What is not declared cannot change it, and what is declared can be shown field by field.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from json.encoder import encode_basestring_ascii

from blake3 import blake3

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]
Fields = Mapping[str, Json]

SHORT = 8
# Items of a list that are put together.
MANY = 1 << 14

# A text as canonical JSON.
quoted = encode_basestring_ascii


@dataclass(frozen=True)
class Change:
    """One field that differs between two fingerprints: its dotted name and both values (`None` where absent)."""

    field: str
    before: Json
    after: Json

    def __str__(self) -> str:
        """Two lists of words by what came and what went: cut to a length, both would read alike."""
        before, after = _words(self.before), _words(self.after)
        if before and after:
            return f"{self.field}: {_edits(before, after)}"
        return f"{self.field}: {_show(self.before)} -> {_show(self.after)}"


def canonical(value: Json) -> bytes:
    """`value` as JSON with sorted keys and no spaces: equal values give equal bytes. NaN is refused (ValueError)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode("ascii")


def fingerprint(fields: Json) -> str:
    """The fingerprint of declared fields: 64 hex digits."""
    return blake3(canonical(fields)).hexdigest()


def list_fingerprint(items: Iterable[str]) -> str:
    """The fingerprint of a list of which each item is given as its canonical JSON: however long, it is never whole in memory."""
    digest, start, left = blake3(b"["), "", iter(items)
    while part := list(islice(left, MANY)):
        digest.update((start + ",".join(part)).encode("ascii"))
        start = ","
    return digest.update(b"]").hexdigest()


def explain(before: Json, after: Json) -> list[Change]:
    """The fields in which two declarations differ, sorted by name."""
    old, new = dict(_flatten(before)), dict(_flatten(after))
    # Compared as they are hashed: 1, 1.0 and true are equal to Python and different to a fingerprint.
    differs = (name for name in old.keys() | new.keys() if (name in old) != (name in new) or canonical(old[name]) != canonical(new[name]))
    changed = sorted(differs)
    return [Change(name, old.get(name), new.get(name)) for name in changed]


def _flatten(value: Json, prefix: str = "") -> Iterator[tuple[str, Json]]:
    if isinstance(value, Mapping) and value:
        for key in value:
            yield from _flatten(value[key], f"{prefix}.{key}" if prefix else key)
    else:
        yield prefix, list(value) if isinstance(value, tuple) else value


def _words(value: Json) -> list[str]:
    return list(value) if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value) else []


def _edits(before: Sequence[str], after: Sequence[str], limit: int = 5) -> str:
    """`+ crystalline, - braided`, as many as `limit`."""
    edits = [f"+ {one}" for one in after if one not in set(before)] + [f"- {one}" for one in before if one not in set(after)]
    if not edits:
        return "another order" if len(before) == len(after) else "some repeated"
    more = f" and {len(edits) - limit} more" if len(edits) > limit else ""
    return ", ".join(edits[:limit]) + more


def _show(value: Json, limit: int = 60) -> str:
    if isinstance(value, str) and len(value) == 64 and all(digit in "0123456789abcdef" for digit in value):
        return value[:SHORT]
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= limit else text[: limit - 3] + "..."
