"""The samples of one split without their features, and the draws from them.

Draws rank the samples of a class by the hash of (seed, content), of imported features (seed, sample id): they depend neither on file
order nor on names nor on how classes are numbered, and a larger draw contains the smaller one. Samples of one content count once.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from blake3 import blake3

from xmap.stages.datasets.splits.groups import parties
from xmap.store.errors import InputError
from xmap.store.formats.tables import Array


def rank(seed: int, unit: str, word: str = "shots") -> str:
    """Where a draw by `seed` places a content, or the id of a sample without one, among others: hex digits to sort by.

    The word keeps orders apart: this one from that by which splits are drawn (`stages.datasets.splits.draw`), and one use from another.
    """
    return blake3(f"{word}\0{seed}\0{unit}".encode()).hexdigest()


@dataclass(frozen=True)
class SplitIndex:
    """The samples of one split without their features: ids (S), `labels` (S,) int32, by what each is drawn (S), and groups (S) if any.

    They are in the order of contents, else in that of the files.
    """

    sample_ids: tuple[str, ...]
    labels: Array
    units: tuple[str, ...]
    groups: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.sample_ids)

    def without(self, ids: Collection[str]) -> SplitIndex:
        """The samples that are none of `ids`, under whatever id, and belong to none of them."""
        joined = parties(self.units, self.groups)
        taken = {party for sample, party in zip(self.sample_ids, joined, strict=True) if sample in ids}
        return self._take([row for row, party in enumerate(joined) if party not in taken])

    def few(self, per_class: int, seed: int) -> SplitIndex:
        """At most `per_class` samples of each class, drawn by `seed`."""
        by_class: dict[int, dict[str, int]] = {}
        for row, (label, unit) in enumerate(zip(self.labels.tolist(), self.units, strict=True)):
            by_class.setdefault(label, {}).setdefault(unit, row)
        ranked = ([rows[unit] for unit in _ranked(rows, seed)] for rows in by_class.values())
        return self._take(sorted(row for found in ranked for row in found[:per_class]))

    def some(self, most: int, seed: int) -> SplitIndex:
        """At most `most` samples whatever their class, drawn by `seed` apart from those that `few` draws."""
        first = {unit: row for row, unit in reversed([*enumerate(self.units)])}
        ranked = sorted(first, key=lambda unit: rank(seed, unit, "temperature"))
        return self._take(sorted(first[unit] for unit in ranked[:most]))

    def half(self, most: int, seed: int) -> SplitIndex:
        """Half of the samples, at most `most`, drawn by `seed` whatever their class; of what belongs together one sample.

        Each has the same chance, so that they are exchangeable with new samples; so are the parties of the others.
        """
        members: dict[Hashable, list[str]] = {}
        first = {unit: row for row, unit in reversed([*enumerate(self.units)])}
        for unit, party in zip(self.units, parties(self.units, self.groups), strict=True):
            members.setdefault(party, []).append(unit)
        # A party's place must not depend on its size: by the least of its contents, which is as good as any.
        ranked = sorted(members.values(), key=lambda units: rank(seed, min(units), "kept"))
        chosen = (min(units, key=lambda unit: rank(seed, unit, "one of many")) for units in ranked[: min(len(ranked) // 2, most)])
        return self._take(sorted(first[unit] for unit in chosen))

    def _take(self, rows: Sequence[int]) -> SplitIndex:
        ids, units, groups = (tuple(listed[row] for row in rows) if listed else () for listed in (self.sample_ids, self.units, self.groups))
        return SplitIndex(ids, self.labels[list(rows)], units, groups)

    def counts(self, classes: int) -> Array:
        """Samples of each class (N,) int64. Raises `InputError` for a label that no class has."""
        if len(self) and (int(self.labels.min()) < 0 or int(self.labels.max()) >= classes):
            raise InputError(
                f"label {int(self.labels.max())} in the image features, but the texts name {classes} classes; extract both again."
            )
        return np.bincount(self.labels, minlength=classes)


def _ranked(units: Iterable[str], seed: int) -> list[str]:
    return sorted(units, key=lambda unit: rank(seed, unit))
