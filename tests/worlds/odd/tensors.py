"""Tensors of other names, shapes, types and values."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from tests.worlds.odd.manifests import Manifest, Odd, change_json, odd_manifest, rewrite


def odd_tensors(odd: Odd, manifest: Manifest) -> None:
    """Tensors of other names, shapes, types and values, or other settings beside them."""
    paths = sorted(odd.folder.glob("*.safetensors"))
    if not paths:
        return odd_manifest(odd, manifest)
    path = paths[0]
    with safe_open(path, framework="np") as file:
        metadata = dict(file.metadata() or {})
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if not tensors or odd.draw.random() < 0.3:
        facts = json.loads(metadata["xmap"])
        change_json(facts, odd)
        metadata = odd.draw.choice(({"xmap": json.dumps(facts)},) * 6 + ({}, {"xmap": "{"}, {"xmap": "[]"}, {"other": "x"}))
    else:
        name = odd.draw.choice(sorted(tensors))
        way = odd.draw.choice(sorted(TENSORS))
        TENSORS[way](tensors, name, odd.draw)
        odd.note(f"tensor {name}: {way}")
    rewrite(path, save({name: np.ascontiguousarray(values) for name, values in tensors.items()}, metadata))
    return None


Tensors = dict[str, Any]


def _cast(kind: str) -> Callable[[Tensors, str, random.Random], None]:
    def cast(tensors: Tensors, name: str, draw: random.Random) -> None:
        tensors[name] = tensors[name].astype(kind)

    return cast


def _with(make: Callable[[Any], Any]) -> Callable[[Tensors, str, random.Random], None]:
    def change(tensors: Tensors, name: str, draw: random.Random) -> None:
        tensors[name] = make(tensors[name])

    return change


def _delete(tensors: Tensors, name: str, draw: random.Random) -> None:
    del tensors[name]


def _rename(tensors: Tensors, name: str, draw: random.Random) -> None:
    tensors[draw.choice(("x", "keys", "weights", "", "\x1b", "../x"))] = tensors.pop(name)


def _add(tensors: Tensors, name: str, draw: random.Random) -> None:
    tensors[draw.choice(("x", "keys", "gate.weight", "meta.1"))] = tensors[name]


def _fill(tensors: Tensors, name: str, draw: random.Random) -> None:
    tensors[name] = np.full_like(tensors[name], draw.choice((np.nan, np.inf, -np.inf, 1e30, 0)) if tensors[name].dtype.kind == "f" else -5)


TENSORS: Mapping[str, Callable[[Tensors, str, random.Random], None]] = {
    **{kind: _cast(kind) for kind in ("float64", "float16", "int32", "bool", "uint8")},
    "transposed": _with(lambda found: found.T),
    "flat": _with(lambda found: found.reshape(-1)),
    "deeper": _with(lambda found: found[None]),
    "one number": _with(lambda found: found.reshape(-1)[:1].reshape(())),
    "no row": _with(lambda found: found[:0] if found.ndim else found),
    "fewer rows": _with(lambda found: found[1:] if found.ndim else found),
    "more rows": _with(lambda found: np.concatenate([found, found[-1:]]) if found.ndim else found),
    "narrower": _with(lambda found: found[..., 1:] if found.ndim else found),
    "wider": _with(lambda found: np.concatenate([found, found[..., -1:]], -1) if found.ndim else found),
    "deleted": _delete,
    "renamed": _rename,
    "another": _add,
    "filled": _fill,
}
