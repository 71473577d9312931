"""The stage `train`: fit one method on one support with one seed, and keep what it is and how it got there.

The task a method is handed has no test features, and nothing here opens them (`stages.fewshot.draw.split_files` refuses). Where
there are no validation samples, settings are chosen on part of the support that is held out, and the method is then fitted
on all of it with those settings; with one shot nothing is chosen.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import normalize

from xmap.stages.adapters.files import on_device, selection_facts, write_adapter
from xmap.stages.adapters.neighbors import agreement, batches, nearest_others, neighbor_column
from xmap.stages.config import TopK
from xmap.stages.datasets.dataset import TRAIN
from xmap.stages.fewshot.draw import SplitIndex, ValidationProtocol, draw_validation
from xmap.stages.fewshot.indexed import key_index, logged_rows, logged_support
from xmap.stages.fewshot.load import VALUES, labelled, load_index, load_support, load_text, require_same_encoder
from xmap.stages.fewshot.task import FewShotTask, Support
from xmap.stages.machine.device import repeatable, resolve_device
from xmap.stages.machine.memory import available_bytes, peak_memory
from xmap.stages.methods.columns import sample_columns
from xmap.stages.methods.fitting.threads import product_size, threads_for
from xmap.stages.methods.protocol import Cache, Fitted, Method, NoLog, TrainLog
from xmap.stages.methods.protocol import method as load_method
from xmap.stages.methods.searched import MethodOptions
from xmap.stages.progress import Progress
from xmap.stages.train.examination import examine
from xmap.stages.train.identity import trained_on
from xmap.stages.train.recorder import Recorder
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.artifacts.fingerprint import Json
from xmap.store.artifacts.identity import Identity
from xmap.store.errors import InputError
from xmap.store.formats.index import Neighbors
from xmap.store.formats.log import Column, NeighborColumn, read_values, write_affinity

TRAIN_LOG = "affinity/train.parquet"
# A dense support is in memory as views and as keys, and once more while these are made.
COPIES = 3
NEIGHBORS = 5
BATCH = 1024


def train(
    store: Store,
    identity: Identity,
    images: Artifact,
    texts: Artifact,
    cache: Artifact,
    method: str,
    options: MethodOptions,
    seed: int,
    protocol: ValidationProtocol,
    shots: int,
    device: str,
    progress: Progress,
    top_k: TopK = "all",
) -> Artifact:
    """Fit `method` on the support of `cache` and store the adapter, its index and its affinity log.

    With a number as `top_k`, a method whose keys are the cache's own leaves them in the cache's index, and meets those it finds.

    Raises `UnknownName` for a method that is not registered and `InputError` for a device that is not there or inputs that
    do not belong together.
    """
    module = load_method(method)
    place = resolve_device(device)
    with store.build(identity, on_wait=progress.say) as held:
        if isinstance(held, Artifact):
            return held
        progress.start(f"train {method}, seed {seed}", 1)
        k = trained_on(method, top_k)
        if k is None:
            require_room(method, cache, load_text(texts).weights.shape[1])
        task = assemble(images, texts, cache, seed, protocol, shots, k)
        if len(task.support) < int(cache.summary["entries"]):
            progress.say(f"the training log tells of {len(task.support):,} of {cache.summary['entries']:,} samples, at even steps.")
        recorder = Recorder()
        with repeatable(seed, place), peak_memory(place) as memory:
            started = time.monotonic()
            fitted = fit(module, task.to(place), options, recorder)
            seconds = time.monotonic() - started
        fitted = on_device(fitted, "cpu")
        if not recorder:
            observe(module, fitted, task, recorder)
        stored = write_adapter(held.path, method, fitted, options, str(cache.summary["index"]), cache.summary.get("effort"))
        run: dict[str, str | int] = {"run": identity.folder, "method": method, "seed": seed}
        write_log(held.path / TRAIN_LOG, recorder, task, fitted, cache, run, identity.fingerprint)
        progress.advance(1)
        facts = _summary(method, seed, shots, fitted, options, seconds, stored)
        return held.commit({**facts, **asdict(memory), "examination": examine(module, fitted, task)}, device=place)


def assemble(
    images: Artifact, texts: Artifact, cache: Artifact, seed: int, protocol: ValidationProtocol, shots: int, k: int | None = None
) -> FewShotTask:
    """The task: texts, the support of `cache` or with `k` its index, and the validation samples that `protocol` allows."""
    text = load_text(texts)
    support = load_support(images, cache, shots) if k is None else logged_support(images, cache, shots)
    require_same_encoder(images, texts, support.views.shape[2], text)
    cached = support.sample_ids if k is None else read_values(cache.file(VALUES)).sample_ids
    rows, selected_on = draw_validation(images, shots, seed, protocol, cached, text.classes)
    index = None if k is None else key_index(cache, k, support.views.shape[2])
    return FewShotTask(text, support, None if rows is None else labelled(rows), seed, selected_on, index)


def fit(module: Method, task: FewShotTask, options: MethodOptions, log: TrainLog) -> Fitted:
    """Fit with choices made on validation samples, else on held-out support, else with fixed defaults.

    Keys in an index cannot be held out of it: without validation samples these meet fixed defaults.
    """
    with threads_for(product_size(task, options)):
        return _fit(module, task, options, log)


def _fit(module: Method, task: FewShotTask, options: MethodOptions, log: TrainLog) -> Fitted:
    if task.validation is not None:
        return module.fit(task, options, None, log)
    held = held_out(task.support, task.seed) if task.index is None else torch.empty(0, dtype=torch.int64)
    if not len(held):
        return module.fit(task.without_validation(), options, None, log)
    per_class = torch.bincount(task.support.labels[held], minlength=task.support.classes)
    low, high = int(per_class.min()), int(per_class.max())
    count = str(high) if low == high else f"{low} to {high}"
    chosen = module.fit(replace(task.fold(held), selected_on=f"held-out support, {count} a class"), options, None, NoLog())
    torch.manual_seed(task.seed)
    final = module.fit(task.without_validation(), options, chosen.settings, log)
    return replace(final, selection=chosen.selection)


def held_out(support: Support, seed: int) -> torch.Tensor:
    """Rows (H,) of the support to choose on: a quarter of each class, at least one, and none of a class with one sample."""
    counts = support.segments.counts.long().tolist()
    held: set[str] = set()
    start = 0
    for label, count in enumerate(counts):
        ids = support.sample_ids[start : start + count]
        start += count
        if count >= 2:
            held.update(SplitIndex(ids, np.full(count, label, np.int32)).few(max(1, count // 4), seed).sample_ids)
    rows = [row for row, sample in enumerate(support.sample_ids) if sample in held]
    return torch.as_tensor(rows, dtype=torch.int64, device=support.labels.device)


def observe(module: Method, fitted: Fitted, task: FewShotTask, log: TrainLog) -> None:
    """One row a support sample, epoch 0, for a method that did not train: its scores on the support keys (which meet themselves)."""
    cache = Cache.of(task)
    keys = task.support.keys
    for part in batches(len(keys), BATCH):
        with torch.no_grad():
            columns = sample_columns(fitted, module.scores(fitted, cache, keys[part]), task.support.labels[part])
        log.add(0, torch.arange(part.start, part.stop), columns)


def write_log(
    path: Path, recorder: Recorder, task: FewShotTask, fitted: Fitted, cache: Artifact, run: Mapping[str, str | int], digest: str
) -> None:
    """Write the affinity log of training: what the method observed, and what the cache says about each sample.

    `run` holds the columns that name the run. Neighbours are listed for the final epoch, in the untrained cache.
    """
    support, cached = task.support, read_values(cache.file(VALUES))
    observed = recorder.columns()
    rows = observed.pop("row")
    labels = support.labels.numpy()
    logged = np.arange(len(support)) if task.index is None else logged_rows(len(cached.sample_ids))
    # Opened a second time, what is mapped would count twice.
    index = load_index(cache, len(cached), support.keys.shape[1]) if task.index is None else task.index.keys
    found = nearest_others(index, support.keys.numpy(), NEIGHBORS, logged)
    zero_shot = task.text.logits(normalize(support.views[:, 0], dim=-1)).argmax(1).numpy() == labels
    final = observed["epoch"] == observed["epoch"].max()
    listed = Neighbors(found.scores[rows], np.where(final[:, None], found.rows[rows], -1))
    columns: dict[str, Column | NeighborColumn] = {
        **run,
        **observed,
        "split": TRAIN,
        "sample_id": [support.sample_ids[row] for row in rows],
        "label": labels[rows],
        "zero_shot_correct": zero_shot[rows],
        "correct": observed["predicted"] == labels[rows],
        "neighbor_agreement": agreement(found, cached, labels)[rows],
        "neighbors": neighbor_column(listed, fitted.settings, cached),
    }
    write_affinity(path, columns, digest)


def _summary(method: str, seed: int, shots: int, fitted: Fitted, options: MethodOptions, seconds: float, stored: int) -> dict[str, Json]:
    return {
        "method": method,
        "seed": seed,
        "shots": shots,
        "options": options.declared(),
        "settings": dict(fitted.settings),
        "selection": selection_facts(fitted.selection),
        "trainable_parameters": fitted.trainable_parameters,
        "train_seconds": round(seconds, 3),
        "stored_bytes": stored,
    }


def require_room(method: str, cache: Artifact, width: int) -> None:
    """Raise `InputError` where a method that needs all keys at once would not find the memory for them."""
    entries, free = int(cache.summary["entries"]), available_bytes()
    needed = entries * (int(cache.summary["views"]) + COPIES - 1) * width * 4
    if free is not None and needed > free:
        raise InputError(
            f"{method} here takes all {entries:,} keys into memory, about {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free; "
            "choose fewer --shots, or --methods tip-adapter with --top-k 100."
        )
