"""An exported folder: what is in it, sealed, so that whoever reads it finds what was written, all of it and of one export.

`xmap-export.json` holds facts about the adapter, and name, size and hash of every file that no manifest lists: the manifests themselves,
the encoder and what else programs load. The README is for people, and theirs to change; so is what they put beside it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from blake3 import blake3

from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.artifacts.manifest import MANIFEST, leads_out, seal, seal_holds
from xmap.store.artifacts.root import EXPORT, remedy_in
from xmap.store.disk.files import hash_file, read_plain, require_plain, write_bytes
from xmap.store.disk.headers import parse_json
from xmap.store.errors import ArtifactDamaged, SchemaMismatch, require_of_file

# Exports of the first schema had no seal, and listed no files. Further encoders lie in `encoder-2` and so on.
SCHEMA, UNSEALED = 2, 1
README, ENCODER, WEIGHTS = "README.md", "encoder", (".safetensors", ".bin", ".pth")
ADAPTER = "adapter"


Read = TypeVar("Read", Path, bytes)
_ENCODERS = re.compile(rf"{ENCODER}(-[1-9][0-9]*)?/")


def write_export(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write the facts about a folder that holds all else already, sealed."""
    own = {path.parent for path in folder.glob(f"*/*/{MANIFEST}")}
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path not in (folder / README, folder / EXPORT)]
    files = [
        {"name": path.relative_to(folder).as_posix(), "size": path.stat().st_size, "blake3": hash_file(path)}
        for path in paths
        if own.isdisjoint(path.parents) or (path.parent in own and path.name == MANIFEST)
    ]
    written = {"checksum": "", "schema": SCHEMA, **facts, "files": files}
    write_bytes(folder / EXPORT, seal(json.dumps(written, indent=1, ensure_ascii=True).encode()))


def require_whole(root: Path) -> None:
    """Read every byte of the artifacts in an exported folder. Raises `ArtifactDamaged` where one was changed, cut, added or swapped.

    The encoder is held against the hashes that the artifacts name when it is loaded; for what else a program loads, ask `Export.file`.
    """
    for damage in Export.read(root).artifact_problems():
        raise damage


@dataclass(frozen=True)
class Export:
    """The facts about an exported folder, whose seal holds."""

    root: Path
    facts: Mapping[str, Any]

    @classmethod
    def read(cls, root: Path) -> Export:
        """The facts in the folder `root`. Raises `ArtifactDamaged` and `SchemaMismatch`."""
        try:
            data = read_plain(root / EXPORT, below=root)
            facts = parse_json(data)
        except OSError as error:
            require_of_file(root / EXPORT, error)
            raise _damaged(root, EXPORT, f"it cannot be read ({error.strerror})") from error
        except (ValueError, RecursionError) as error:
            raise _damaged(root, EXPORT, "it is not JSON") from error
        schema = facts.get("schema") if isinstance(facts, dict) else None
        if type(schema) is int and schema > SCHEMA:
            raise SchemaMismatch(root, schema, SCHEMA, "update xmap.")
        if schema != UNSEALED and (problem := _problem(facts, data)):
            raise _damaged(root, EXPORT, problem)
        return cls(root, facts)

    @cached_property
    def files(self) -> Mapping[str, Mapping[str, Any]]:
        """The files that it lists, by name; none in an export of the first schema."""
        return {str(entry["name"]): entry for entry in self.facts.get("files", ())}

    def file(self, name: str) -> Path:
        """The path of a file that it lists, after every byte was read: plain, reached without links. Raises `ArtifactDamaged`."""
        path = self.root / name
        with self._reading(name) as entry:
            whole = require_plain(path, self.root) == entry["size"] and hash_file(path) == entry["blake3"]
        return self._whole(name, whole, path)

    def data(self, name: str) -> bytes:
        """All bytes of a file that it lists, which are those that were exported: for readers that take bytes. Raises `ArtifactDamaged`."""
        with self._reading(name) as entry:
            found = read_plain(self.root / name, entry["size"], self.root)
        return self._whole(name, blake3(found, max_threads=blake3.AUTO).hexdigest() == entry["blake3"], found)

    @contextmanager
    def _reading(self, name: str) -> Iterator[Mapping[str, Any]]:
        """What it lists of a file, while that is read. Raises `ArtifactDamaged` for the system's errors."""
        if name not in self.files:
            raise _damaged(self.root, EXPORT, f"it lists no {name}")
        try:
            yield self.files[name]
        except (FileNotFoundError, NotADirectoryError) as error:
            raise _damaged(self.root, EXPORT, f"it lists {name}, which is not there") from error
        except OSError as error:
            require_of_file(self.root / name, error)
            raise _damaged(self.root, name, f"it cannot be read ({error.strerror})") from error

    def _whole(self, name: str, whole: bool, found: Read) -> Read:
        if not whole:
            raise _damaged(self.root, name, "its bytes differ from those that were exported")
        return found

    def problems(self) -> Iterator[ArtifactDamaged]:
        """What beside the files that manifests list is not as it was exported."""
        yield from self._odd_manifests()
        yield from self._odd_files(name for name in self.files if not name.endswith(f"/{MANIFEST}"))
        yield from self._added_to_encoder()

    def encoder_problems(self) -> Iterator[ArtifactDamaged]:
        """The same of the encoder, but for its weights: whoever loads these holds them against the hash that the artifacts name."""
        yield from self._odd_files(name for name in self.files if _ENCODERS.match(name) and not name.endswith(WEIGHTS))
        yield from self._added_to_encoder()

    def _added_to_encoder(self) -> Iterator[ArtifactDamaged]:
        paths = sorted(path for folder in self.root.glob(f"{ENCODER}*") for path in folder.rglob("*")) if self.files else []
        there = (path.relative_to(self.root).as_posix() for path in paths if path.is_symlink() or not path.is_dir())
        yield from (_damaged(self.root, name, "it was added to the export") for name in there if name not in self.files)

    def artifact_problems(self) -> Iterator[ArtifactDamaged]:
        """What of the artifacts is not as it was exported."""
        yield from self._odd_manifests()
        for artifact in self._artifacts():
            yield from artifact.verify()

    def _artifacts(self) -> list[Artifact]:
        survey = Store(self.root).survey()
        for damage in survey.damaged.values():
            raise damage
        return survey.artifacts

    def _odd_manifests(self) -> Iterator[ArtifactDamaged]:
        """Of artifacts that were added or come from another export."""
        if not self.files:
            return
        artifacts = self._artifacts()
        names = {(artifact.path / MANIFEST).relative_to(self.root).as_posix(): artifact for artifact in artifacts}
        yield from (_damaged(self.root, name, "it was added to the export") for name in names if name not in self.files)
        yield from self._odd_files(name for name in self.files if name.endswith(f"/{MANIFEST}"))
        if self.facts["adapter"] not in {artifact.fingerprint for artifact in artifacts if artifact.stage == ADAPTER}:
            yield _damaged(self.root, EXPORT, "its adapter is not the one in the folder")

    def _odd_files(self, names: Iterator[str]) -> Iterator[ArtifactDamaged]:
        for name in names:
            try:
                self.file(name)
            except ArtifactDamaged as error:
                yield error


def _damaged(root: Path, name: str, problem: str) -> ArtifactDamaged:
    return ArtifactDamaged(root / name, problem, remedy_in(root, ""))


_KINDS: Mapping[str, type] = {"checksum": str, "schema": int, "adapter": str, "files": list}
_FILE_KINDS: Mapping[str, type] = {"name": str, "size": int, "blake3": str}


def _problem(facts: object, data: bytes) -> str | None:
    if not isinstance(facts, dict) or not all(isinstance(facts.get(key), kind) for key, kind in _KINDS.items()):
        return "it does not say what the export holds"
    for entry in facts["files"]:
        if not (isinstance(entry, dict) and all(isinstance(entry.get(key), kind) for key, kind in _FILE_KINDS.items())):
            return "its list of files is malformed"
        if leads_out(entry["name"]):
            return f"it names a file outside its folder: {entry['name']!r}"
    return None if seal_holds(data, facts["checksum"]) else "its bytes differ from those written"
