"""Parts of a support that are held out in turn: what the others make says something of them that holds for new images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator

import torch
from torch import Tensor

from xmap.stages.datasets.splits.groups import parties
from xmap.stages.fewshot.split_index import rank
from xmap.stages.fewshot.task import Support

FOLDS = 4


def folds(support: Support, seed: int) -> Iterator[Tensor]:
    """Rows (H,) of the support to hold out together: a quarter of each class at a time, and none of a class with one sample.

    What belongs together is held together, and not at all where it is the whole of a class.
    """
    order = sorted(range(len(support)), key=lambda row: rank(seed, support.units[row], "temperature"))
    labels, counts, together = support.labels.tolist(), support.segments.counts.tolist(), parties(support.units, support.groups)
    seen: Counter[int] = Counter()
    part_of: dict[Hashable, int] = {}
    parts: list[list[int]] = [[] for _ in range(FOLDS)]
    for row in order:
        parts[part_of.setdefault(together[row], seen[labels[row]] % FOLDS)].append(row)
        seen[labels[row]] += 1
    for number, rows in enumerate(parts):
        held = Counter(labels[row] for row in rows)
        whole = {together[row] for row in rows if held[labels[row]] == counts[labels[row]]}
        parts[number] = sorted(row for row in rows if together[row] not in whole)
    return (torch.tensor(rows, device=support.labels.device) for rows in parts if rows)


def class_folds(support: Support, seed: int) -> Iterator[Tensor]:
    """Rows (H,) of the support to hold out together: all of a quarter of the classes at a time, of two at least.

    What is left then knows these classes by their texts alone. None where there are fewer than four classes with a sample.
    """
    least: dict[int, str] = {}
    for unit, label in zip(support.units, support.labels.tolist(), strict=True):
        place = rank(seed, unit, "temperature")
        least[label] = min(least.get(label, place), place)
    parts, order = min(FOLDS, len(least) // 2), sorted(least, key=lambda label: least[label])
    for part in range(parts if parts > 1 else 0):
        held = torch.isin(support.labels, torch.tensor(order[part::parts], device=support.labels.device))
        yield torch.nonzero(held).flatten()
