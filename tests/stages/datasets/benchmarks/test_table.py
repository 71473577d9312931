"""CoOp's tuning on a real text tower: it learns, is chosen on validation alone, and repeats."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

from xmap.stages.config import EncoderConfig, TextConfig
from xmap.stages.encoder.identity import resolve
from xmap.stages.encoder.model import Encoder
from xmap.stages.encoder.text_tower import TextTower
from xmap.stages.fewshot.task import FewShotTask, Labelled, Support, Text
from xmap.stages.methods.fitting.search import quality
from xmap.stages.tune_texts.stage import Tuned, class_logits, default_epochs, start_context, tune
from xmap.stages.workplace.progress import Silent
from xmap.store.memory.notes import Notes

NAMES = ("seven", "zero", "eight")
OPTIONS = TextConfig(text="coop", context_epochs=6, context_rate=0.02)
TEMPLATE = "a photo of the digit {}."


@pytest.fixture(scope="module")
def tower(tmp_path_factory: pytest.TempPathFactory) -> TextTower:
    folder = tmp_path_factory.mktemp("tower")
    identity = resolve(EncoderConfig(model="xmap-tiny"), Notes(folder / "hashes.sqlite"), folder)
    return Encoder.load(identity, "cpu").text_tower()


@pytest.fixture(scope="module")
def task(tower: TextTower) -> FewShotTask:
    """Image features near the class texts of a context that is not the prompt's, so that there is something to learn."""
    draw = torch.Generator().manual_seed(5)
    names = [f"{name}." for name in NAMES]
    hidden = tower.words("a photo of the digit") + 1.0 * torch.randn(5, tower.width, generator=draw)
    with torch.no_grad():
        centres = normalize(tower.features(tower.prompts(names, 5), hidden), dim=-1)
    labels = torch.arange(3).repeat_interleave(4)

    def near(seed: int) -> torch.Tensor:
        noise = torch.randn(12, centres.shape[1], generator=torch.Generator().manual_seed(seed))
        return normalize(centres[labels] + 0.03 * noise, dim=-1)

    ids = [f"s{number:02d}" for number in range(12)]
    support = Support.of(ids, labels, near(1)[:, None], 4, 3)
    validation = Labelled(tuple(f"v{number}" for number in range(12)), labels, near(2))
    return FewShotTask(Text(NAMES, centres, 10.0), support, validation, 1, "validation")


def loss(tower: TextTower, task: FewShotTask, context: torch.Tensor) -> float:
    prompts = tower.prompts([f"{name}." for name in NAMES], len(context))
    with torch.no_grad():
        return float(cross_entropy(class_logits(tower, task, prompts, context, task.support.keys), task.support.labels))


def tuned(tower: TextTower, task: FewShotTask, options: TextConfig = OPTIONS) -> Tuned:
    return tune(tower, task, TEMPLATE, options, Silent())


def test_tuning_lowers_the_loss_on_the_support(tower: TextTower, task: FewShotTask) -> None:
    start = start_context(tower, "a photo of the digit ", 0, 1)
    found = tuned(tower, task.without_validation(), OPTIONS.model_copy(update={"context_epochs": 60}))
    assert found.epoch == found.epochs == 60
    assert loss(tower, task, found.context) < 0.9 * loss(tower, task, start)


def test_equal_seeds_give_equal_texts(tower: TextTower, task: FewShotTask) -> None:
    one, other = tuned(tower, task), tuned(tower, task)
    assert torch.equal(one.features, other.features)
    moved = tuned(tower, replace(task, seed=2))
    assert not torch.equal(one.features, moved.features)


def test_the_epoch_is_the_one_best_on_validation(tower: TextTower, task: FewShotTask) -> None:
    assert task.validation is not None
    found = tuned(tower, task)
    prompts = tower.prompts([f"{name}." for name in NAMES], 5)
    assert found.trials == 6
    last = tuned(tower, task.without_validation())
    with torch.no_grad():
        best, final = (
            quality(class_logits(tower, task, prompts, context, task.validation.features), task.validation.labels)
            for context in (found.context, last.context)
        )
    assert best >= final
    start = start_context(tower, "a photo of the digit ", 0, 1)
    with torch.no_grad():
        before = class_logits(tower, task, prompts, start, task.validation.features).argmax(1)
    kept = tuned(tower, replace(task, validation=replace(task.validation, labels=before)))
    assert kept.epoch < found.epoch, "validation that agrees with the prompt as it was is best before much training"


def test_random_contexts_have_the_asked_length_and_depend_on_the_seed(tower: TextTower) -> None:
    one, other = (start_context(tower, "a photo of", 6, seed) for seed in (1, 2))
    assert one.shape == other.shape == (6, tower.width)
    assert float(one.std()) == pytest.approx(0.02, rel=0.2)
    assert not torch.equal(one, other)
    assert start_context(tower, "", 0, 1).shape == (4, tower.width), "a prompt that begins with the class"


def test_the_words_after_the_class_stay(tower: TextTower, task: FewShotTask) -> None:
    plain = tune(tower, task, "a photo of the digit {}.", OPTIONS, Silent())
    other = tune(tower, task, "a photo of the digit {} in print.", OPTIONS, Silent())
    assert not torch.equal(plain.features, other.features)


@pytest.mark.parametrize(("shots", "epochs"), [(1, 50), (2, 100), (4, 100), (8, 200), (16, 200)])
def test_default_epochs_are_the_published_ones(shots: int, epochs: int) -> None:
    assert default_epochs(shots) == epochs
