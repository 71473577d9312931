"""SS-Text (Silva-Rodriguez et al., IPMI 2025): class weights in closed form, nothing chosen.

    plain  w_c = s sum_{i in c} f_i + t_c
    plus   w_c = (n_c / M) s sum_{i in c} f_i + t_c,    then    w_c - norm(2 w_c - mean w)
    logits = s f norm(w)^T

of unit keys f and texts t. Made for tasks of at most ten classes: of many, "plus" can turn the sign of w.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from xmap.stages.fewshot.task import FewShotTask
from xmap.stages.methods import class_weights
from xmap.stages.methods.options import SsTextOptions
from xmap.stages.methods.protocol import Fitted, Selection, Settings, TrainLog

scores = class_weights.scores
# The released code trusts a class's sum at most so much.
MOST = 1000.0


def fit(task: FewShotTask, options: SsTextOptions, settings: Settings | None, log: TrainLog) -> Fitted:
    """Sum the keys of each class and add its text."""
    support, text = task.support, task.text
    sums = torch.zeros_like(text.weights).index_add_(0, support.labels, support.keys)
    trust = torch.full_like(support.segments.counts, float(len(support))) if options.form == "plain" else support.segments.counts
    weights = (trust.clamp(max=MOST) / len(support))[:, None] * text.logit_scale * sums + text.weights
    return Fitted({"weights": pushed_apart(weights) if options.form == "plus" else weights}, settings or {}, Selection(task.selected_on))


def pushed_apart(weights: Tensor) -> Tensor:
    """`w_c - norm(2 w_c - mean w)` (N, C)."""
    return weights - normalize(2.0 * weights - weights.mean(0), dim=-1)
