"""What an adapter promises by its samples that chose nothing: prediction sets, and which images are of no class. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from xmap.stages.adapters.kept import Kept, read_kept
from xmap.stages.adapters.pool_words import pool_words
from xmap.stages.adapters.sets import Sets
from xmap.stages.adapters.strangeness import Rejection
from xmap.store.artifacts.artifact import Artifact
from xmap.store.errors import InputError


@dataclass(frozen=True)
class Promises:
    """The promises of an adapter of so many classes; its samples are read when they are first asked for."""

    artifact: Artifact
    classes: int

    @cached_property
    def kept(self) -> Kept | None:
        """Its samples that chose nothing; None for an adapter of an older xmap. Raises `ArtifactDamaged`."""
        return read_kept(self.artifact, self.classes)

    @property
    def pool(self) -> str:
        """The images without labels that the adapter learned from, in words; empty for none."""
        facts = self.artifact.summary.get("pool")
        return pool_words(facts) if facts else ""

    def sets(self, level: float, by: str = "all") -> Sets:
        """Prediction sets of a level, one threshold for `by` all classes or for each class.

        Raises `InputError` for an adapter of an older xmap and for no share, `UnknownName` and `ArtifactDamaged`.
        """
        return Sets(self._required("sets"), level, by)

    def rejection(self, share: float) -> Rejection:
        """Which images are of none of the classes, where a share of those of the classes is accepted. Raises `InputError`, as `sets`."""
        return Rejection(self._required("rejecting images"), share)

    def _required(self, what: str) -> Kept:
        if self.kept is None:
            raise InputError(f"{self.artifact.name} was trained before samples were kept apart for {what}; {self.artifact.remedy}")
        return self.kept
