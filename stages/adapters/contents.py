"""What an adapter of each method holds: names, shapes and types of its tensors, and the settings that its scores take.

An adapter may come from anybody. What it holds is held against this before anything is computed with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from xmap.stages.methods.maths.hard_samples import MEANS
from xmap.stages.methods.registry import Contents, Shapes, method_entry
from xmap.store.formats.tables import Array

FLOAT = np.dtype(np.float32)
# Of the tensors whose type is another.
TYPES: Mapping[str, np.dtype[np.generic]] = {"channels": np.dtype(np.int64), "log_partition": np.dtype(np.float64)}
# Settings that are words.
WORDS: Mapping[str, tuple[str, ...]] = {"kernel": ("exp", "relative")}
KEYS: Shapes = {"keys": ("M", "C")}
WEIGHTS: Shapes = {"weights": ("N", "C")}
BRIDGE = Contents(
    {"means": ("N", "C"), "prompts": ("N", "C"), "bridge": ("C", "C"), "divergence": ("N",)},
    ("sharpness", "bridged_keys", "bridged_queries", "smoothness"),
)
CONTENTS: Mapping[str, Contents] = {
    "zero-shot": Contents({}),
    "tip-adapter": Contents(KEYS, ("alpha", "beta")),
    "tip-adapter-f": Contents(KEYS, ("alpha", "beta")),
    "xmadapter": Contents(
        {
            "keys": ("M", "I"), "text_keys": ("N", "T"), "center": ("C",), "image_map": ("C", "I"), "text_map": ("C", "T"),
            "residual": ("N", "C"),
        },
        ("alpha", "gamma", "residual", "beta", "beta_text", *MEANS),
        ({"pool_shares": ("N",)},),
    ),
    "xmadapter-paper": Contents(
        {**KEYS, "gate.bias": (), "meta.0": ("D", "C"), "image.0": ("D", "C")},
        ("alpha", "beta", "beta_text", "kernel", *MEANS),
        (
            {"gate.weight": ("C",)},
            {"meta.1": ("D", "R"), "meta.2": ("R", "D"), "image.1": ("D", "R"), "image.2": ("R", "D")},
        ),
    ),
    "clip-adapter": Contents({"down": ("R", "C"), "up": ("C", "R")}, ("ratio",)),
    "taskres": Contents(WEIGHTS),
    "linear-probe": Contents(WEIGHTS),
    "clap": Contents(WEIGHTS),
    "lp++": Contents({**WEIGHTS, "text_weights": ("N",)}),
    "cross-modal-probe": Contents(WEIGHTS),
    "gda": Contents({**WEIGHTS, "bias": ("N",)}, ("alpha",)),
    "tip-x": Contents(
        {**KEYS, "log_partition": ("M",)},
        ("alpha", "beta", "gamma", "temperature", "kl_low", "kl_high", "similarity_low", "similarity_high", *MEANS),
    ),
    "ape": Contents({"keys": ("M", "Q"), "channels": ("Q",), "divergence": ("M",)}, ("alpha", "beta", "gamma")),
    "ape-t": Contents({**KEYS, **WEIGHTS, "values": ("M",)}, ("alpha", "beta")),
    "proker": Contents({**KEYS, "coefficients": ("M", "N")}, ("beta", "ridge")),
    "proker-clap": Contents({**KEYS, **WEIGHTS, "coefficients": ("M", "N")}, ("beta", "ridge")),
    "aligned-mix": Contents({"mixed": ("N", "C"), **WEIGHTS, "bias": ("N",)}, ("alpha",)),
    "ss-text": Contents(WEIGHTS),
    "timo": Contents({"guided": ("N", "C"), **WEIGHTS, "bias": ("N",)}, ("alpha",)),
    "semobridge": BRIDGE,
    "semobridge-t": replace(BRIDGE, tensors={**BRIDGE.tensors, "bias": ("N", "C")}),
}  # fmt: skip

# What encoders after the first have beside, where there are several: tensors of those with class texts of their own, and settings.
MORE: Mapping[str, Contents] = {"xmadapter": Contents({"residual": ("N", "C")}, ("scale", "shown"))}


def misfit(
    method: str, tensors: Mapping[str, Array], settings: Mapping[str, object], sizes: Mapping[str, int], widths: tuple[int, ...] = ()
) -> str | None:
    """What of an adapter's tensors and settings does not fit its method and the `sizes` M, N and C; None where all does.

    With several encoders, of these `widths`, each has a part of its own.
    """
    entry = method_entry(method)
    if not widths:
        return misfit_of(entry.contents or CONTENTS[method], entry.retrieves, tensors, settings, sizes)
    each = {f"C{number}": width for number, width in enumerate(widths, 1)}
    return misfit_of(of_several(method, len(widths)), False, tensors, settings, {**sizes, **each})


def of_several(method: str, encoders: int) -> Contents:
    """What an adapter of a method holds for several encoders: the contents of each under its number, with sizes of its own but M and N.

    Those after the first may keep class texts, and may lack what only class texts of their own make.
    """
    known, more = CONTENTS[method], MORE.get(method, Contents({}))
    tensors: dict[str, tuple[str, ...]] = {}
    settings: list[str] = []
    groups: list[Shapes] = []
    for number in range(1, encoders + 1):
        later = number > 1
        must = {name: shape for name, shape in known.tensors.items() if not (later and name in more.tensors)}
        tensors |= _numbered(number, must)
        may = ({"texts": ("N", "C")}, *([more.tensors] if more.tensors else [])) if later else ()
        groups += [_numbered(number, group) for group in may]
        settings += [f"{number}.{name}" for name in (*known.settings, *(more.settings if later else ())) if not (later and name in MEANS)]
    return Contents(tensors, tuple(settings), tuple(groups))


def _numbered(number: int, shapes: Shapes) -> Shapes:
    own = {"M": "M", "N": "N"}
    return {f"{number}.{name}": tuple(own.get(letter, f"{letter}{number}") for letter in shape) for name, shape in shapes.items()}


def misfit_of(
    known: Contents, retrieves: bool, tensors: Mapping[str, Array], settings: Mapping[str, object], sizes: Mapping[str, int]
) -> str | None:
    """The same of what a method is `known` to hold; one that `retrieves` may have left its keys in the cache's index."""
    problem = _odd_setting(known, settings) or _odd_top_k(retrieves, settings)
    shapes = {} if "top_k" in settings else next((variant for variant in known.variants() if variant.keys() == tensors.keys()), None)
    if problem or shapes is None or shapes.keys() != tensors.keys():
        return problem or f"its tensors are {', '.join(sorted(tensors)) or 'none'}, not {', '.join(known.tensors) or 'none'}"
    lengths = dict(sizes)
    for name, shape in shapes.items():
        values = tensors[name]
        fits = values.ndim == len(shape) and all(
            lengths.setdefault(letter, size) == size for letter, size in zip(shape, values.shape, strict=True)
        )
        if not fits or 0 in values.shape:
            wanted = " x ".join(str(lengths.get(letter, letter)) for letter in shape) or "one number"
            return f"its tensor {name} is {' x '.join(map(str, values.shape)) or 'one number'}, not {wanted}"
        if values.dtype != TYPES.get(name, FLOAT):
            return f"its tensor {name} is {values.dtype}, not {TYPES.get(name, FLOAT)}"
    channels = tensors.get("channels")
    if channels is not None and not ((channels >= 0) & (channels < sizes["C"])).all():
        return f"its channels are not those of features of width {sizes['C']}"
    return None


def _odd_top_k(retrieves: bool, settings: Mapping[str, object]) -> str | None:
    value = settings.get("top_k", 1)
    fits = type(value) is int and value >= 1 and ("top_k" not in settings or retrieves)
    return None if fits else f"its setting top_k is {value!r}"


def _odd_setting(known: Contents, settings: Mapping[str, object]) -> str | None:
    for name in known.settings:
        value = settings.get(name)
        if value not in WORDS[name] if name in WORDS else not isinstance(value, int | float) or isinstance(value, bool):
            return f"its setting {name} is {value!r}" if name in settings else f"it lacks the setting {name}"
    return None
