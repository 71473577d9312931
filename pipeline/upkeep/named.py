"""Artifacts by the names that people use, for every command: what is called so, else what has a fingerprint that begins so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from xmap.stages.names import EVAL
from xmap.store.artifacts.artifact import Artifact, Store, Survey
from xmap.store.artifacts.fingerprint import SHORT
from xmap.store.errors import ArtifactMissing, InputError


def called(artifacts: Iterable[Artifact], name: str) -> list[Artifact]:
    """Those whose name, folder, path or fingerprint is `name`, in their order; a stage may stand before a name or folder."""
    text = name.rstrip("/")
    return [found for found in artifacts if text and text in _names(found)]


def _names(artifact: Artifact) -> tuple[str, ...]:
    own = artifact.name, artifact.path.name
    return (*own, *(f"{artifact.stage}/{name}" for name in own), str(artifact.path), artifact.fingerprint)


def answering(survey: Survey, name: str, stage: str = "stored") -> list[Artifact]:
    """The artifacts, oldest first, that are called `name`; where none is, those whose fingerprint begins so.

    Raises `ArtifactMissing` for none, what is wrong with a damaged one that it may name, and `InputError` where several fingerprints
    begin so.
    """
    begun = [found for found in survey.artifacts if name and found.fingerprint.startswith(name)]
    found = called(survey.artifacts, name) or begun
    if not found:
        raise_damage(survey, name.rstrip("/"))
        raise ArtifactMissing(stage, name, "run `xmap status` to see what there is.")
    if found is begun and len({artifact.fingerprint for artifact in begun}) > 1:
        raise InputError(f"several fingerprints begin with {name!r}: {_listed(begun)}; give more digits.")
    return found


def find_artifact(store: Store, name: str, stage: str | None = None) -> Artifact:
    """The newest of those that answer to `name`. Raises what `answering` raises, and `InputError` where they are of several stages."""
    found = answering(store.survey(stage), name, stage or "stored")
    if len({artifact.stage for artifact in found}) > 1:
        raise InputError(f"{name!r} is the name of several artifacts: {_listed(found)}; write STAGE/NAME or the fingerprint.")
    return found[-1]


def find_evaluation(store: Store, name: str) -> Artifact:
    """The newest evaluation that answers to `name`, where none does, that of the data set called so. Raises what `answering` raises."""
    from xmap.store.sql.views import dataset_of, providers_of

    survey = store.survey(EVAL)
    stored = store.artifacts()
    providers = providers_of(stored)
    begun = [found for found in survey.artifacts if called([found], name) or found.fingerprint.startswith(name)]
    own = [] if begun else [found for found in survey.artifacts if dataset_of(found, providers) == name]
    return own[-1] if own else answering(survey, name, EVAL)[-1]


def raise_damage(survey: Survey, name: str) -> None:
    """Raise what is wrong with the artifact of that folder, name or beginning of a fingerprint, where one is damaged."""
    for folder, damage in survey.damaged.items():
        base, _, digest = folder.name.rpartition("-")
        if name in (folder.name, f"{folder.parent.name}/{folder.name}", str(folder), base) or (name and name.startswith(digest)):
            raise damage


def _listed(artifacts: Sequence[Artifact]) -> str:
    return ", ".join(f"{found.stage} {found.fingerprint[:SHORT]}" for found in artifacts[:5])
