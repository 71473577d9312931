"""Why a step is built, in words: what differs from the nearest artifact of its stage that is of the same data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from xmap.pipeline.run.data_changes import AtHand
from xmap.pipeline.run.image_changes import image_changes, stored_listing
from xmap.stages.methods.searched import GRIDS
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.artifacts.fingerprint import Change, explain
from xmap.store.artifacts.identity import Identity

NEW = "not built before"
SHOWN = 3
# Artifacts that differ in one of these are other things, not the same thing changed.
NAMING = ("method", "seed")
CONTENT = "fields.content."
# Of a method's settings those that were given, and so are not chosen.
GIVEN = f"options.{GRIDS}."
# What an input is to people.
INPUTS = {
    "support": "training images",
    "training": "training images",
    "validation": "validation images",
    "test": "test images",
    "texts": "class texts",
    "projection": "texts before their projection",
}


class Reasons:
    """Reasons by what the store held when they were first asked for: what a run builds itself explains nothing."""

    def __init__(self, store: Store, dataset: str, at_hand: AtHand | None = None) -> None:
        """`dataset` is the name of the data set, `at_hand` are its images as they are now, where there are any."""
        self._store, self._dataset, self._at_hand = store, dataset, at_hand

    @cached_property
    def _artifacts(self) -> Mapping[str, Artifact]:
        return {found.fingerprint: found for found in self._store.artifacts()}

    @cached_property
    def _providers(self) -> Mapping[str, Sequence[Artifact]]:
        from xmap.store.sql.views import providers_of

        return providers_of(self._artifacts.values())

    def why(self, identity: Identity) -> str:
        """Why the step of `identity` is built."""
        others = [other for other in reversed(list(self._artifacts.values())) if self._is_like(other, identity)]
        changes = [
            (explain({"stage": one.stage, "fields": one.fields, "inputs": dict(one.inputs)}, identity.declared), one) for one in others
        ]
        found, nearest = min(changes, key=lambda pair: len(pair[0]), default=((), None))
        if nearest is None or not found:
            return NEW
        said = self._images(nearest) if any(change.field.startswith(CONTENT) for change in found) else ""
        rest = [change for change in found if not (said and change.field.startswith(CONTENT))]
        return "; ".join(part for part in (said, words(rest)) if part) or NEW

    def _is_like(self, other: Artifact, identity: Identity) -> bool:
        same = other.stage == identity.stage and other.fingerprint != identity.fingerprint
        if not same or any(other.fields.get(name) != identity.fields.get(name) for name in NAMING):
            return False
        # With its libraries, where something is built.
        from xmap.store.sql.views import dataset_of

        return other.name == identity.name or dataset_of(other, self._providers) == self._dataset

    def _images(self, before: Artifact) -> str:
        """Which images came and went; nothing where that cannot be told."""
        known = stored_listing(before) if self._at_hand else None
        now = self._at_hand.listing() if known and self._at_hand else None
        changes = image_changes(known, now) if known and now else None
        return str(changes) if changes else ""


def words(changes: Sequence[Change]) -> str:
    """Changes as a short phrase, the settings first."""
    ordered = sorted(changes, key=lambda change: change.field.startswith("inputs."))
    phrases = list(dict.fromkeys(_phrase(change) for change in ordered))
    more = f" and {len(phrases) - SHOWN} more" if len(phrases) > SHOWN else ""
    return "; ".join(phrases[:SHOWN]) + more


def _phrase(change: Change) -> str:
    group, _, name = change.field.partition(".")
    verb = "added" if change.before is None else "gone" if change.after is None else "changed"
    if change.field.startswith(CONTENT):
        return f"{change.field.removeprefix(CONTENT)} images {verb}"
    if group == "inputs" or _is_hash(change.before) or _is_hash(change.after):
        return "adapters changed" if name.startswith("adapter ") else f"{INPUTS.get(name, name)} {verb}"
    setting = name.removeprefix(GIVEN)
    if setting != name and (change.before is None or change.after is None):
        return f"{setting} is given" if change.before is None else f"{setting} is chosen"
    return str(Change(setting, change.before, change.after))


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64 and all(digit in "0123456789abcdef" for digit in value)
