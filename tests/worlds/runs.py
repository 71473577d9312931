"""A small world for whole runs: images, a model, and the command line that does every stage in half a second."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.worlds.extraction import stored_rows
from tests.worlds.inputs import write_photos
from tests.worlds.models import write_model
from xmap.store.artifacts.artifact import Store
from xmap.store.artifacts.locks import LOCKS, SHARED
from xmap.store.artifacts.manifest import MANIFEST
from xmap.store.disk.reserve import RESERVE
from xmap.store.formats.packs import BAD, all_packs
from xmap.store.memory.notes import HASHES

DATA, MODEL = "photos", "model"
FEATURES = ["--data", DATA, "--model", f"local-dir:{MODEL}", "--views", "1", "--batch-size", "4", "--shard-batches", "1", "--workers", "0"]
METHODS = ["--methods", "tip-adapter,tip-adapter-f", "--seeds", "1", "--shots", "2", "--set", "methods.tip-adapter-f.epochs=2"]
RUN = ["run", *FEATURES, *METHODS]
# What the clock and the process's memory say is no result.
TIMES = ("created", "seconds", "train_seconds", "ms_per_query", "text_seconds", "peak_bytes")


def write_world(folder: Path) -> Path:
    """Photos of three classes and a model, in `folder`; the commands above are to be given there."""
    write_photos(folder / DATA, train=2, val=1, test=1)
    write_model(folder / MODEL)
    return folder


def tree(store: Path) -> dict[str, Any]:
    """All artifacts of a store, file by file: bytes, and of JSON what it says but for the clock's part; not what is merely remembered.

    Of features by content every row, and why contents gave none: which rows lie in one file is a matter of what was done when.
    """
    packs = list(all_packs(Store(store)))
    parted = {path for found in packs for bad in (False, True) for path in found.paths(bad)}
    files = sorted(path for path in store.rglob("*") if path.is_file() and not is_memory(path, store))
    whole = {path.relative_to(store).as_posix(): said_in(path) for path in files if path not in parted}
    rows = {f"{SHARED}/{maker}": rows for maker, rows in stored_rows(Store(store)).items()}
    return whole | rows | {f"{SHARED}/{BAD}{found.name}": found.reasons() for found in packs}


def is_memory(path: Path, store: Path) -> bool:
    """Whether a file is of what costs time alone: notes, the reserve, and locks, which say nothing once their process is gone."""
    return path.name.startswith(HASHES) or path.relative_to(store).parts[0] in (LOCKS, RESERVE)


def said_in(path: Path) -> Any:
    """A file of a store: its bytes, and of JSON what it says but for the clock's part."""
    if path.suffix != ".json":
        return path.read_bytes()
    return _timeless(json.loads(path.read_bytes()), path.name == MANIFEST)


def _timeless(value: Any, manifest: bool) -> Any:
    if isinstance(value, list):
        return [_timeless(item, manifest) for item in value]
    if not isinstance(value, dict):
        return value
    # The hash of a file that holds times, and of the manifest itself.
    skipped = (*TIMES, "checksum") if manifest else TIMES
    kept = {name: _timeless(item, manifest) for name, item in value.items() if name not in skipped}
    if str(kept.get("name", "")).endswith("metrics.json"):
        kept = {"name": kept["name"]}
    return kept
