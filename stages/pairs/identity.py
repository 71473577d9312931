"""What the pairs of a data set are, decided before they exist. No torch."""

from __future__ import annotations

from xmap.stages.config import PairsConfig
from xmap.stages.datasets.dataset import TEST, TRAIN, VAL
from xmap.stages.names import PAIRS, Parts
from xmap.store.artifacts.identity import Identity

PAIRS_SCHEMA = 1
# What people call a split that is an input, as other stages do.
INPUTS = {TRAIN: "training", VAL: "validation", TEST: "test"}


def pairs_identity(parts: Parts, config: PairsConfig, command: str) -> Identity | None:
    """The pairs among the images of all splits; None for imported features, which are of no files and whose support has its own parts."""
    if TRAIN not in parts.prints:
        return None
    inputs = {name: parts.prints[split] for split, name in INPUTS.items() if split in parts.prints}
    return Identity(PAIRS, parts.name, {"schema": PAIRS_SCHEMA, **config.model_dump(mode="json")}, inputs, command, parts.source)
