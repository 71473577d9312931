"""Odd values in JSON: manifests and results with a field changed, deleted, nested, doubled or renamed."""

from __future__ import annotations

import copy
import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Manifest = dict[str, Any]
DEEP: Any = []
for _ in range(200):
    DEEP = [DEEP]


@dataclass
class Odd:
    """A store whose artifact `folder` is being made odd; `victim` is a place outside that names may lead to."""

    store: Path
    folder: Path
    victim: Path
    draw: random.Random
    done: list[str] = field(default_factory=list)

    def note(self, what: str) -> None:
        self.done.append(what)


def values(odd: Odd) -> list[Any]:
    """What may stand anywhere in JSON."""
    return [
        None, True, False, 0, -1, 1, 2, 7, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400, 0.5, -0.0, 1e308, float("nan"), float("inf"),
        "", "x", ".", "..", "/", "../../../victim/secret", str(odd.victim / "secret"), str(odd.victim), "\x1b[31m", "a\nb", "\u202eabc",
        "\ud800", "a" * 100_000, "\u00e9" * 300, "%s{}{0}", "'; drop table x; --", "</script><b>", "\0", "train", "\u00b2", "-1",
        "1e9", "{}",
        [], {}, [[]], [None], [{}], {"": ""}, {"a": None}, DEEP, [0] * 5000, ["x"] * 3, [1.0], {"support-\u00b2": 1},
    ]  # fmt: skip


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in nested JSON."""
    found: list[tuple[Any, Any]] = []
    pending = [value]
    while pending:
        current = pending.pop()
        keys = list(current) if isinstance(current, dict) else range(len(current)) if isinstance(current, list) else ()
        found += [(current, key) for key in keys]
        pending.extend(current[key] for key in keys)
    return found


def change_json(value: Any, odd: Odd) -> None:
    """One change somewhere inside `value`."""
    draw, found = odd.draw, places(value)
    if not found:
        return
    container, key = draw.choice(found)
    before, way = container[key], draw.choice(("value", "value", "value", "delete", "nest", "double", "rename", "other"))
    if way == "value":
        container[key] = copy.deepcopy(draw.choice(values(odd)))
    elif way == "delete":
        del container[key]
    elif way == "nest":
        container[key] = [before] if draw.random() < 0.5 else {"x": before}
    elif way == "double" and isinstance(before, list | str):
        container[key] = before + before
    elif way == "rename" and isinstance(container, dict):
        container[str(draw.choice(["", "x", "results", "classes", "\x1b", "../x", "a" * 300]))] = container.pop(key)
    else:
        other, name = draw.choice(found)
        if name in other if isinstance(other, dict) else name < len(other):
            container[key] = copy.deepcopy(other[name])
    odd.note(f"{way} at {str(key)[:40]!r}: {str(before)[:40]!r} -> {str(container[key] if _has(container, key) else None)[:40]!r}")


def _has(container: Any, key: Any) -> bool:
    return key in container if isinstance(container, dict) else key < len(container)


def odd_manifest(odd: Odd, manifest: Manifest) -> None:
    part = odd.draw.choices(("fields", "summary", "inputs", "files", "all"), (3, 8, 2, 1, 3))[0]
    change_json(manifest if part == "all" else manifest[part], odd)


def odd_metrics(odd: Odd, manifest: Manifest) -> None:
    path = odd.folder / "metrics.json"
    data = json.loads(path.read_bytes())
    change_json(data, odd)
    rewrite(path, json.dumps(data).encode())


def rewrite(path: Path, data: bytes) -> None:
    """Other bytes for a file that may be linked from elsewhere."""
    path.unlink()
    path.write_bytes(data)
