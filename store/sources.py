"""Where this machine took the images of a store from: notes of this user, outside any store, that nobody can send along.

What a store itself says of its images is a stranger's word where the store was received. So what is opened again without being named
anew is only what these notes tell: for this store, in this place, on this machine.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from blake3 import blake3

from store.errors import XmapError
from store.files import make_folder, write_bytes

FOLDER = "extracted"
LIMIT = 1 << 20


def state_folder() -> Path:
    """The folder for what xmap knows of this machine: `XDG_STATE_HOME/xmap`, else `~/.local/state/xmap`."""
    named = os.environ.get("XDG_STATE_HOME", "")
    return (Path(named) if os.path.isabs(named) else Path.home() / ".local" / "state") / "xmap"


def remember_source(root: Path, fingerprint: str, settings: Mapping[str, Any]) -> None:
    """Note that the store at `root` has the image features `fingerprint` from what `settings` name."""
    try:
        path = _path(root, fingerprint)
        make_folder(path.parent)
        write_bytes(path, json.dumps({"store": os.path.realpath(root), "images": fingerprint, "settings": settings}).encode())
    except (OSError, RuntimeError, XmapError):
        # No home, a full or a read-only disk: reports then ask for --data.
        return


def recall_source(root: Path, fingerprint: str) -> Mapping[str, Any] | None:
    """The settings that name the images of those features, if they were taken from there on this machine."""
    try:
        with open(_path(root, fingerprint), "rb") as file:
            note = json.loads(file.read(LIMIT))
        settings: Mapping[str, Any] = note["settings"]
        return settings if note["images"] == fingerprint else None
    except (OSError, RuntimeError, ValueError, KeyError, TypeError):
        return None


def _path(root: Path, fingerprint: str) -> Path:
    key = blake3(f"{os.path.realpath(root)}\0{fingerprint}".encode(errors="surrogateescape")).hexdigest()
    return state_folder() / FOLDER / f"{key}.json"
