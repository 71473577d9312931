"""The registered ablations of XMAdapter: one question each, and the variants that answer it.

A variant changes the config, what a fitted adapter is scored with, or which keys its cache keeps. Everything else is the
default. Adding an ablation is one entry here and its test. No torch here: `xmap ablate --list` answers at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xmap.store.errors import UnknownName

METHOD = "xmadapter"
OPTIONS = f"methods.{METHOD}"


@dataclass(frozen=True)
class Variant:
    """One setting of what an ablation varies.

    `config` are overrides keyed `section.field`. Of a fitted adapter, `settings` replaces scoring settings and `scaled`
    multiplies them; `keys` keeps so many image keys a class. With `guided` false, sentences of a class count alike in all that is fitted.
    """

    name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, float] = field(default_factory=dict)
    scaled: Mapping[str, float] = field(default_factory=dict)
    keys: int | None = None
    guided: bool = True

    @property
    def plain(self) -> bool:
        """Whether nothing is changed."""
        return self.guided and not (self.config or self.settings or self.scaled or self.keys)


@dataclass(frozen=True)
class Ablation:
    """A question, what the variants vary (the label of the figure's axis), and the variants in the order of the figure."""

    question: str
    axis: str
    variants: tuple[Variant, ...]


DEFAULT = Variant("default")
POOLED = ("estimated", "free")


def _options(name: str, values: tuple[Any, ...]) -> tuple[Variant, ...]:
    """Variants that train anew with one option of the method at each value."""
    return tuple(Variant(str(value), config={f"{OPTIONS}.{name}": value}) for value in values)


def _gammas() -> tuple[Variant, ...]:
    """The ends say which side they are; the default stands apart, as its value depends on the shots."""
    named = {0.0: "0 (text only)", 1.0: "1 (image only)"}
    return tuple(Variant(named.get(value, str(value)), settings={"gamma": value}) for value in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0))


ABLATIONS: Mapping[str, Ablation] = {
    "gamma": Ablation("What does each cache give, and their fusion?", "gamma, share of the image cache", (DEFAULT, *_gammas())),
    "alpha": Ablation(
        "How much do the caches give beside the class weights?",
        "alpha, as a multiple of its default",
        tuple(DEFAULT if scale == 1 else Variant(f"{scale:g} x", scaled={"alpha": scale}) for scale in (0, 0.25, 0.5, 1, 2, 4)),
    ),
    "residual": Ablation(
        "What do the residual class weights give?",
        "rho, as a multiple of its default",
        tuple(DEFAULT if scale == 1 else Variant(f"{scale:g} x", scaled={"residual": scale}) for scale in (0, 0.5, 1, 1.5, 2)),
    ),
    "beta": Ablation(
        "How sharp should the image affinity be?", "beta of the image cache", (DEFAULT, *_options("beta", (0.5, 1.0, 2.0, 4.0, 8.0)))
    ),
    "beta-text": Ablation(
        "How sharp should the text affinity be?", "beta of the text cache", (DEFAULT, *_options("beta_text", (0.75, 1.5, 3.0, 6.0, 12.0)))
    ),
    "hard-weight": Ablation(
        "Does weighting samples by the caches' disagreement help?",
        "lambda, strength of the hard-sample weights (0: off)",
        (DEFAULT, *_options("hard_weight", (0.0, 0.5, 1.0, 2.0, 4.0, 8.0))),
    ),
    "keys": Ablation("Does training the image keys help?", "image keys", (DEFAULT, *_options("keys", ("tuned", "frozen")))),
    "spaces": Ablation(
        "Do the learned spaces help?", "spaces of the two caches", (DEFAULT, *_options("metric", ("split", "shared", "plain")))
    ),
    "penalty": Ablation(
        "How strongly should residual weights be pulled to the texts?",
        "pull of the residual class weights",
        (DEFAULT, *_options("penalty", (0.0, 12.5, 25.0, 50.0, 100.0, 200.0))),
    ),
    "shots": Ablation(
        "What does a larger cache give?",
        "shots, labelled images a class",
        (DEFAULT, *(Variant(str(shots), config={"cache.shots": shots}) for shots in (1, 2, 4, 8, 16))),
    ),
    "cache-size": Ablation(
        "How many trained keys must the image cache keep?",
        "image keys kept a class",
        (DEFAULT, *(Variant(str(keys), keys=keys) for keys in (1, 2, 4, 8))),
    ),
    "text": Ablation(
        "Does it matter where class texts come from?",
        "class texts",
        (DEFAULT, *(Variant(text, config={"text.text": text}) for text in ("prompts", "coop"))),
    ),
    "pool": Ablation(
        "Do images without labels help?",
        "class shares believed of the pool",
        (DEFAULT, Variant("no pool", config={"run.pool": ""}), *(Variant(name, config={"run.pool_shares": name}) for name in POOLED)),
    ),
    "descriptions": Ablation(
        "What do sentences that describe the classes give, and weighing them by the images?",
        "texts of a class",
        (DEFAULT, Variant("sentences alike", guided=False), Variant("prompts alone", config={"data.descriptions": ""})),
    ),
    "backbone": Ablation(
        "Does it hold for another encoder?",
        "encoder",
        (DEFAULT, *(Variant(model, config={"encoder.model": model}) for model in ("xmap-tiny", "xmap-tiny-vit"))),
    ),
    "encoders": Ablation(
        "What does a second encoder give?",
        "encoders beside the first",
        (DEFAULT, Variant("xmap-tiny-vit", config={"run.also_model": ("xmap-tiny-vit",)})),
    ),
}
# Not a table of accuracies: how well scores of a sample find the ones that are answered wrongly.
HARD_SAMPLES = "hard-samples"
HARD_QUESTION = "Does the caches' disagreement find hard samples?"


def names() -> tuple[str, ...]:
    """Every ablation by name."""
    return (*ABLATIONS, HARD_SAMPLES)


def ablations_of(asked: tuple[str, ...]) -> tuple[str, ...]:
    """The ablations that were named, or all. Raises `UnknownName`."""
    for name in asked:
        if name not in names():
            raise UnknownName("ablation", name, names())
    return tuple(dict.fromkeys(asked)) or names()
