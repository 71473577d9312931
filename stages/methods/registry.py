"""The registry of methods, xmap's own and those of other installed packages. No torch here: planning imports it.

Adding a method: its options class in `options.py`, its entry here, its module under `stages/methods/`, its test. Another package has
its `MethodEntry` found by an entry point in the group `xmap.methods`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations

from xmap.stages.methods.options import (
    AlignedMixOptions,
    ApeOptions,
    ApeTOptions,
    ClapOptions,
    ClipAdapterOptions,
    CrossModalOptions,
    GdaOptions,
    LinearProbeOptions,
    LpPlusPlusOptions,
    ProkerClapOptions,
    ProkerOptions,
    SemobridgeOptions,
    SemobridgeTOptions,
    SsTextOptions,
    TaskResOptions,
    TimoOptions,
    TipAdapterFOptions,
    TipAdapterOptions,
    TipXOptions,
    XMAdapterOptions,
    XMAdapterPaperOptions,
    ZeroShotOptions,
)
from xmap.stages.methods.searched import MethodOptions
from xmap.stages.plugins import METHODS as GROUP
from xmap.stages.plugins import Plugin, installed, plugin_called
from xmap.store.errors import UnknownName

Shape = tuple[str, ...]
Shapes = Mapping[str, Shape]


@dataclass(frozen=True)
class Contents:
    """What adapters of a method hold: the shapes of their tensors, and the settings that are numbers.

    Shapes by letters: M keys, N classes, C the features' width; any other letter is one size throughout an adapter. Each group of
    `options` is there as a whole or not at all.
    """

    tensors: Shapes
    settings: tuple[str, ...] = ()
    options: tuple[Shapes, ...] = ()

    def variants(self) -> Iterator[Shapes]:
        """Every set of tensors that an adapter may hold."""
        for count in range(len(self.options) + 1):
            for chosen in combinations(self.options, count):
                yield {**self.tensors, **{name: shape for group in chosen for name, shape in group.items()}}


@dataclass(frozen=True)
class MethodEntry:
    """A registered method: its options, the module that holds it, and the version of its mathematics.

    `version` enters the fingerprint: raise it when the same options would give other numbers, or its adapters hold others.
    `unprojected`: it learns from what the text tower gives before its projection, which is then kept beside the class texts.
    `retrieves`: its keys are the cache's own, so that with a top k it is trained on those that the cache's index finds, and
    keeps none itself. `pools`: it learns from images without labels too. `learns`: its answers depend on labelled images. `contents`:
    what its adapters hold, said here by a method of another package; of xmap's own `stages.adapters.contents` says it. `several`: the
    module that fits it to several encoders, None where it takes one. `plugin`: that package, set where the method is found.
    """

    options: type[MethodOptions]
    module: str
    version: int = 1
    retrieves: bool = False
    learns: bool = True
    unprojected: bool = False
    pools: bool = False
    contents: Contents | None = None
    several: str | None = None
    plugin: Plugin | None = None

    @property
    def origin(self) -> dict[str, str]:
        """The package that the method is from, and its version, as fingerprints know them; of xmap's own methods nothing."""
        return {} if self.plugin is None else {"package": self.plugin.package, "version": self.plugin.version}


LOGITS, SHARES = "xmap.stages.methods.encoders.logits", "xmap.stages.methods.encoders.shares"
METHODS: Mapping[str, MethodEntry] = {
    "zero-shot": MethodEntry(ZeroShotOptions, "xmap.stages.methods.zero_shot", retrieves=True, learns=False, several=LOGITS),
    "tip-adapter": MethodEntry(TipAdapterOptions, "xmap.stages.methods.tip_adapter", retrieves=True, several=LOGITS),
    "tip-adapter-f": MethodEntry(TipAdapterFOptions, "xmap.stages.methods.tip_adapter_f", several=LOGITS),
    "xmadapter": MethodEntry(XMAdapterOptions, "xmap.stages.methods.xmadapter", 6, pools=True, several=SHARES),
    "xmadapter-paper": MethodEntry(XMAdapterPaperOptions, "xmap.stages.methods.xmadapter_paper", 2),
    "clip-adapter": MethodEntry(ClipAdapterOptions, "xmap.stages.methods.clip_adapter"),
    "taskres": MethodEntry(TaskResOptions, "xmap.stages.methods.taskres"),
    "linear-probe": MethodEntry(LinearProbeOptions, "xmap.stages.methods.linear_probe", several=LOGITS),
    "clap": MethodEntry(ClapOptions, "xmap.stages.methods.clap"),
    "lp++": MethodEntry(LpPlusPlusOptions, "xmap.stages.methods.lp_plus_plus"),
    "cross-modal-probe": MethodEntry(CrossModalOptions, "xmap.stages.methods.cross_modal_probe"),
    "gda": MethodEntry(GdaOptions, "xmap.stages.methods.gda", several=LOGITS),
    "tip-x": MethodEntry(TipXOptions, "xmap.stages.methods.tip_x", 2),
    "ape": MethodEntry(ApeOptions, "xmap.stages.methods.ape"),
    "ape-t": MethodEntry(ApeTOptions, "xmap.stages.methods.ape_t"),
    "proker": MethodEntry(ProkerOptions, "xmap.stages.methods.proker", several=LOGITS),
    "proker-clap": MethodEntry(ProkerClapOptions, "xmap.stages.methods.proker_clap"),
    "aligned-mix": MethodEntry(AlignedMixOptions, "xmap.stages.methods.aligned_mix"),
    "ss-text": MethodEntry(SsTextOptions, "xmap.stages.methods.ss_text"),
    "timo": MethodEntry(TimoOptions, "xmap.stages.methods.timo"),
    "semobridge": MethodEntry(SemobridgeOptions, "xmap.stages.methods.semobridge", unprojected=True),
    "semobridge-t": MethodEntry(SemobridgeTOptions, "xmap.stages.methods.semobridge_t", unprojected=True),
}


def method_names() -> tuple[str, ...]:
    """The methods that can be named: xmap's own, then those of other installed packages. Nothing is imported."""
    return (*METHODS, *(name for name in installed(GROUP) if name not in METHODS))


def all_names() -> tuple[str, ...]:
    """The methods that `all` stands for: those that learn from any features."""
    return tuple(name for name in method_names() if name not in METHODS or not METHODS[name].unprojected)


def method_entry(name: str) -> MethodEntry:
    """The entry of a method. Raises `UnknownName`, and `PluginError` for one of another package that cannot be used."""
    plugin = plugin_called(GROUP, name, METHODS)
    if plugin is not None:
        return _offered(plugin)
    if name not in METHODS:
        raise UnknownName("method", name, method_names())
    return METHODS[name]


def _offered(plugin: Plugin) -> MethodEntry:
    entry = plugin.load()
    if not isinstance(entry, MethodEntry):
        raise plugin.problem(f"is no MethodEntry but {type(entry).__name__}")
    if not (isinstance(entry.options, type) and issubclass(entry.options, MethodOptions)):
        raise plugin.problem("has options that are no class of MethodOptions")
    if not isinstance(entry.contents, Contents):
        raise plugin.problem("does not say what its adapters hold: its entry has no contents")
    if type(entry.version) is not int or not isinstance(entry.module, str):
        raise plugin.problem("has a version that is no whole number, or a module that is no name")
    if entry.several is not None or entry.pools:
        raise plugin.problem("says that it takes several encoders or a pool, which xmap's own methods alone do")
    return replace(entry, plugin=plugin)
