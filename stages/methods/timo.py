"""TIMO (Li et al., AAAI 2025): images weigh the sentences that describe their class, and the sentences join the images in a discriminant.

    m_p    = t_p . norm(mean of class c's keys)           of each sentence t_p of class c
    w_c    = norm(sum_p softmax_p(guidance m_p / |m|) t_p)
    (d, b) = GDA-CLIP's discriminant (`stages.methods.gda`) of the support's views and, of each class, the sentences m_p t_p
    logits = s f w^T + alpha (f d^T + b)

Of a class's P sentences the `sentences` P that match best join, beyond P from the first again. TIMO takes each once, with a guidance of 1,
50 or 100 by data set, and chooses alpha; TIMO-S chooses the guidance by the texts alone, then their number, up to 2 P. Here all three are
chosen together on validation samples. Published logits have alpha at the texts, which is the same. Without descriptions a class has one
sentence, its text, and w is W. A class without support has the plain mean of its sentences, and no evidence in the discriminant.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import normalize

from xmap.stages.fewshot.task import FewShotTask, Retrieved, Text
from xmap.stages.methods.fitting.search import search
from xmap.stages.methods.gda import discriminant_of, evidence, views_of
from xmap.stages.methods.options import TimoOptions
from xmap.stages.methods.protocol import Cache, Fitted, Scores, Selection, Settings, TrainLog
from xmap.stages.methods.tip_adapter import as_selection

TINY = 1e-12


def fit(task: FewShotTask, options: TimoOptions, settings: Settings | None, log: TrainLog) -> Fitted:
    """Weigh the sentences and compute the discriminant; choose the guidance, how many sentences join, and alpha."""
    scale, validation = task.text.logit_scale / 100.0, task.validation
    matched = matches(task)

    def tensors(chosen: Settings | Mapping[str, float]) -> dict[str, Tensor]:
        joined = joint_discriminant(task, matched, float(chosen["sentences"]))
        return {"guided": guided_texts(task, matched, float(chosen["guidance"])), **joined}

    if settings is not None or validation is None:
        fixed = {"sentences": options.initial("sentences"), "guidance": options.initial("guidance")}
        chosen = settings or {**fixed, "alpha": options.initial("alpha") * scale}
        return Fitted(tensors(chosen), chosen, Selection(task.selected_on))

    # The grid runs over alpha inside guidance inside sentences.
    @lru_cache(maxsize=1)
    def said(guidance: float) -> Tensor:
        return task.text.logit_scale * validation.features @ guided_texts(task, matched, guidance).T

    @lru_cache(maxsize=1)
    def own(share: float) -> Tensor:
        return evidence(joint_discriminant(task, matched, share), validation.features)

    def logits(point: Mapping[str, float]) -> Tensor:
        return said(point["guidance"]) + point["alpha"] * own(point["sentences"])

    grids = {"sentences": options.grid("sentences"), "guidance": options.grid("guidance"), "alpha": options.grid("alpha", scale)}
    choice = search(grids, validation.labels, logits)
    return Fitted(tensors(choice.values), choice.values, as_selection(choice, task.selected_on))


def scores(fitted: Fitted, cache: Cache, features: Tensor, retrieved: Retrieved | None = None) -> Scores:
    """Logits of the guided texts plus alpha times the discriminant; there is no cache to retrieve from."""
    guided = cache.text.logit_scale * features @ fitted.tensors["guided"].T
    return Scores(guided + float(fitted.settings["alpha"]) * evidence(fitted.tensors, features))


def sentences_of(text: Text) -> tuple[Tensor, Tensor]:
    """The sentences (S, C) float64 of the classes, and whose each is (S,); without descriptions the class texts."""
    if text.sentences is None or text.sentence_classes is None:
        return text.weights.double(), torch.arange(text.classes, device=text.weights.device)
    return text.sentences.double(), text.sentence_classes


def matches(task: FewShotTask) -> Tensor:
    """How well each sentence matches the images of its class (S,) float64; 0 where there are none."""
    sentences, classes = sentences_of(task.text)
    sums = sentences.new_zeros(task.text.classes, sentences.shape[1]).index_add_(0, task.support.labels, task.support.keys.double())
    return (normalize(sums, dim=-1)[classes] * sentences).sum(1)


def guided_texts(task: FewShotTask, matched: Tensor, guidance: float) -> Tensor:
    """The class texts w (N, C) float32 that images guide."""
    sentences, classes = sentences_of(task.text)
    lengths = matched.new_zeros(task.text.classes).index_add_(0, classes, matched.square()).sqrt()
    # At lengths of 1 no exponent is beyond the guidance.
    parts = (guidance * matched / lengths[classes].clamp(min=TINY)).exp()
    shares = parts / parts.new_zeros(task.text.classes).index_add_(0, classes, parts)[classes]
    sums = sentences.new_zeros(task.text.classes, sentences.shape[1]).index_add_(0, classes, shares[:, None] * sentences)
    return normalize(sums, dim=-1).float()


def joint_discriminant(task: FewShotTask, matched: Tensor, share: float) -> dict[str, Tensor]:
    """The discriminant of the support's views and the best sentences of each class that has images, each as long as it matches."""
    sentences, classes = sentences_of(task.text)
    vectors, labels = views_of(task.support)
    order = torch.argsort(matched, descending=True, stable=True)
    order = order[torch.argsort(classes[order], stable=True)]
    counts = torch.bincount(classes, minlength=task.text.classes)
    ranks = torch.arange(len(order), device=order.device) - (counts.cumsum(0) - counts)[classes[order]]
    wanted = (share * counts).round().clamp(min=1.0) * (task.support.segments.counts > 0)
    times = ((wanted[classes[order]] - ranks) / counts[classes[order]]).ceil().clamp(min=0.0).long()
    taken = order.repeat_interleave(times)
    joined = matched[taken, None] * sentences[taken]
    return discriminant_of(torch.cat([joined, vectors]), torch.cat([classes[taken], labels]), task.text.classes)
