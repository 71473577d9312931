"""SS-Text against NumPy, in both of its forms."""

from __future__ import annotations

import numpy as np
import pytest

from tests.worlds.few_shot import SCALE
from tests.worlds.small_task import close, double, queries, small_task, unit
from xmap.stages.methods import ss_text
from xmap.stages.methods.options import SsTextOptions
from xmap.stages.methods.protocol import Cache, NoLog


@pytest.mark.parametrize("form", ["plain", "plus"])
@pytest.mark.parametrize("counts", [[3, 3, 3], [3, 1, 0]])
def test_weights_are_the_published_ones(form: str, counts: list[int]) -> None:
    task = small_task(counts, views=2)
    keys, labels, texts = double(task.support.keys), task.support.labels.numpy(), double(task.text.weights)
    weights = np.zeros_like(texts)
    for label, count in enumerate(counts):
        trust = 1.0 if form == "plain" else count / len(keys)
        weights[label] = trust * SCALE * keys[labels == label].sum(axis=0) + texts[label]
    if form == "plus":
        weights = weights - unit(2 * weights - weights.mean(axis=0))
    fitted, asked = ss_text.fit(task, SsTextOptions(form=form), None, NoLog()), queries(task)
    found = ss_text.scores(fitted, Cache(task.text, task.support.segments), asked.features).logits
    close(found, SCALE * double(asked.features) @ unit(weights).T)
