"""What of a store may go: artifacts that nothing refers to, and folders of builds that were never finished.

Kept are evaluations, what the present settings use, and all that these were made from. A damaged manifest keeps whatever it
names. Nothing is removed while another process works in the store.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from xmap.pipeline.run.plan import make_plan
from xmap.pipeline.settings.config import XmapConfig
from xmap.pipeline.upkeep.named import answering
from xmap.stages.names import ADAPTER, ANSWERS, CACHE, COOP, EVAL, IMAGES, JOINED, PAIRS, PROJECTION, TEXTS
from xmap.store.artifacts.artifact import Artifact, Store, Survey
from xmap.store.artifacts.fingerprint import SHORT
from xmap.store.artifacts.identity import Identity
from xmap.store.artifacts.locks import LOCKS, SHARED, alone, sweep
from xmap.store.artifacts.manifest import MANIFEST
from xmap.store.disk.files import read_plain, system_errors
from xmap.store.disk.leftovers import TEMPORARY, is_abandoned, remove_abandoned
from xmap.store.disk.reserve import spend_reserve
from xmap.store.errors import InputError, XmapError

# What other stages are made from, the last made first: removed in this order, nothing is ever left without its inputs.
# Artifacts of any other stage are results, and go only when they are named.
MEANS = (PAIRS, ADAPTER, PROJECTION, CACHE, COOP, JOINED, TEXTS, IMAGES)
NAMED, OLDER, UNREFERENCED = "named", "newer ones of its name are kept", "nothing refers to it"
UNFINISHED, LEFTOVER = "never finished", "left by a killed process"
_DIGEST = re.compile(rb"[0-9a-f]{64}")
_FOLDER = re.compile(rf".+-([0-9a-f]{{{SHORT}}})")


@dataclass(frozen=True)
class Waste:
    """What may go: a folder or file, its size and why. `artifact` is None for what never became one."""

    path: Path
    bytes: int
    why: str
    artifact: Artifact | None = None


def in_use(store: Store, config: XmapConfig) -> list[Identity]:
    """What a run with `config` would use, there or not; nothing where it names no images. Raises `InputError` where it cannot be told."""
    if not (config.data.data or config.run.features):
        return []
    try:
        return [step.identity for step in make_plan(store, config).steps]
    except XmapError as error:
        raise InputError(f"what is in use cannot be told: {error}") from error


def waste(store: Store, used: Sequence[Identity] = (), named: Sequence[str] = (), keep: int | None = None) -> list[Waste]:
    """What may go, in the order in which it would: results that are `named`, and all that nothing kept refers to.

    With `keep` also the evaluations and answers of each name but so many that were used last and those `used`. Raises what `answering`
    raises for those `named`, and `InputError` for one that fits several or that something kept was made from.
    """
    from xmap.pipeline.upkeep.packs import STRAY, idle, removable, strays

    survey = store.survey()
    dropped = {_only(survey, name).path for name in named}
    prints = {identity.fingerprint for identity in used}
    older = set() if keep is None else {found.path for found in _older(survey, keep) if found.fingerprint not in prints}
    kept = _kept(survey, prints, dropped | older)
    for path in sorted(dropped & kept.keys()):
        raise InputError(f"{path.name} is in use: {kept[path]} was made from it; name that one first.")
    going = [found for found in survey.artifacts if found.path not in kept and not found.path.is_symlink()]
    going.sort(key=lambda found: MEANS.index(found.stage) if found.stage in MEANS else -1)
    staying = {found.fingerprint: found.name for found in survey.artifacts if found.path in kept}
    reasons = {found.path: f"the same as {staying[found.fingerprint]}, which stays" for found in going if found.fingerprint in staying}
    reasons |= dict.fromkeys(older, OLDER) | dict.fromkeys(dropped, NAMED)
    found = [Waste(artifact.path, bytes_of(artifact.path), reasons.get(artifact.path, UNREFERENCED), artifact) for artifact in going]
    folders = {store.root / identity.stage / identity.folder for identity in used}
    found += [Waste(path, bytes_of(path), UNFINISHED) for path in unfinished(store) if path not in folders]
    # Where it cannot be told which rows are needed, all are.
    if not any(folder.parent.name == IMAGES for folder in survey.damaged) and all(map(store.find, _of_images(used))):
        images = [artifact for artifact in survey.artifacts if artifact.stage == IMAGES and artifact.path in kept]
        found += [Waste(path, bytes_of(path), UNREFERENCED) for path in idle(store, images)]
    found += [Waste(path, bytes_of(path), STRAY) for path in strays(store) if removable(path)]
    leftovers = (
        path for pattern in ("*", f"{SHARED}/*") for path in sorted(store.root.glob(f"{pattern}/.*{TEMPORARY}")) if is_abandoned(path)
    )
    return found + [Waste(path, bytes_of(path), LEFTOVER) for path in leftovers]


def remove(store: Store, used: Sequence[Identity] = (), named: Sequence[str] = (), keep: int | None = None) -> list[Waste]:
    """Remove what may go, and say what went. Raises what `waste` raises, `StoreBusy` and `StoreDenied`."""
    with alone(store.root):
        # Looked at again: what may go can have changed since it was shown.
        gone = waste(store, used, named, keep)
        for found in gone:
            # On a disk that copies what it changes, removing needs room too.
            spend_reserve(store.root, partial(_remove, store, found))
        with system_errors(store.root):
            sweep(store.root)
        return gone


def unfinished(store: Store) -> Iterator[Path]:
    """The folders of builds that were interrupted: they have no manifest, and a lock of theirs shows that xmap made them."""
    for path in sorted(store.root.glob("*/*")):
        match = _FOLDER.fullmatch(path.name)
        begun = match and path.is_dir() and not path.is_symlink() and not (path / MANIFEST).exists()
        if match and begun and any((store.root / LOCKS).glob(f"{path.parent.name}-{match[1]}*.lock")):
            yield path


def _remove(store: Store, found: Waste) -> None:
    with system_errors(found.path):
        if found.artifact is not None:
            store.remove(found.artifact)
        elif found.why == LEFTOVER:
            remove_abandoned(found.path)
        elif found.why == UNFINISHED:
            shutil.rmtree(found.path)
        else:
            found.path.rmdir() if found.path.is_dir() and not found.path.is_symlink() else found.path.unlink()
            with suppress(OSError):
                # The last of its maker.
                found.path.parent.rmdir()


def _of_images(used: Sequence[Identity]) -> Iterator[Identity]:
    return (identity for identity in used if identity.stage == IMAGES)


def _older(survey: Survey, keep: int) -> Iterator[Artifact]:
    """The evaluations and answers that are not among the `keep` of their name that were used last."""
    names: dict[tuple[str, str], list[Artifact]] = {}
    for artifact in survey.artifacts:
        if artifact.stage in (EVAL, ANSWERS):
            names.setdefault((artifact.stage, artifact.name), []).append(artifact)
    for found in names.values():
        yield from found[: len(found) - keep]


def _only(survey: Survey, name: str) -> Artifact:
    found = answering(survey, name)
    if len(found) > 1:
        raise InputError(f"{name!r} fits {', '.join(artifact.path.name for artifact in found)}; give one of these folder names.")
    return found[0]


def _kept(survey: Survey, used: Collection[str], dropped: Collection[Path]) -> dict[Path, str]:
    """The folders that are kept, each with the name of what refers to it."""
    kept: dict[Path, str] = {}
    needed: list[tuple[str, str]] = []

    def keep(artifact: Artifact, because: str) -> None:
        if artifact.path not in kept:
            kept[artifact.path] = because
            needed.extend((digest, artifact.path.name) for digest in artifact.inputs.values())

    for artifact in survey.artifacts:
        if artifact.path not in dropped and (artifact.stage not in MEANS or artifact.fingerprint in used):
            keep(artifact, artifact.path.name)
    for folder in survey.damaged:
        needed.extend((digest, folder.name) for digest in _digests(folder / MANIFEST))
    for digest, because in needed:
        providers = [artifact for artifact in survey.artifacts if digest in _provides(artifact)]
        # Where several have the part, such as one split of image features, the newest serves all.
        if providers and not any(artifact.path in kept for artifact in providers):
            keep(providers[-1], because)
    # Pairs are needed for nothing else, and stay as long as something stands on all the images that they are of.
    asked = {digest for digest, _ in needed}
    for artifact in survey.artifacts:
        if artifact.stage == PAIRS and artifact.inputs and asked.issuperset(artifact.inputs.values()) and artifact.path not in dropped:
            keep(artifact, artifact.path.name)
    return kept


def _provides(artifact: Artifact) -> Iterable[str]:
    """The fingerprints by which others refer to an artifact: its own, and those of its parts."""
    return (artifact.fingerprint, *artifact.summary.get("parts", {}).values())


def _digests(manifest: Path) -> Iterator[str]:
    """All that could be a fingerprint in a manifest that cannot be trusted."""
    try:
        data = read_plain(manifest, below=manifest.parents[2])
    except OSError:
        return
    for digest in _DIGEST.findall(data):
        yield digest.decode()


def bytes_of(path: Path) -> int:
    """What a file, or all below a folder, takes."""
    # A walk passes over what another process removes meanwhile.
    inner = (os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names)
    return sum(map(_size, inner)) if path.is_dir() and not path.is_symlink() else _size(path)


def _size(path: Path | str) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        # Another process removed it since it was listed.
        return 0
