"""What every import holds itself to where it stores features."""

from __future__ import annotations

import math

from xmap.store.artifacts.artifact import Store
from xmap.store.artifacts.identity import Identity
from xmap.store.errors import InputError


def require_scale(logit_scale: float) -> None:
    """Raise `InputError` for what is no logit scale."""
    if not (math.isfinite(logit_scale) and logit_scale > 0):
        raise InputError(f"--logit-scale {logit_scale}: give a number above 0; OpenAI's CLIP has 100.")


def refuse_collision(store: Store, *identities: Identity) -> None:
    """Raise `InputError` where the store has other features of the same name."""
    for identity in identities:
        others = (artifact for artifact in store.artifacts(identity.stage) if artifact.name == identity.name)
        if any(artifact.fingerprint != identity.fingerprint for artifact in others):
            raise InputError(f"the store has other features named {identity.name!r}; choose another name with --name.")
