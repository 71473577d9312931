"""Nearest class mean: logits `s f norm(t + share m)^T`, where m is the unit mean of a class's keys, zero where it has none."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from xmap.stages.fewshot.task import FewShotTask, Retrieved
from xmap.stages.methods.protocol import Cache, Fitted, Scores, Selection, Settings, TrainLog
from xmap_nearest_mean import Options


def fit(task: FewShotTask, options: Options, settings: Settings | None, log: TrainLog) -> Fitted:
    sums = torch.zeros_like(task.text.weights).index_add(0, task.support.labels, task.support.keys)
    weights = normalize(task.text.weights + options.share * normalize(sums, dim=-1), dim=-1)
    return Fitted({"weights": weights}, {}, Selection("nothing (fixed defaults)"))


def scores(fitted: Fitted, cache: Cache, features: Tensor, retrieved: Retrieved | None = None) -> Scores:
    return Scores(cache.text.logit_scale * features @ fitted.tensors["weights"].T)
