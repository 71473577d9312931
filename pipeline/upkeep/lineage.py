"""What came from what: the artifacts that an artifact was made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from xmap.store.artifacts.artifact import Artifact

# Where an artifact hangs in the tree: below the most specific of its inputs, an evaluation below the images that it scored.
BRANCHES = ("adapter", "cache", "support", "test", "validation", "texts", "images")


@dataclass(frozen=True)
class Lineage:
    """The artifacts of a store, and for each (by fingerprint) its inputs by name: artifacts, or None for one that is gone."""

    artifacts: tuple[Artifact, ...]
    inputs: Mapping[str, Mapping[str, Artifact | None]]

    @classmethod
    def of(cls, artifacts: Iterable[Artifact]) -> Lineage:
        """An input is named by an artifact's fingerprint, or by that of one part (a split) of image features."""
        listed = tuple(artifacts)
        owners = {digest: found for found in listed for digest in found.summary.get("parts", {}).values()}
        owners |= {found.fingerprint: found for found in listed}
        return cls(listed, {found.fingerprint: {name: owners.get(digest) for name, digest in found.inputs.items()} for found in listed})

    @cached_property
    def by_print(self) -> Mapping[str, Artifact]:
        """Them by fingerprint."""
        return {found.fingerprint: found for found in self.artifacts}

    def parents(self, artifact: Artifact) -> list[Artifact]:
        """What it was made from, each once."""
        found = {parent.fingerprint: parent for parent in self.inputs[artifact.fingerprint].values() if parent is not None}
        return list(found.values())

    def branch(self, artifact: Artifact) -> Artifact | None:
        """The one of its inputs below which a tree shows it; None for what was made from files."""
        inputs = self.inputs[artifact.fingerprint]
        return next((parent for name in BRANCHES if (parent := inputs.get(name)) is not None), None)

    def children(self, parent: Artifact | None) -> list[Artifact]:
        """What the tree shows below `parent`, oldest first; below None its roots."""
        return [found for found in self.artifacts if _print(self.branch(found)) == _print(parent)]


def _print(artifact: Artifact | None) -> str | None:
    return artifact.fingerprint if artifact else None
