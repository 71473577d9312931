"""What an exported folder says of its adapter, for programs: where it comes from, how it was chosen, and what it was measured at."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from xmap.pipeline.adapters.adapter import Adapter
from xmap.pipeline.adapters.encoder import Recorded, recorded_encoders
from xmap.pipeline.adapters.own_images import images_of
from xmap.stages.adapters.kept import Kept
from xmap.stages.adapters.sets import Sets
from xmap.stages.adapters.strangeness import Rejection
from xmap.stages.encoder.names import LOCAL, TIMM
from xmap.store.artifacts.artifact import Artifact
from xmap.store.artifacts.manifest import MANIFEST, versions
from xmap.store.artifacts.usable import usable
from xmap.store.errors import ArtifactDamaged

# The two-sided 95 % quantile of the normal distribution.
Z = 1.959964
LEVEL, ACCEPTED = 0.9, 0.95


def facts_of(adapter: Adapter) -> dict[str, Any]:
    """All facts, as JSON values. `validation` is of samples that chose nothing, `test` of an evaluation, each where there is one."""
    artifact, summary, texts = adapter.artifact, adapter.artifact.summary, adapter.texts
    kept, tested = adapter.scorer.promises.kept, _tested(adapter)
    return {
        "adapter": artifact.fingerprint,
        "name": artifact.name,
        "method": summary["method"],
        **{name: artifact.fields[name] for name in ("version", "origin") if name in artifact.fields},
        **{name: summary[name] for name in ("shots", "seed", "options", "settings") if name in summary},
        "selection": summary["selection"],
        "selected_on": summary["selection"]["selected_on"],
        "trainable_parameters": summary["trainable_parameters"],
        **{name: summary[name] for name in ("calibration", "kept", "pool") if name in summary},
        **({} if kept is None else _validation(kept)),
        **({} if tested is None else {"test": tested, "test_accuracy": tested["accuracy"]}),
        "classes": list(adapter.classes),
        "data": _data(adapter),
        **encoder_facts(texts, adapter.cache_artifact),
        "command": artifact.manifest["command"],
        "trained": artifact.manifest["created"],
        "versions": versions(),
        "trained_with": artifact.manifest["versions"],
        "exported": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def interval(accuracy: float, samples: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (0 to 1) of so many samples, at least one: it holds for few, and where all are right."""
    middle, width = accuracy + Z**2 / (2 * samples), Z * math.sqrt(accuracy * (1 - accuracy) / samples + Z**2 / (4 * samples**2))
    whole = 1 + Z**2 / samples
    return max(0.0, (middle - width) / whole), min(1.0, (middle + width) / whole)


def _measured(right: float, samples: int) -> dict[str, Any]:
    """An accuracy (percent) with its interval, of a share (0 to 1) that is right."""
    return {"accuracy": 100 * right, "interval": [100 * end for end in interval(right, samples)], "samples": samples}


def _validation(kept: Kept) -> dict[str, Any]:
    """What samples that chose nothing say, and the promises that stand on them."""
    promises = {"sets": Sets(kept, LEVEL).words, "rejection": str(Rejection(kept, ACCEPTED))}
    if not len(kept):
        return {"promises": promises}
    measured = _measured(float((kept.predicted == kept.labels).mean()), len(kept))
    return {"validation": {**measured, "log_loss": float(kept.nonconformity.mean()), "source": kept.source}, "promises": promises}


def _tested(adapter: Adapter) -> dict[str, Any] | None:
    """The accuracy of this very adapter on the test images of the newest evaluation that scored it."""
    summary = adapter.artifact.summary
    for evaluation in reversed(adapter.store.artifacts("eval")):
        if evaluation.inputs.get(f"adapter {summary['method']} seed {summary['seed']}") != adapter.artifact.fingerprint:
            continue
        for row in usable(evaluation).summary["results"]:
            by_seed = dict(zip(row["seeds"], row["accuracies"], strict=False))
            if row["method"] == summary["method"] and summary["seed"] in by_seed and evaluation.summary["samples"]:
                measured = _measured(float(by_seed[summary["seed"]]) / 100, int(evaluation.summary["samples"]))
                return {**measured, "evaluation": evaluation.fingerprint}
    return None


def _data(adapter: Adapter) -> dict[str, Any]:
    """The data set: its name, the images of each split and what was said of them, where its features are still in the store."""
    cache = adapter.cache_artifact
    found: dict[str, Any] = {"name": adapter.dataset, "support": cache.summary["entries"], "views": cache.summary["views"]}
    found |= {name: adapter.texts.summary[name] for name in ("sentences",) if name in adapter.texts.summary}
    images = images_of(adapter)
    if images is None:
        return found
    tables = images.manifest.get("source", {}).get("data", {}).get("labels", "")
    listed = [tables] if isinstance(tables, str) else list(tables)
    facts = {name: images.summary[name] for name in ("counts", "bad", "remarks") if name in images.summary}
    return {**found, **facts, "corrections": [name for name in listed if name], "images": images.fingerprint}


def encoder_facts(texts: Artifact, cache: Artifact) -> dict[str, Any]:
    """Which encoder made the class texts: its name here, what identifies its weights anywhere, and sizes; and the same of further ones
    in `more_encoders`, where there are some. Raises `ArtifactDamaged`."""
    first, *others = recorded_encoders(texts, cache)
    more = {"more_encoders": [_encoder(one, cache) for one in others]} if others else {}
    return {**_encoder(replace(first, name=str(texts.summary.get("model", texts.name)) if first.fields else texts.name), texts), **more}


def _encoder(one: Recorded, artifact: Artifact) -> dict[str, Any]:
    """What `artifact` says of an encoder."""
    if not one.fields:
        return {"encoder": one.name, "encoder_weights": None}
    stated, fields = one.stated.model, one.fields
    # Where a folder of a model lies is nobody's to know.
    model = {} if stated.removeprefix(TIMM).startswith(LOCAL) else {"encoder_model": stated}
    try:
        size = [int(side) for side in fields["preprocess"]["size"]]
        sizes = {"width": int(fields["model"]["embed_dim"]), "image_size": size, "precision": str(fields["precision"])}
        return {"encoder": one.name, **model, "encoder_weights": str(fields["weights"]), "encoder_sizes": sizes}
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactDamaged(artifact.path / MANIFEST, "it does not say which encoder made it", artifact.remedy) from error
