"""What kept answers are, decided before they exist. No torch."""

from __future__ import annotations

from collections.abc import Iterable

from blake3 import blake3

from xmap.stages.names import ANSWERS
from xmap.stages.predict.prediction import Asked
from xmap.store.artifacts.artifact import Artifact
from xmap.store.artifacts.fingerprint import Fields
from xmap.store.artifacts.identity import Identity
from xmap.store.formats.tables import Array

ANSWERS_SCHEMA = 1


def answers_identity(
    name: str, adapter: Artifact, pool: Fields, asked: Asked, top: int | None, command: str, source: Fields | None = None
) -> Identity:
    """What an adapter says of a pool, called `name`: `pool` is all that determines its features, in order; `top` as `listed` has it."""
    said: dict[str, float | int | str | None] = {"neighbors": asked.neighbors, "top": top}
    said |= {} if asked.sets is None else {"sets": asked.sets.level, "sets_by": asked.sets.by}
    said |= {} if asked.rejection is None else {"reject": asked.rejection.share}
    # Each row says the name.
    fields = {"schema": ANSWERS_SCHEMA, "name": name, "pool": pool, **said}
    return Identity(ANSWERS, name, fields, {"adapter": adapter.fingerprint}, command, source or {})


def pool_print(names: Iterable[str], contents: Array, given: Iterable[str] = ()) -> str:
    """The hash of a pool: what answers call its images, the blake3 of their bytes, and the rows of the user's table as they are kept."""
    hasher = blake3(contents.tobytes())
    for text in (*names, "\0", *given):
        data = text.encode("utf-8", "surrogateescape")
        hasher.update(len(data).to_bytes(8, "little") + data)
    return hasher.hexdigest()


def learned_print(learned: Array | None) -> str | None:
    """The hash of the contents that an adapter learned from, by which answers say `known`; None where they are not known."""
    return None if learned is None else blake3(learned.tobytes()).hexdigest()
