"""Cross-modal linear probe (Lin et al., CVPR 2023): class texts are training samples of a linear head, as the images are.

    logits = s f w^T,    w = t at the start,    cross-entropy over batches half of images, half of texts

Published: AdamW, 12,800 steps of 8 or 32, rate and decay from a grid, several texts a class. Here: 12 epochs of batches of 256
images and as many class texts (one a class, the mean of its prompts), and the rate and the epoch chosen on validation samples.
Texts are drawn over the sorted class names, so the numbering of the classes changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from xmap.stages.fewshot.task import FewShotTask, Retrieved
from xmap.stages.methods.fitting.epochs import Batch, Schedule, Step, run_epochs
from xmap.stages.methods.fitting.optimisers import adam
from xmap.stages.methods.fitting.trials import AfterEpoch, Point, Trainer, train_and_choose
from xmap.stages.methods.options import CrossModalOptions
from xmap.stages.methods.protocol import Cache, Fitted, Scores, Settings, TrainLog


def fit(task: FewShotTask, options: CrossModalOptions, settings: Settings | None, log: TrainLog) -> Fitted:
    """Train at each rate; keep the best rate and epoch."""
    text = task.text
    by_name = torch.tensor(sorted(range(text.classes), key=lambda label: text.names[label]), device=text.weights.device)

    def train(point: Point, after_epoch: AfterEpoch, rows: TrainLog) -> None:
        weights = text.weights.clone().requires_grad_()
        generator = torch.Generator().manual_seed(task.seed)
        schedule = Schedule(options.epochs, options.batch_size, point["learning_rate"], task.seed, adam(weight_decay=options.weight_decay))

        def step(batch: Batch) -> Step:
            drawn = torch.randint(text.classes, (len(batch.rows),), generator=generator)
            return training_step(task, weights, batch, by_name[drawn.to(by_name.device)])

        run_epochs([weights], task.support, schedule, step, rows, lambda epoch: after_epoch(epoch, {"weights": weights}))

    def logits(tensors: Mapping[str, Tensor], features: Tensor) -> Tensor:
        return text.logit_scale * features @ tensors["weights"].T

    fixed, grids = {"learning_rate": options.initial("learning_rate")}, {"learning_rate": options.grid("learning_rate")}
    return train_and_choose(task, Trainer(train, logits, fixed, grids, options.epochs, text.weights.numel()), settings, log)


def scores(fitted: Fitted, cache: Cache, features: Tensor, retrieved: Retrieved | None = None) -> Scores:
    """Logits `s f w^T`; there is no cache to retrieve from."""
    return Scores(cache.text.logit_scale * features @ fitted.tensors["weights"].T)


def training_step(task: FewShotTask, weights: Tensor, batch: Batch, texts: Tensor) -> Step:
    """Cross-entropy over a batch of images and the class texts numbered `texts` (B,); the logits are the images'."""
    logits = task.text.logit_scale * torch.cat([batch.features, task.text.weights[texts]]) @ weights.T
    return Step(cross_entropy(logits, torch.cat([batch.labels, texts])), logits[: len(batch.labels)], {})
