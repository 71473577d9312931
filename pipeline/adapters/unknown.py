"""`xmap eval --unknown`: how well the adapters of an evaluation tell images of none of the classes from its test images."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from xmap.pipeline.adapters.adapter import BATCH, Adapter
from xmap.pipeline.adapters.given_images import image_paths
from xmap.stages.eval.metrics import auroc, false_accepts
from xmap.stages.names import ADAPTER
from xmap.stages.workplace.progress import Progress
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.formats.tables import Array, read_table

SHARE = 0.95


def unknown_of(
    store: Store, evaluation: Artifact, artifacts: list[Artifact], folder: str, device: str, progress: Progress
) -> list[dict[str, Any]]:
    """One object for each adapter of the evaluation among `artifacts`, about the images in `folder`: fields as `UNKNOWN` says.

    Nothing is stored. Raises `InputError` where there are no images, one cannot be read, or nothing says which encoder to take.
    """
    images = image_paths([folder], progress)
    inputs, methods = set(evaluation.inputs.values()), list(evaluation.fields["methods"])
    mine = [found for found in artifacts if found.stage == ADAPTER and found.fingerprint in inputs]
    mine.sort(key=lambda found: (methods.index(found.summary["method"]), found.summary["seed"]))
    adapters = [Adapter(store, found) for found in mine]
    progress.start("unknown images", len(images))
    encoder, parts = adapters[0].encoder(device=device), []
    for start in range(0, len(images), BATCH):
        parts.append(adapters[0].encode(images[start : start + BATCH], encoder))
        progress.advance(len(parts[-1]))
    features = np.concatenate(parts)
    return [_told(adapter, _known(evaluation, adapter.artifact), adapter.strangeness(features)) for adapter in adapters]


def _known(evaluation: Artifact, adapter: Artifact) -> Array:
    """How strange the adapter finds the test images."""
    table = read_table(evaluation.file("predictions.parquet"), ("run", "strangeness"))
    mine: Array = table["strangeness"].to_numpy()[np.asarray(table["run"].to_pylist()) == adapter.path.name]
    return mine


def _told(adapter: Adapter, known: Array, strange: Array) -> dict[str, Any]:
    rejection, facts = adapter.rejection(SHARE), adapter.artifact.summary
    rejected, too_much = (100.0 * float(rejection.rejects(torch.from_numpy(found)).double().mean()) for found in (strange, known.copy()))
    return {
        "method": facts["method"],
        "seed": facts["seed"],
        "images": len(strange),
        "auroc": auroc(known, strange),
        "false_accepts": false_accepts(known, strange, SHARE),
        "rejected": rejected,
        "test_rejected": too_much,
    }
