"""Joining packs of few rows: extractions of a few images leave many, and whoever reads opens each.

A joined pack is written before those whose rows it holds go, so that at every moment each row is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xmap.store.artifacts.artifact import Store
from xmap.store.artifacts.locks import alone
from xmap.store.disk.files import system_errors
from xmap.store.errors import ArtifactDamaged
from xmap.store.formats.feature_rows import Rows
from xmap.store.formats.packs import Packs, all_packs, is_whole, pack_keys, pack_rows
from xmap.store.formats.tables import Array

# Rows of a full pack; one with less than half of them has few.
FULL = 1024


@dataclass(frozen=True)
class Joining:
    """Packs of one maker that one pack is made of: of each the rows that lie in no other one."""

    packs: Packs
    rows: Mapping[Path, Array]


def scattered(store: Store) -> list[Joining]:
    """The packs of few rows that may be joined."""
    return [joining for packs in all_packs(store) for joining in _joinings(packs)]


def compact(store: Store) -> list[Joining]:
    """Join packs of few rows, and say which. Raises `StoreBusy`, `StoreDenied`, `StoreFull`, and `ArtifactDamaged` for odd vectors."""
    with alone(store.root), system_errors(store.root):
        found = scattered(store)
        for joining in found:
            _join(joining)
    return found


def _joinings(packs: Packs) -> Iterator[Joining]:
    # The rows of an altered pack are lost, and `xmap verify` names it.
    keys = {path: pack_keys(packs, path) for path in packs.paths() if is_whole(packs, path)}
    own = _own(keys)
    few = [path for path in keys if 2 * len(own[path]) < FULL]
    group: dict[Path, Array] = {}
    # Those that were made together are read together.
    for path in sorted(few, key=lambda path: (path.stat().st_mtime_ns, path.name)):
        group[path] = own[path]
        if sum(map(len, group.values())) >= FULL:
            yield Joining(packs, group)
            group = {}
    if len(group) > 1 or any(len(rows) < len(keys[path]) for path, rows in group.items()):
        yield Joining(packs, group)


def _own(keys: Mapping[Path, Array]) -> dict[Path, Array]:
    """The numbers of each pack's rows that are not in a fuller one."""
    paths = sorted(keys, key=lambda path: (-len(keys[path]), path.name))
    first = np.unique(np.concatenate([keys[path] for path in paths]), return_index=True)[1] if paths else np.empty(0, np.int64)
    ends = np.cumsum([0, *(len(keys[path]) for path in paths)])
    first.sort()
    parts = np.split(first, np.searchsorted(first, ends[1:-1])) if paths else []
    return {path: part - start for path, part, start in zip(paths, parts, ends, strict=False)}


def _join(joining: Joining) -> None:
    parts = [_rows(path, rows) for path, rows in joining.rows.items() if len(rows)]
    if len({(part.features.shape[1], part.features.dtype) for part in parts}) > 1:
        raise ArtifactDamaged(joining.packs.folder, "its packs differ in the width of their vectors", "delete those of the wrong width.")
    written = joining.packs.write(Rows.joined(parts), list(joining.rows)) if parts else None
    for path in joining.rows:
        if path != written:
            path.unlink()


def _rows(path: Path, rows: Array) -> Rows:
    table, features = pack_rows(path)
    return Rows([content.hex() for content in table["content"].to_pylist()], table["view"].to_numpy(), features).take(rows)


def said(joinings: Sequence[Joining]) -> str:
    """How many packs become how many."""
    return f"{sum(len(joining.rows) for joining in joinings):,} packs of few rows into {len(joinings):,}"
