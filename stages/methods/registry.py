"""The registry of methods. No torch here: planning imports it.

Adding a method: its options class in `options.py`, its entry here, its module under `stages/methods/`, its test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xmap.stages.methods.options import (
    ApeOptions,
    ApeTOptions,
    ClapOptions,
    ClipAdapterOptions,
    CrossModalOptions,
    GdaOptions,
    LinearProbeOptions,
    LpPlusPlusOptions,
    TaskResOptions,
    TipAdapterFOptions,
    TipAdapterOptions,
    TipXOptions,
    XMAdapterOptions,
    XMAdapterPaperOptions,
    ZeroShotOptions,
)
from xmap.stages.methods.searched import MethodOptions
from xmap.store.errors import UnknownName


@dataclass(frozen=True)
class MethodEntry:
    """A registered method: its options, the module that holds it, and the version of its mathematics.

    `version` enters the fingerprint: raise it when the same options would give other numbers, or its adapters hold others.
    `retrieves`: its keys are the cache's own, so that with a top k it is trained on those that the cache's index finds, and
    keeps none itself. `learns`: its answers depend on labelled images.
    """

    options: type[MethodOptions]
    module: str
    version: int = 1
    retrieves: bool = False
    learns: bool = True


METHODS: Mapping[str, MethodEntry] = {
    "zero-shot": MethodEntry(ZeroShotOptions, "xmap.stages.methods.zero_shot", retrieves=True, learns=False),
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
