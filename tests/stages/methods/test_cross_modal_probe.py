"""The cross-modal probe against NumPy: the loss over images and texts together, and its gradient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from tests.worlds.few_shot import SCALE
from tests.worlds.small_task import batch_of, close, cross_entropy, double, queries, slopes, small_task
from xmap.stages.fewshot.task import Support, Text
from xmap.stages.methods import cross_modal_probe
from xmap.stages.methods.options import CrossModalOptions
from xmap.stages.methods.protocol import Cache, Fitted, NoLog, Selection


def test_logits_loss_and_gradient() -> None:
    task = small_task([2, 1, 3])
    asked = queries(task)
    weights = (task.text.weights * 1.3 + 0.1).requires_grad_()
    texts = torch.tensor([2, 0, 0, 1, 2])
    rows = np.concatenate([double(asked.features), double(task.text.weights)[texts.numpy()]])
    labels = np.concatenate([asked.labels.numpy(), texts.numpy()])
    step = cross_modal_probe.training_step(task, weights, batch_of(task, asked), texts)
    close(step.logits, SCALE * double(asked.features) @ double(weights).T)
    close(step.loss, np.asarray(cross_entropy(SCALE * rows @ double(weights).T, labels)))
    step.loss.backward()
    assert weights.grad is not None
    close(weights.grad, slopes(lambda x: cross_entropy(SCALE * rows @ x.T, labels), double(weights)))
    fitted = Fitted({"weights": weights.detach()}, {}, Selection(""))
    scored = cross_modal_probe.scores(fitted, Cache(task.text, task.support.segments), asked.features)
    close(scored.logits, SCALE * double(asked.features) @ double(weights).T)


def test_texts_are_drawn_over_names_so_numbering_changes_nothing() -> None:
    task = small_task([2, 1, 3, 2])
    # A low scale: at the usual one these texts are classified so well that which of them is drawn hardly matters.
    task = replace(task, text=replace(task.text, logit_scale=2.0))
    order = torch.tensor([2, 0, 3, 1])
    place = torch.argsort(order)
    text = Text(tuple(task.text.names[label] for label in order), task.text.weights[order], task.text.logit_scale)
    support = Support.of(task.support.sample_ids, place[task.support.labels], task.support.views, 3, 4)
    options = CrossModalOptions(epochs=4, batch_size=4, learning_rate=0.05)
    moved = cross_modal_probe.fit(replace(task, text=text, support=support), options, None, NoLog()).tensors["weights"]
    close(moved, double(cross_modal_probe.fit(task, options, None, NoLog()).tensors["weights"][order]))
