"""The stage `coop`: context vectors in place of a prompt's words, tuned through the frozen text tower (CoOp, Zhou et al., IJCV 2022).

    w_c = norm(g([v_1] ... [v_n] [class c]))      loss = CE(s f W^T, y) over the support's cached features; no image is encoded

As published: SGD with momentum 0.9 and cosine decay, 50 epochs for 1 shot, 100 for 2 to 4, 200 for more. Unlike there the epoch is
chosen on validation samples, where there are any. The artifact is what `stages.fewshot.load.load_text` reads in place of the prompts'.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from xmap.stages.config import TextConfig
from xmap.stages.encoder.model import Encoder, exact
from xmap.stages.encoder.text_tower import Prompts, TextTower
from xmap.stages.fewshot.class_texts import TEXTS
from xmap.stages.fewshot.draw import Beside, draw_support, draw_validation, take_samples
from xmap.stages.fewshot.load import labelled, load_text, require_same_encoder, support_of
from xmap.stages.fewshot.task import FewShotTask
from xmap.stages.machine.device import repeatable, resolve_device
from xmap.stages.machine.memory import peak_memory
from xmap.stages.methods.fitting.epochs import Batch, BestEpoch, Schedule, Step, run_epochs
from xmap.stages.methods.fitting.optimisers import SGD
from xmap.stages.methods.fitting.search import quality
from xmap.stages.methods.protocol import NoLog
from xmap.stages.tune_texts.identity import TuneSpec
from xmap.stages.workplace.place import Workplace
from xmap.stages.workplace.progress import Progress
from xmap.store.artifacts.artifact import Artifact, Draft
from xmap.store.artifacts.fingerprint import Json
from xmap.store.artifacts.identity import Identity
from xmap.store.artifacts.usable import usable
from xmap.store.formats.features import TextFeatures, write_texts
from xmap.store.formats.tensors import write_tensors

CONTEXT = "context.safetensors"
# Context vectors of a prompt with no word before the class name, and the spread of random ones; both CoOp's.
WORDLESS, SPREAD = 4, 0.02


@dataclass(frozen=True)
class Tuned:
    """The outcome: `context` (n, width), raw class `features` (N, C), and the epoch they are of out of how many `trials`."""

    context: Tensor
    features: Tensor
    epoch: int
    epochs: int
    trials: int


def tune_texts(workplace: Workplace, identity: Identity, images: Artifact, texts: Artifact, spec: TuneSpec) -> Artifact:
    """Tune context vectors on the support that the seed draws, and store the class texts they give.

    `texts` are those of the hand-written prompts: the first one's words around {} are the start and the ending. Raises
    `InputError` for a text tower or a context that does not fit, and for what `draw_support` and `Encoder.load` refuse.
    """
    device = resolve_device(workplace.device)
    with workplace.build(identity) as held:
        if isinstance(held, Artifact):
            return held
        task = support_task(images, texts, spec).to(device)
        tower = Encoder.load(spec.encoder, device).text_tower()
        with repeatable(spec.seed, device), exact(), peak_memory(device) as memory:
            started = time.monotonic()
            template = str(usable(texts, "templates").summary["templates"][0])
            tuned = tune(tower, task, template, spec.text, workplace.progress)
            seconds = time.monotonic() - started
        stored = _write(held, tuned, task)
        facts: dict[str, Json] = {
            **{name: texts.summary[name] for name in ("dataset", "classes", "logit_scale", "width") if name in texts.summary},
            "templates": [_title(tuned)],
            "context": len(tuned.context),
            "selection": {"selected_on": task.selected_on, "epoch": tuned.epoch, "epochs": tuned.epochs, "trials": tuned.trials},
            "trainable_parameters": tuned.context.numel(),
            "train_seconds": round(seconds, 3),
            **asdict(memory),
            "stored_bytes": stored,
        }
        return held.commit(facts, device)


def support_task(images: Artifact, texts: Artifact, spec: TuneSpec) -> FewShotTask:
    """The task before there is a cache: the support that the cache will hold, and the validation samples of its adapters."""
    text, shots = load_text(texts), spec.cache.shots
    drawn = draw_support(images, spec.cache, text.names, spec.seed)
    support = support_of(take_samples(images, drawn.split, set(drawn.index.sample_ids)), shots, text.classes)
    require_same_encoder(images, texts, support.views.shape[2], text)
    rows, selected_on = draw_validation(Beside.of(images, support.sample_ids), shots, spec.seed, spec.protocol, text.classes)
    if rows is None:
        return FewShotTask(text, support, None, spec.seed, "nothing (last epoch)")
    return FewShotTask(text, support, labelled(rows), spec.seed, selected_on)


def tune(tower: TextTower, task: FewShotTask, template: str, options: TextConfig, progress: Progress) -> Tuned:
    """Tune the context vectors and keep the epoch best on validation, the last where there is none."""
    before, _, after = template.partition("{}")
    start = start_context(tower, before, options.context, task.seed)
    prompts = tower.prompts([name + after.replace("{}", name) for name in task.text.names], len(start))
    context = start.requires_grad_()
    epochs = options.context_epochs or default_epochs(task.support.shots)
    schedule = Schedule(epochs, options.context_batch, options.context_rate * 100.0 / task.text.logit_scale, task.seed, SGD)
    best = BestEpoch(epochs)
    progress.start(f"tune context, seed {task.seed}", epochs)

    def step(batch: Batch) -> Step:
        logits = class_logits(tower, task, prompts, context, batch.features)
        return Step(cross_entropy(logits, batch.labels), logits, {})

    def after_epoch(epoch: int) -> None:
        judged = None
        if task.validation is not None:
            judged = quality(class_logits(tower, task, prompts, context, task.validation.features), task.validation.labels)
        best.offer(epoch, {"context": context}, judged)
        progress.advance(1)

    run_epochs([context], task.support, schedule, step, NoLog(), after_epoch)
    chosen = best.tensors["context"]
    with torch.no_grad():
        features = tower.features(prompts, chosen)
    return Tuned(chosen.cpu(), features.cpu(), best.epoch, epochs, best.trials)


def start_context(tower: TextTower, words: str, count: int, seed: int) -> Tensor:
    """The context before tuning (n, width): `count` random vectors, or with 0 the embeddings of `words`."""
    known = tower.words(words.strip())
    if count == 0 and len(known):
        return known.clone()
    drawn = torch.randn(count or WORDLESS, tower.width, generator=torch.Generator().manual_seed(seed))
    return (SPREAD * drawn).to(known.device)


def default_epochs(shots: int) -> int:
    """CoOp's passes over a support of `shots`."""
    return 50 if shots == 1 else 100 if shots <= 4 else 200


def class_logits(tower: TextTower, task: FewShotTask, prompts: Prompts, context: Tensor, features: Tensor) -> Tensor:
    """`s f W^T` (B, N) of unit features (B, C) with the class texts of `context`."""
    return task.text.logit_scale * features @ normalize(tower.features(prompts, context), dim=-1).T


def _title(tuned: Tuned) -> str:
    return f"CoOp, {len(tuned.context)} context vectors"


def _write(draft: Draft, tuned: Tuned, task: FewShotTask) -> int:
    """Write texts and context; the bytes of both files."""
    classes, digest = task.text.names, draft.identity.fingerprint
    rows = TextFeatures(np.arange(len(classes), dtype=np.int32), classes, (_title(tuned),) * len(classes), tuned.features.numpy())
    write_texts(draft.path / TEXTS, rows, digest)
    metadata: Mapping[str, Json] = {"epoch": tuned.epoch, "epochs": tuned.epochs}
    write_tensors(draft.path / CONTEXT, {"context": tuned.context.numpy()}, metadata)
    return sum((draft.path / name).stat().st_size for name in (TEXTS, CONTEXT))
