"""Artifacts that are odd and sealed all the same: what another program, or somebody who means harm, may hand on.

An artifact of a store is changed in one to three places of its manifest, tensors, tables or indexes, and everything is sealed again:
sizes, hashes, fingerprints and seals fit, here and in all that was made from it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from safetensors import SafetensorError

from tests.worlds.odd.files import odd_bytes, odd_index, odd_names, odd_swap
from tests.worlds.odd.manifests import Manifest, Odd, odd_manifest, odd_metrics
from tests.worlds.odd.tables import odd_tables
from tests.worlds.odd.tensors import odd_tensors
from xmap.store.artifacts.fingerprint import fingerprint
from xmap.store.artifacts.manifest import MANIFEST, seal
from xmap.store.disk.files import hash_file

UNREADABLE = (OSError, ValueError, KeyError, IndexError, TypeError, RuntimeError, SafetensorError, pa.ArrowException)
WAYS: Mapping[Callable[[Odd, Manifest], None], int] = {
    odd_manifest: 10, odd_tensors: 5, odd_tables: 8, odd_index: 2, odd_bytes: 2, odd_swap: 1, odd_names: 1,
}  # fmt: skip


def make_odd(odd: Odd) -> None:
    """Change the artifact in one to three places and seal it, and what was made from it, again."""
    manifest = json.loads((odd.folder / MANIFEST).read_bytes())
    ways = dict(WAYS) | ({odd_metrics: 2} if (odd.folder / "metrics.json").is_file() else {})
    for way in odd.draw.choices(list(ways), list(ways.values()), k=odd.draw.choice((1, 1, 2, 3))):
        if isinstance(manifest.get("files"), list) and all(
            isinstance(manifest.get(name), dict) for name in ("fields", "summary", "inputs")
        ):
            try:
                way(odd, manifest)
            except UNREADABLE as error:
                # An earlier change left nothing to change.
                odd.note(f"not {way.__name__} ({type(error).__name__})")
    pending = [(odd.folder, manifest)]
    for folder, changed in pending:
        before, after = reseal(folder, changed)
        if before != after:
            pending += _children(odd.store, before, after)


def reseal(folder: Path, manifest: Manifest) -> tuple[Any, Any]:
    """Write `manifest` with sizes, hashes, fingerprint and seal made to fit; the fingerprints before and after."""
    manifest["checksum"], before = "", manifest.get("fingerprint")
    try:
        manifest["fingerprint"] = fingerprint({key: manifest[key] for key in ("stage", "fields", "inputs")})
        for entry in manifest["files"]:
            if (folder / entry["name"]).is_file():
                entry["size"], entry["blake3"] = (folder / entry["name"]).stat().st_size, hash_file(folder / entry["name"])
    except (KeyError, TypeError, ValueError, RecursionError, OSError):
        # Too odd to have one; it is sealed nevertheless.
        manifest.setdefault("fingerprint", before)
    (folder / MANIFEST).unlink()
    (folder / MANIFEST).write_bytes(seal(json.dumps(manifest, indent=1, ensure_ascii=True).encode()))
    return before, manifest.get("fingerprint")


def _children(store: Path, before: Any, after: Any) -> list[tuple[Path, Manifest]]:
    """What was made from the artifact that had the fingerprint `before`, naming its new one."""
    found = []
    for path in sorted(store.glob(f"*/*/{MANIFEST}")):
        manifest = json.loads(path.read_bytes())
        inputs = manifest.get("inputs")
        if isinstance(inputs, dict) and isinstance(before, str) and before in inputs.values():
            manifest["inputs"] = {name: after if digest == before else digest for name, digest in inputs.items()}
            found.append((path.parent, manifest))
    return found
