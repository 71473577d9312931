"""Adapters on disk: tensors, settings and how these were chosen; and back from there, with what their scores need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import normalize

from xmap.stages.adapters.contents import misfit
from xmap.stages.fewshot.cache import IMAGE_INDEX, OpenCache
from xmap.stages.methods.protocol import Cache, Calibration, Fitted, Selection
from xmap.stages.methods.protocol import method as load_method
from xmap.stages.methods.registry import method_entry
from xmap.stages.methods.searched import MethodOptions
from xmap.stages.names import COOP
from xmap.store.artifacts.artifact import Artifact
from xmap.store.artifacts.fingerprint import Json
from xmap.store.artifacts.schemas import stored_oddity
from xmap.store.errors import ArtifactDamaged, InputError, UnknownName
from xmap.store.formats.index import VectorIndex
from xmap.store.formats.tensors import read_tensors, write_tensors

ADAPTER = "adapter.safetensors"
# Class texts that an adapter is tried on when it is loaded.
PROBED = 8


def adapter_facts(method: str, fitted: Fitted, options: MethodOptions) -> dict[str, Json]:
    """What an adapter is and how it was chosen, as JSON values: beside its tensors and in its manifest."""
    chosen = fitted.selection
    return {
        "method": method,
        "options": options.declared(),
        "settings": dict(fitted.settings),
        "selection": {**asdict(chosen), "grid": {name: list(values) for name, values in chosen.grid.items()}, "edges": list(chosen.edges)},
        "trainable_parameters": fitted.trainable_parameters,
        "calibration": asdict(fitted.calibration),
    }


def write_adapter(folder: Path, fitted: Fitted, facts: Mapping[str, Json], index: str, effort: int | None = None) -> int:
    """Write the tensors with these `facts`, and an index over image keys where the method has them; the bytes of the tensors file.

    `effort` is how much a query of the cache's own index searches.
    """
    tensors = {name: tensor.detach().numpy() for name, tensor in fitted.tensors.items()}
    write_tensors(folder / ADAPTER, tensors, facts)
    if "keys" in tensors:
        built = VectorIndex.build(tensors["keys"], index)
        if effort is not None:
            built.effort = effort
        built.save(folder / IMAGE_INDEX)
    return (folder / ADAPTER).stat().st_size


def load_adapter(artifact: Artifact, cache: OpenCache) -> tuple[Fitted, Cache]:
    """An adapter from the store and what its scores need, on the CPU.

    Raises `ArtifactDamaged`, and `InputError` for one that another version of its method has trained.
    """
    name = str(artifact.summary["method"])
    _require_same_method(artifact, name)
    text, segments = cache.text, cache.segments
    tensors, stored = read_tensors(artifact.file(ADAPTER))
    sizes = {"M": len(segments.labels), "N": text.classes, "C": cache.width}
    metadata: Mapping[str, Any] = stored
    problem = stored_oddity(stored) or _disagreement(artifact, metadata) or misfit(name, tensors, metadata["settings"], sizes, cache.widths)
    if problem or segments.classes != text.classes:
        problem = problem or f"its cache is of {segments.classes} classes, its texts of {text.classes}"
        raise ArtifactDamaged(artifact.path / ADAPTER, problem, artifact.remedy)
    chosen = metadata["selection"]
    selection = Selection(chosen["selected_on"], chosen["trials"], chosen["accuracy"], chosen["grid"], tuple(chosen["edges"]))
    loaded = {name: torch.from_numpy(values) for name, values in tensors.items()}
    # An adapter of an older xmap has none: its probabilities are as trained.
    calibration = Calibration(**metadata.get("calibration", {}))
    fitted = Fitted(loaded, metadata["settings"], selection, metadata["trainable_parameters"], calibration)
    index = cache.keys(int(fitted.settings["top_k"])) if "top_k" in fitted.settings else None
    found = Cache(text, segments, index, cache.widths, cache.more_texts)
    _require_finite(artifact, name, fitted, found)
    return fitted, found


def _require_same_method(artifact: Artifact, name: str) -> None:
    """Raise `InputError` where the method called `name` here is not the one that trained an adapter, or is not here at all."""
    stated = artifact.fields.get("origin", {})
    package = str(stated.get("package", "xmap"))
    try:
        entry = method_entry(name)
    except UnknownName as error:
        known = f"{package} {stated.get('version', '')}".strip()
        raise InputError(
            f"{artifact.path} was trained by {name!r}, a method of the package {known}, and no package installed here has it; install that "
            "one if you trust it, or use an adapter of another method."
        ) from error
    here = entry.origin.get("package", "xmap")
    if here != package:
        raise InputError(f"{artifact.path} was trained by {name!r} of the package {package}, here that is a method of {here}; use another.")
    found = artifact.fields.get("version", entry.version)
    if found != entry.version:
        raise InputError(
            f"{artifact.path} was trained by version {found} of {name}, this {here} has version {entry.version}; {artifact.remedy}"
        )


def _disagreement(artifact: Artifact, metadata: Mapping[str, Any]) -> str | None:
    """Where the facts beside the tensors are not those of the manifest."""
    facts = artifact.summary
    differs = (name for name in ("method", "settings", "calibration") if metadata.get(name) != facts.get(name))
    return next((f"its {name} is not that of its manifest" for name in differs), None)


def _require_finite(artifact: Artifact, name: str, fitted: Fitted, cache: Cache) -> None:
    """Raise `ArtifactDamaged` for tensors and settings whose scores are no numbers; a few class texts stand for images."""
    with torch.no_grad():
        texts = cache.text.weights[:PROBED]
        # Class texts stand for images of the first encoder alone; for the others any direction does.
        others = [torch.full((len(texts), width), width**-0.5) for width in cache.widths[1:]]
        logits = load_method(name).scores(fitted, cache, normalize(torch.cat([texts, *others], 1), dim=-1) if others else texts).logits
    whole = all(bool(torch.isfinite(tensor).all()) for tensor in fitted.tensors.values())
    if not whole or not bool(torch.isfinite(logits / fitted.calibration.temperature).all()):
        raise ArtifactDamaged(artifact.path / ADAPTER, "its scores are not finite numbers", artifact.remedy)


def texts_are_tuned(cache: OpenCache) -> bool:
    """Whether class texts were tuned on the support of their cache: what they say of it is not out of sample."""
    return cache.texts.stage == COOP


def on_device(fitted: Fitted, device: str) -> Fitted:
    """The same adapter with its tensors on `device`, detached from training."""
    return replace(fitted, tensors={name: tensor.detach().to(device) for name, tensor in fitted.tensors.items()})
