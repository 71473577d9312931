"""Artifacts: what a stage leaves behind, a folder with data files and a manifest written last.

`Store.find` answers from manifests alone, so planning a run imports neither torch nor faiss. `Store.build` hands out the
folder under a kernel lock: two runs that want the same artifact end with one of it. No manifest, no artifact.
"""

from __future__ import annotations

import json
import shlex
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from xmap.store.artifacts.fingerprint import SHORT, Json
from xmap.store.artifacts.identity import Identity
from xmap.store.artifacts.locks import LOCKS, SHARED, at_work, held
from xmap.store.artifacts.manifest import MANIFEST, SCHEMA_VERSION, read_manifest, seal, versions
from xmap.store.artifacts.root import remedy_in, store_root
from xmap.store.disk.files import (
    LIMIT,
    clear_temporaries,
    hash_file,
    make_own_folder,
    odd_below,
    read_plain,
    require_plain,
    sync,
    write_bytes,
)
from xmap.store.disk.plain import plain
from xmap.store.disk.reserve import reserve_at, spend_reserve
from xmap.store.errors import ArtifactDamaged, ArtifactMissing, NotPlain, SchemaMismatch, XmapError, require_of_file
from xmap.store.memory.uses import last_uses, now


@dataclass(frozen=True, repr=False)
class Artifact:
    """A finished artifact: its folder, its manifest, and where artifacts are listed when a run `used` it last: else when it was made."""

    path: Path
    manifest: Mapping[str, Any]
    used: str = field(default="", compare=False)

    def __repr__(self) -> str:
        return plain(f"<Artifact {self.stage} {self.name} {self.fingerprint[:SHORT]} in {self.path}>")

    @property
    def stage(self) -> str:
        return str(self.manifest["stage"])

    @property
    def name(self) -> str:
        return str(self.manifest["name"])

    @property
    def fingerprint(self) -> str:
        return str(self.manifest["fingerprint"])

    @property
    def fields(self) -> Mapping[str, Any]:
        fields: Mapping[str, Any] = self.manifest["fields"]
        return fields

    @property
    def inputs(self) -> Mapping[str, str]:
        inputs: Mapping[str, str] = self.manifest["inputs"]
        return inputs

    @property
    def summary(self) -> Mapping[str, Any]:
        """Small facts the stage chose to keep beside its data: counts, selected settings, results."""
        summary: Mapping[str, Any] = self.manifest["summary"]
        return summary

    def file(self, name: str) -> Path:
        """The path of one of its files: plain, reached without links, of the size in the manifest. Raises `ArtifactDamaged`."""
        entry = next((entry for entry in self.manifest["files"] if entry["name"] == name), None)
        if entry is None:
            raise ArtifactDamaged(self.path, f"its manifest lists no {name}", self.remedy)
        path = self.path / name
        try:
            size: int | None = require_plain(path, self.root)
        except NotPlain as error:
            raise self._damaged(name, error.problem) from error
        except (OSError, ValueError) as error:
            require_of_file(path, error)
            # A name too long or beyond the file system's encoding is as absent as one that was deleted.
            size = None
        if size != entry["size"]:
            found = "it is missing" if size is None else f"it has {size} bytes"
            raise self._damaged(name, f"{found}, the manifest says {entry['size']}")
        return path

    def files(self, prefix: str = "", suffix: str = "", wanted: Callable[[str], bool] = lambda name: True) -> list[Path]:
        """The paths of its files whose names start and end so and are `wanted`, in the manifest's order; others need not be there."""
        names = [str(entry["name"]) for entry in self.manifest["files"]]
        return [self.file(name) for name in names if name.startswith(prefix) and name.endswith(suffix) and wanted(name)]

    def read(self, name: str, limit: int = LIMIT) -> bytes:
        """All bytes of one of its files. Raises `ArtifactDamaged`."""
        try:
            return read_plain(self.file(name), limit, self.root)
        except OSError as error:
            require_of_file(self.path / name, error)
            raise self._damaged(name, f"it cannot be read ({error.strerror})") from error

    @property
    def root(self) -> Path:
        """The store it lies in."""
        return self.path.parent.parent

    @property
    def remedy(self) -> str:
        return remedy_in(self.root, f"delete {self.path} and {self.again}.")

    @property
    def again(self) -> str:
        """How to make it again, in words."""
        elsewhere = "" if self.root == store_root(None) else f" --store {shlex.quote(str(self.root))}"
        return f"run `{self.manifest['command']}{elsewhere}` to build it again"

    def _damaged(self, name: str, problem: str) -> ArtifactDamaged:
        """The error for one of its files: what else is sound need not go, a stage that works in shards keeps it."""
        remedy = remedy_in(self.root, f"delete this file and {self.path / MANIFEST}, then {self.again}.")
        return ArtifactDamaged(self.path / name, problem, remedy)

    def verify(self) -> list[ArtifactDamaged]:
        """Read every byte; one error for each file that is missing, cut short or altered, and for what is neither file nor folder."""
        damaged = []
        for entry in self.manifest["files"]:
            try:
                if hash_file(self.file(entry["name"])) != entry["blake3"]:
                    damaged.append(self._damaged(entry["name"], "its bytes differ from those written"))
            except ArtifactDamaged as error:
                damaged.append(error)
            except OSError as error:
                require_of_file(self.path / entry["name"], error)
                damaged.append(self._damaged(entry["name"], f"it cannot be read ({error.strerror})"))
        listed = {str(place) for entry in self.manifest["files"] for path in [self.path / entry["name"]] for place in (path, *path.parents)}
        odd = (found for found in odd_below(self.path) if found.path not in listed)
        damaged += [ArtifactDamaged(found.path, f"{found.problem}, and its manifest lists none there", "delete it.") for found in odd]
        return damaged


@dataclass
class Draft:
    """An artifact being built: a folder that holds this build alone, to be filled and then committed."""

    path: Path
    identity: Identity
    started: float = field(default_factory=time.monotonic)

    def commit(self, summary: Mapping[str, Json] | None = None, device: str = "cpu") -> Artifact:
        """Hash the folder's files and write the manifest: from here on the artifact exists."""
        clear_temporaries(self.path)
        files = [
            {"name": path.relative_to(self.path).as_posix(), "size": path.stat().st_size, "blake3": hash_file(path)}
            for path in sorted(self.path.rglob("*"))
            if path.is_file() and path.name != MANIFEST
        ]
        manifest = {
            "checksum": "",
            "schema_version": SCHEMA_VERSION,
            "stage": self.identity.stage,
            "name": self.identity.name,
            "fingerprint": self.identity.fingerprint,
            "fields": self.identity.fields,
            "inputs": dict(self.identity.inputs),
            "command": self.identity.command,
            "source": dict(self.identity.source),
            "files": files,
            "summary": summary or {},
            "versions": versions(),
            "device": device,
            "seconds": round(time.monotonic() - self.started, 3),
            "created": now(),
        }
        sealed = seal(json.dumps(manifest, indent=1, ensure_ascii=True).encode())
        # Folders in it too, which a process that was killed may have made, stand before the manifest does.
        sync(self.path)
        spend_reserve(self.path.parents[1], partial(write_bytes, self.path / MANIFEST, sealed))
        return Artifact(self.path, json.loads(sealed))


@dataclass(frozen=True)
class Survey:
    """What a store holds: the finished artifacts, that used last at the end, and why the manifests in other folders do not hold."""

    artifacts: list[Artifact]
    damaged: Mapping[Path, XmapError]


class Store:
    """The folder that holds all artifacts, one folder each: `<root>/<stage>/<name>-<fingerprint>`."""

    def __init__(self, root: Path | str = ".xmap") -> None:
        self.root = Path(root)

    def find(self, identity: Identity) -> Artifact | None:
        """The finished artifact of exactly this identity, or None. Raises `SchemaMismatch`."""
        path = self.root / identity.stage / identity.folder
        if not (path / MANIFEST).exists():
            return None
        artifact = read_artifact(path)
        return artifact if artifact.fingerprint == identity.fingerprint else None

    def require(self, identity: Identity) -> Artifact:
        """`find`, or `ArtifactMissing` with the command that builds it."""
        artifact = self.find(identity)
        if artifact is None:
            raise ArtifactMissing(identity.stage, identity.name, f"run `{identity.command}` first.")
        return artifact

    def artifacts(self, stage: str | None = None) -> list[Artifact]:
        """Every finished artifact (of one stage) whose manifest holds, that used last at the end; `survey` says which do not."""
        return self.survey(stage).artifacts

    def matching(self, stage: str, pattern: str) -> list[Artifact]:
        """The artifacts of a stage whose folder's name matches a glob pattern, in the same order; no other manifest is read."""
        return self._by_use(_read(self.root.glob(f"{stage}/{pattern}/{MANIFEST}"))).artifacts

    def survey(self, stage: str | None = None) -> Survey:
        """All artifacts (of one stage). A damaged one hides no other."""
        return self._by_use(_read(self.root.glob(f"{stage or '*'}/*/{MANIFEST}")))

    def _by_use(self, survey: Survey) -> Survey:
        """With the artifacts in the order in which runs last used them, those of one run as they were made."""
        prints = {found.fingerprint for found in survey.artifacts}
        uses = last_uses(self.root, prints) if len(prints) > 1 else {}
        dated = [replace(found, used=max(found.used, uses.get(found.fingerprint, ""))) for found in survey.artifacts]
        dated.sort(key=lambda found: (found.used, found.manifest["created"], str(found.path)))
        return replace(survey, artifacts=dated)

    def by_fingerprint(self, digest: str, stages: Sequence[str]) -> Artifact | None:
        """The artifact of one of the stages with this fingerprint, if its manifest holds."""
        paths = [path for stage in stages for path in self.root.glob(f"{stage}/*/{MANIFEST}")]
        # A folder's name ends with the first digits, unless somebody has renamed it: the others are read last.
        paths.sort(key=lambda path: not path.parent.name.endswith(digest[:SHORT]))
        return next((found for path in paths for found in _read([path]).artifacts if found.fingerprint == digest), None)

    @contextmanager
    def build(self, identity: Identity, on_wait: Callable[[str], None] | None = None) -> Iterator[Draft | Artifact]:
        """Hold the artifact's lock and yield a `Draft` to fill, or the `Artifact` if another process just finished it.

        What an interrupted build left in the folder stays: a stage that works in shards goes on from there.
        """
        path = self.root / identity.stage / identity.folder
        lock = self.root / LOCKS / f"{identity.stage}-{identity.fingerprint[:16]}.lock"
        with at_work(self.root), held(lock, on_wait), reserve_at(self.root):
            finished = self.find(identity)
            if finished is not None:
                yield finished
                return
            make_own_folder(path)
            clear_temporaries(path)
            yield Draft(path, identity)

    @contextmanager
    def holding(self, name: str, on_wait: Callable[[str], None] | None = None) -> Iterator[None]:
        """Hold the lock of what the artifacts of this store share, which `name` names; for whoever holds an artifact's lock already."""
        with held(self.root / LOCKS / f"{SHARED}-{name.rpartition('-')[2]}.lock", on_wait):
            yield

    def remove(self, artifact: Artifact) -> None:
        """Delete an artifact, manifest first, so that a half-deleted one is already none."""
        with held(self.root / LOCKS / f"{artifact.stage}-{artifact.fingerprint[:16]}.lock"):
            (artifact.path / MANIFEST).unlink(missing_ok=True)
            # Or else a power cut could bring it back without its files.
            sync(artifact.path)
            shutil.rmtree(artifact.path)


def _read(paths: Iterable[Path]) -> Survey:
    found: list[Artifact] = []
    damaged: dict[Path, XmapError] = {}
    for path in sorted(paths):
        try:
            found.append(read_artifact(path.parent))
        except (ArtifactDamaged, SchemaMismatch) as error:
            damaged[path.parent] = error
        except ArtifactMissing:
            # Another process removed it since it was listed.
            continue
    return Survey(found, damaged)


def read_artifact(path: Path) -> Artifact:
    """Read and check a manifest. Raises `ArtifactMissing`, `ArtifactDamaged` and `SchemaMismatch`."""
    manifest = read_manifest(path)
    return Artifact(path, manifest, str(manifest["created"]))
