"""How many threads torch computes a training with: one while its products are small, whatever the machine has.

Threads wait for each other after every operation. Where others want the cores too, one that waits for its turn holds up all:
with two busy cores, two threads took ten to thirty times as long as one for supports of a few hundred samples. The count is
decided by the size of the problem alone, so that the bytes of a small adapter do not depend on the number of cores.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from xmap.stages.config import Config
from xmap.stages.fewshot.task import FewShotTask

# Multiplications and additions of a product that one core does in five to ten milliseconds: a turn on a busy core takes as long.
SMALL = 2**28


def product_size(task: FewShotTask, options: Config) -> int:
    """Multiplications and additions of the largest product that is done again and again: of a batch of queries, or of the
    validation samples, with all keys and class texts."""
    batch = min(int(getattr(options, "batch_size", len(task.support))), len(task.support))
    queries = max(batch, 0 if task.validation is None else len(task.validation))
    return 2 * queries * (len(task.support) + task.text.classes) * int(task.text.weights.shape[1])


@contextmanager
def threads_for(size: int) -> Iterator[None]:
    """One thread of torch while products of `size` are done, if that is small; the caller's number comes back afterwards."""
    before = torch.get_num_threads()
    if size < SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
