"""Manifests: what makes a folder an artifact, sealed, and trusted in nothing when read.

A manifest may come from a damaged disk or from somebody else's archive: every field is checked before use, file names that
lead outside the folder are refused, and the seal (a blake3 of its own bytes) shows any change made after it was written.
"""

from __future__ import annotations

import platform
import shlex
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from math import isfinite
from pathlib import Path, PurePosixPath
from typing import Any

from blake3 import blake3

from xmap.store.artifacts.fingerprint import fingerprint
from xmap.store.artifacts.root import remedy_in
from xmap.store.disk.files import read_plain
from xmap.store.disk.headers import TooManyValues, parse_json
from xmap.store.errors import ArtifactDamaged, ArtifactMissing, SchemaMismatch, require_of_file

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
# Bounds of what a manifest says: bytes of a file, seconds of work, nesting of its JSON.
LARGEST, LONGEST, DEEPEST = 1 << 63, 1e12, 32
LIBRARIES = ("torch", "open_clip_torch", "faiss-gpu", "faiss-cpu", "pyarrow", "duckdb", "numpy", "pillow", "safetensors")


def seal(data: bytes) -> bytes:
    """A manifest's bytes with the blake3 of them, as they were without it, in its first field: a flipped bit then shows."""
    return data.replace(b'"checksum": ""', f'"checksum": "{blake3(data).hexdigest()}"'.encode(), 1)


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that make bytes, as installed (nothing is imported)."""
    found = {"python": platform.python_version(), "platform": f"{platform.system()}-{platform.machine()}"}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def read_manifest(path: Path) -> Mapping[str, Any]:
    """Read and check the manifest of the artifact at `path`. Raises `ArtifactMissing`, `ArtifactDamaged` and `SchemaMismatch`."""
    root = path.parent.parent
    remedy = remedy_in(root, f"delete {path} and run `xmap run` to build it again.")
    try:
        data = read_plain(path / MANIFEST, below=root)
        manifest = parse_json(data)
    except FileNotFoundError as error:
        raise ArtifactMissing(path.parent.name, path.name, "run `xmap status` to see what there is.") from error
    except OSError as error:
        require_of_file(path / MANIFEST, error)
        raise ArtifactDamaged(path / MANIFEST, f"it cannot be read ({error.strerror})", remedy) from error
    except (ValueError, RecursionError) as error:
        raise ArtifactDamaged(path / MANIFEST, str(error) if isinstance(error, TooManyValues) else "it is not JSON", remedy) from error
    # The version first: a manifest of another version may have other fields and is not damaged for that.
    schema_version = manifest.get("schema_version") if isinstance(manifest, dict) else None
    if type(schema_version) is int and schema_version != SCHEMA_VERSION:
        command = str(manifest.get("command", ""))
        remedy = remedy_in(root, f"delete {path} and run `{command if _typeable(command) else 'xmap run'}` to build it again.")
        raise SchemaMismatch(path, schema_version, SCHEMA_VERSION, remedy)
    problem = _problem(manifest, data) or _oddity(path, manifest)
    if problem:
        raise ArtifactDamaged(path / MANIFEST, problem, remedy)
    checked: Mapping[str, Any] = manifest
    return checked


def _oddity(path: Path, manifest: Mapping[str, Any]) -> str | None:
    """What is odd about a manifest whose seal holds: anybody can seal anything."""
    if manifest["stage"] != path.parent.name:
        return f"it says that it is of the stage {manifest['stage']!r}"
    # Imported late: help and completion need no pydantic.
    from xmap.store.artifacts.schemas import oddity, source_oddity

    # Manifests of before state no source.
    return oddity(manifest["stage"], manifest["fields"], manifest["summary"]) or source_oddity(manifest.get("source", {}))


def seal_holds(data: bytes, checksum: str) -> bool:
    """Whether bytes are those that were sealed with this checksum."""
    bare = data.replace(checksum.encode(errors="replace"), b"", 1)
    return blake3(bare).hexdigest() == checksum


_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "checksum": str, "schema_version": int, "stage": str, "name": str, "fingerprint": str, "fields": dict, "inputs": dict,
    "command": str, "files": list, "summary": dict, "versions": dict, "device": str, "created": str, "seconds": (int, float),
}  # fmt: skip
_FILE_KINDS: Mapping[str, type] = {"name": str, "size": int, "blake3": str}


def _problem(manifest: object, data: bytes) -> str | None:
    if not isinstance(manifest, dict):
        return "it is not a JSON object"
    for key, kind in _KINDS.items():
        if not isinstance(manifest.get(key), kind) or isinstance(manifest[key], bool):
            return f"its field {key!r} is missing or of the wrong type"
    for entry in manifest["files"]:
        if not (isinstance(entry, dict) and all(isinstance(entry.get(key), kind) for key, kind in _FILE_KINDS.items())):
            return "its list of files is malformed"
        if leads_out(entry["name"]):
            return f"it names a file outside its folder: {entry['name']!r}"
    names = {PurePosixPath(entry["name"]).as_posix() for entry in manifest["files"]}
    if len(names) < len(manifest["files"]) or MANIFEST in names:
        return "it lists a file twice, or itself"
    for key in ("inputs", "versions"):
        if not all(isinstance(value, str) for value in manifest[key].values()):
            return f"its {key} are malformed"
    if not _is_plain(manifest):
        return "its JSON is nested too deeply or holds numbers that are not finite"
    if not 0 <= manifest["seconds"] < LONGEST or any(not 0 <= entry["size"] < LARGEST for entry in manifest["files"]):
        return "its sizes or times are out of range"
    if not _is_moment(manifest["created"]):
        return "its date is malformed"
    if not _typeable(manifest["command"]):
        return "its command is not one that xmap writes"
    if not _fingerprint_holds(manifest):
        return "its fingerprint does not match its fields"
    return None if seal_holds(data, manifest["checksum"]) else "its bytes differ from those written"


def leads_out(name: str) -> bool:
    """Whether a name of a file is none of a file below the folder that it is looked for in."""
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts or "\0" in name or not path.parts


def _is_moment(text: str) -> bool:
    try:
        moment = datetime.fromisoformat(text)
        # At the ends of the calendar a moment has no time in another zone.
        return moment.tzinfo is not None and 1970 <= moment.year < 9999
    except ValueError:
        return False


def _is_plain(value: object) -> bool:
    """Whether JSON holds finite numbers and is nested no deeper than anybody writes: whoever walks it may recurse."""
    level = [value]
    for _ in range(DEEPEST):
        inner = (part.values() if isinstance(part, dict) else part for part in level if isinstance(part, dict | list))
        level = [item for items in inner for item in items]
        if any(isinstance(item, float) and not isfinite(item) for item in level):
            return False
    return not level


def _typeable(command: str) -> bool:
    """Whether a command is a plain call of xmap, quoted as xmap quotes: people are told to type it."""
    try:
        words = shlex.split(command)
    except ValueError:
        return False
    return words[:1] == ["xmap"] and shlex.join(words) == command


def _fingerprint_holds(manifest: Mapping[str, Any]) -> bool:
    try:
        declared = {key: manifest[key] for key in ("stage", "fields", "inputs")}
        return fingerprint(declared) == str(manifest["fingerprint"])
    except (ValueError, RecursionError):
        # NaN and infinities parse as JSON here, and no fingerprint was ever made of them.
        return False
