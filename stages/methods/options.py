"""The options of every method, and the registry of methods. No torch here: planning validates options in milliseconds.

Adding a method: its options class and its entry here, its module under `stages/methods/`, its test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from xmap.stages.methods.competitors_options import (
    ALPHAS,
    BETAS,
    ApeOptions,
    ApeTOptions,
    ClapOptions,
    ClipAdapterOptions,
    CrossModalOptions,
    GdaOptions,
    LinearProbeOptions,
    LpPlusPlusOptions,
    TaskResOptions,
    TipXOptions,
)
from xmap.stages.methods.searched import Given, Grid, MethodOptions, Positive, Search, Share, Weight
from xmap.store.errors import UnknownName


class ZeroShotOptions(MethodOptions):
    """CLIP's zero-shot classifier has no options."""


class TipAdapterOptions(MethodOptions):
    """Tip-Adapter: the image cache, untrained."""

    alpha: Annotated[Given[Positive], Search(1.0, ALPHAS)] = Field(
        None, description="Weight of the cache at 16 shots and logit scale 100, rescaled for others."
    )
    beta: Annotated[Given[Positive], Search(5.5, BETAS)] = Field(None, description="Sharpness of the affinity.")


class TipAdapterFOptions(TipAdapterOptions):
    """Tip-Adapter-F: the image keys become weights, trained as published."""

    epochs: int = Field(20, ge=1, description="Passes over the support; the best one is kept.")
    learning_rate: float = Field(1e-3, gt=0, description="AdamW's, cosine decay to zero.")
    batch_size: int = Field(256, ge=1, description="Queries a step.")
    self_match: Literal["none", "mask"] = Field("none", description="Whether a support query meets its own key while training.")


class XMAdapterOptions(MethodOptions):
    """XMAdapter, our default form. The defaults hold where validation does not speak clearly for other values."""

    alpha: Annotated[Given[Weight], Search()] = Field(
        None, description="Weight of the fused affinities; default 30 to 120, growing with the shots."
    )
    gamma: Annotated[Given[Share], Search()] = Field(
        None, description="Share of the image affinity, 1 image only, 0 text only; default 1/3 to 5/6."
    )
    residual: Annotated[Given[Weight], Search()] = Field(
        None, description="Share rho of the residual class weights; default min(0.75, shots / 4)."
    )
    beta: float = Field(2.0, gt=0, description="Sharpness of the image affinity.")
    beta_text: float = Field(3.0, gt=0, description="Sharpness of the text affinity.")
    keys: Literal["tuned", "frozen"] = Field("tuned", description="Whether the image keys are trained, from 3 shots on.")
    metric: Literal["split", "shared", "plain"] = Field("split", description="Spaces of the caches: split, shared, or not learned.")
    hard_weight: float = Field(1.0, ge=0, description="Strength lambda of the hard-sample weights; 0 weights all alike.")
    penalty: float = Field(50.0, ge=0, description="Pull of the residual class weights to the texts.")
    epochs: int = Field(12, ge=1, description="Passes over the support, at least as many as min_steps needs.")
    min_steps: int = Field(200, ge=1, description="Fewest steps of training.")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's, at width 512 and logit scale 100; cosine decay to zero.")
    batch_size: int = Field(256, ge=1, description="Queries a step.")


class XMAdapterPaperOptions(TipAdapterOptions):
    """XMAdapter's faithful form. What the paper leaves open is an option here."""

    epochs: int = Field(20, ge=1, description="Passes over the support; the best one is kept.")
    learning_rate: float = Field(1e-3, gt=0, description="AdamW's, cosine decay to zero.")
    batch_size: int = Field(256, ge=1, description="Queries a step.")
    self_match: Literal["none", "mask"] = Field("mask", description="Whether a support query meets its own key while training.")
    keys: Literal["tuned", "frozen"] = Field("tuned", description="Whether the image keys are trained.")
    kernel: Literal["exp", "relative"] = Field("exp", description="Text affinity: as the image side's, or from the query's best class.")
    beta_text: float = Field(5.5, gt=0, description="Sharpness of the text affinity.")
    width: int = Field(0, ge=0, description="Width D of the nets' common space; 0: that of the features.")
    depth: Literal[1, 2] = Field(1, description="Layers of MetaNet and Img2TxtNet.")
    start: Literal["shared", "random"] = Field("shared", description="The nets start as one map of the CLIP space, or as two random ones.")
    gamma_mode: Literal["fixed", "learned", "gated"] = Field("learned", description="Gamma chosen, learned, or a gate per sample.")
    gamma: Annotated[Given[Share], Search(0.5, Grid((0.0, 0.2, 0.4, 0.6, 0.8, 1.0), widen=False))] = Field(
        None, description="Gamma at the start of training; 0.5. Chosen on validation samples if gamma_mode is fixed."
    )
    disagreement: Literal["class", "key"] = Field("class", description="Whether the two sides are compared on class sums or key by key.")
    hard_weight: float = Field(1.0, ge=0, description="Strength lambda of the hard-sample weights; 0 weights all alike.")

    def searched(self) -> dict[str, Search]:
        """A learned gamma only starts at its option."""
        return {name: search for name, search in self.searches().items() if name != "gamma" or self.gamma_mode == "fixed"}


@dataclass(frozen=True)
class MethodEntry:
    """A registered method: its options, the module that holds it, and the version of its mathematics.

    `version` enters the fingerprint: raise it when the same options would give other numbers, or its adapters hold others.
    `retrieves`: its keys are the cache's own, so that with a top k it is trained on those that the cache's index finds, and
    keeps none itself.
    """

    options: type[MethodOptions]
    module: str
    version: int = 1
    retrieves: bool = False


METHODS: Mapping[str, MethodEntry] = {
    "zero-shot": MethodEntry(ZeroShotOptions, "xmap.stages.methods.zero_shot", retrieves=True),
    "tip-adapter": MethodEntry(TipAdapterOptions, "xmap.stages.methods.tip_adapter", retrieves=True),
    "tip-adapter-f": MethodEntry(TipAdapterFOptions, "xmap.stages.methods.tip_adapter_f"),
    "xmadapter": MethodEntry(XMAdapterOptions, "xmap.stages.methods.xmadapter", 6),
    "xmadapter-paper": MethodEntry(XMAdapterPaperOptions, "xmap.stages.methods.xmadapter_paper", 2),
    "clip-adapter": MethodEntry(ClipAdapterOptions, "xmap.stages.methods.clip_adapter"),
    "taskres": MethodEntry(TaskResOptions, "xmap.stages.methods.taskres"),
    "linear-probe": MethodEntry(LinearProbeOptions, "xmap.stages.methods.linear_probe"),
    "clap": MethodEntry(ClapOptions, "xmap.stages.methods.clap"),
    "lp++": MethodEntry(LpPlusPlusOptions, "xmap.stages.methods.lp_plus_plus"),
    "cross-modal-probe": MethodEntry(CrossModalOptions, "xmap.stages.methods.cross_modal_probe"),
    "gda": MethodEntry(GdaOptions, "xmap.stages.methods.gda"),
    "tip-x": MethodEntry(TipXOptions, "xmap.stages.methods.tip_x", 2),
    "ape": MethodEntry(ApeOptions, "xmap.stages.methods.ape"),
    "ape-t": MethodEntry(ApeTOptions, "xmap.stages.methods.ape_t"),
}


def method_entry(name: str) -> MethodEntry:
    """The entry of a method. Raises `UnknownName`."""
    if name not in METHODS:
        raise UnknownName("method", name, tuple(METHODS))
    return METHODS[name]
