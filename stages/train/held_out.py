"""Which samples of a support are held out of it to choose settings on, where there are no others: drawn by content, as all is."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable

import torch

from xmap.stages.datasets.splits.groups import parties
from xmap.stages.fewshot.split_index import rank
from xmap.stages.fewshot.task import Support


def held_out(support: Support, seed: int) -> torch.Tensor:
    """Rows (H,) of the support to choose on: a quarter of each class, at least one, and none of a class with one sample.

    What belongs together is held together, which may be more; what would leave a class without a sample is not held.
    """
    labels = support.labels.tolist()
    members: dict[Hashable, list[int]] = defaultdict(list)
    for row, party in enumerate(parties(support.units, support.groups)):
        members[party].append(row)
    ranks = {party: rank(seed, min(support.units[row] for row in rows)) for party, rows in members.items()}
    ranked: dict[int, list[Hashable]] = defaultdict(list)
    for party in sorted(members, key=ranks.__getitem__):
        for label in {labels[row] for row in members[party]}:
            ranked[label].append(party)
    left = Counter(labels)
    wanted = {label: max(1, count // 4) for label, count in left.items() if count > 1}
    held: set[Hashable] = set()
    # An order that knows no numbers of classes.
    for label in sorted(wanted, key=lambda label: [ranks[party] for party in ranked[label]]):
        for party in ranked[label]:
            taken = Counter(labels[row] for row in members[party])
            if wanted[label] <= 0 or party in held or any(left[other] <= count for other, count in taken.items()):
                continue
            held.add(party)
            left.subtract(taken)
            for other, count in taken.items():
                wanted[other] = wanted.get(other, 0) - count
    rows = sorted(row for party in held for row in members[party])
    return torch.as_tensor(rows, dtype=torch.int64, device=support.labels.device)
