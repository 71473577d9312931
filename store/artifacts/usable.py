"""What using an artifact takes of its manifest: earlier versions and other programs may have written less."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xmap.store.artifacts.artifact import Artifact
from xmap.store.errors import ArtifactDamaged

# What using an artifact of a stage takes of its summary, and of each of its results.
NEEDED: Mapping[str, tuple[str, ...]] = {
    # Those of a pool have no classes.
    "images": ("counts", "parts"),
    "texts": ("classes", "logit_scale"),
    "joined": ("classes", "counts", "parts", "widths"),
    "coop": ("classes", "logit_scale", "selection", "trainable_parameters", "train_seconds"),
    "cache": ("classes", "shots", "entries", "views", "index"),
    "adapter": ("method", "seed", "shots", "settings", "selection", "trainable_parameters", "train_seconds", "stored_bytes"),
    "pairs": ("threshold", "leaks"),
    "eval": ("results", "differences", "samples"),
    "answers": ("classes", "samples", "bad", "answered", "promises"),
}  # fmt: skip
NEEDED_RESULTS = (
    "method", "shots", "seeds", "accuracies", "accuracy_mean", "accuracy_ci95", "ci_kind", "top5_mean", "ece_mean", "per_class",
    "selected_on", "trials", "edges", "trainable_parameters", "train_seconds", "ms_per_query", "stored_bytes",
)  # fmt: skip
NEEDED_CHOICES = ("selected_on", "trials")
NEEDED_INPUTS: Mapping[str, tuple[str, ...]] = {
    "cache": ("texts",),
    "adapter": ("texts", "cache"),
    "eval": ("texts", "test"),
    "answers": ("adapter",),
}


def usable(artifact: Artifact, *more: str) -> Artifact:
    """The artifact, if its manifest says all that using it takes, and `more` in its summary. Raises `ArtifactDamaged`."""
    absent = next((name for name in more if name not in artifact.summary), None)
    problem = f"its summary lacks {absent!r}" if absent else _lacking(artifact.stage, artifact.inputs, artifact.summary)
    if problem:
        raise ArtifactDamaged(artifact.path, problem, artifact.remedy)
    return artifact


def _lacking(stage: str, inputs: Mapping[str, str], summary: Mapping[str, Any]) -> str | None:
    """What is missing, in words."""
    rows = summary.get("results") or [] if stage == "eval" else []
    wanted = [(f"its summary lacks {name!r}", name in summary) for name in NEEDED.get(stage, ())]
    wanted += [(f"its inputs lack {name!r}", name in inputs) for name in NEEDED_INPUTS.get(stage, ())]
    wanted += [(f"a result lacks {name!r}", name in row) for row in rows for name in NEEDED_RESULTS]
    if "selection" in NEEDED.get(stage, ()):
        wanted += [(f"its selection lacks {name!r}", name in summary.get("selection", {})) for name in NEEDED_CHOICES]
    if stage == "eval":
        wanted.append(("it has no result", bool(rows) and all(row.get("seeds") and row.get("accuracies") for row in rows)))
    return next((problem for problem, there in wanted if not there), None)
