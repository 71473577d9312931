"""What came from what: the artifacts that an artifact was made from, and artifacts by the names people use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from xmap.store.artifacts.artifact import Artifact, Store, Survey
from xmap.store.artifacts.fingerprint import SHORT
from xmap.store.errors import ArtifactMissing, InputError

# Where an artifact hangs in the tree: below the most specific of its inputs, an evaluation below the images that it scored.
BRANCHES = ("cache", "support", "test", "validation", "texts")


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


def find_artifact(store: Store, name: str, stage: str | None = None) -> Artifact:
    """The newest artifact whose name, folder, path or fingerprint is `name`, or whose fingerprint begins so.

    Raises `ArtifactMissing` for none, and `InputError` where artifacts of several stages or several fingerprints answer.
    """
    text = name.rstrip("/")
    survey = store.survey(stage)
    artifacts = survey.artifacts
    exact = [found for found in artifacts if text in (found.name, found.path.name, f"{found.stage}/{found.path.name}", str(found.path))]
    exact = exact or [found for found in artifacts if text == f"{found.stage}/{found.name}"]
    begun = [found for found in artifacts if text and found.fingerprint.startswith(text)]
    if not exact and len(begun) > 1:
        raise InputError(f"several fingerprints begin with {name!r}: {_listed(begun)}; give more digits.")
    found = exact or begun
    if not found:
        raise_damage(survey, text)
        raise ArtifactMissing(stage or "stored", name, "run `xmap status` to see what there is.")
    if len({artifact.stage for artifact in found}) > 1:
        raise InputError(f"{name!r} is the name of several artifacts: {_listed(found)}; write STAGE/NAME or the fingerprint.")
    return found[-1]


def raise_damage(survey: Survey, name: str) -> None:
    """Raise what is wrong with the artifact of that folder, name or beginning of a fingerprint, where one is damaged."""
    for folder, damage in survey.damaged.items():
        base, _, digest = folder.name.rpartition("-")
        if name in (folder.name, f"{folder.parent.name}/{folder.name}", str(folder), base) or (name and name.startswith(digest)):
            raise damage


def _listed(artifacts: Sequence[Artifact]) -> str:
    return ", ".join(f"{found.stage} {found.fingerprint[:SHORT]}" for found in artifacts[:5])
