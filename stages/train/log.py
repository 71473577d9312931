"""The affinity log of training: what a method observed of each support sample and epoch, and what the cache says about it."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import normalize

from xmap.stages.adapters.neighbors import BATCH, agreement, batches, nearest_others, neighbor_column
from xmap.stages.datasets.dataset import TRAIN
from xmap.stages.fewshot.cache import OpenCache
from xmap.stages.fewshot.draw import even_rows
from xmap.stages.fewshot.task import FewShotTask
from xmap.stages.fewshot.wide import part_of
from xmap.stages.methods.columns import sample_columns
from xmap.stages.methods.protocol import Cache, Fitted, Method, TrainLog
from xmap.stages.train.identity import TrainSpec
from xmap.stages.train.recorder import Recorder
from xmap.store.artifacts.artifact import Draft
from xmap.store.formats.index import Neighbors
from xmap.store.formats.log import Column, NeighborColumn, write_affinity
from xmap.store.formats.tables import Array

TRAIN_LOG = "affinity/train.parquet"
NEIGHBORS = 5
# Of a support whose keys stay in the index, that many samples at even steps stand for all.
LOGGED = 50_000


def logged_rows(total: int) -> Array:
    """The keys (Q,) whose samples are told of where keys stay in the index."""
    return even_rows(total, LOGGED)


def observe(module: Method, fitted: Fitted, task: FewShotTask, log: TrainLog) -> None:
    """One row a support sample, epoch 0, for a method that did not train: its scores on the support keys (which meet themselves)."""
    cache = Cache.of(task)
    keys = task.support.keys
    for part in batches(len(keys), BATCH):
        with torch.no_grad():
            columns = sample_columns(fitted, module.scores(fitted, cache, keys[part]), task.support.labels[part])
        log.add(0, torch.arange(part.start, part.stop), columns)


def nearest(task: FewShotTask, cache: OpenCache) -> Neighbors:
    """The keys (M, k) of the untrained cache nearest to each support sample, its own not among them."""
    logged = np.arange(len(task.support)) if task.index is None else logged_rows(len(cache.values))
    return nearest_others(cache.index, task.support.keys.numpy(), NEIGHBORS, logged)


def write_log(
    draft: Draft, spec: TrainSpec, recorder: Recorder, task: FewShotTask, fitted: Fitted, cache: OpenCache, found: Neighbors
) -> None:
    """Write the log of an adapter. Neighbours `found` are listed for the final epoch."""
    support = task.support
    observed = recorder.columns()
    rows = observed.pop("row")
    labels = support.labels.numpy()
    zero_shot = task.text.unguided.logits(part_of(normalize(support.views[:, 0], dim=-1), task.widths, 0)).argmax(1).numpy() == labels
    final = observed["epoch"] == observed["epoch"].max()
    listed = Neighbors(found.scores[rows], np.where(final[:, None], found.rows[rows], -1))
    columns: dict[str, Column | NeighborColumn] = {
        "run": draft.identity.folder,
        "method": spec.method,
        "seed": spec.seed,
        **observed,
        "split": TRAIN,
        "sample_id": [support.sample_ids[row] for row in rows],
        "label": labels[rows],
        "zero_shot_correct": zero_shot[rows],
        "correct": observed["predicted"] == labels[rows],
        "neighbor_agreement": agreement(found, cache.values, labels)[rows],
        "neighbors": neighbor_column(listed, fitted.settings, cache.values),
    }
    write_affinity(draft.path / TRAIN_LOG, columns, draft.identity.fingerprint)
