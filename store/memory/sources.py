"""Where this machine took the images and the encoder of a store from: notes of this user, outside any store, that nobody can send along.

What a store itself says of its images is a stranger's word where the store was received. So what is opened again without being named
anew is only what these notes tell: for this store, in this place, on this machine.
"""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from blake3 import blake3

from xmap.store.disk.files import make_folder, write_bytes
from xmap.store.errors import XmapError

FOLDER = "extracted"
LIMIT = 1 << 20


def state_folders() -> list[Path]:
    """Where what xmap knows of this machine lies, the one to write to first: `XDG_STATE_HOME/xmap`, else `~/.local/state/xmap`.

    Of this user's own home, whatever HOME says, notes are read too.
    """
    named = os.environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(named):
        return [Path(named) / "xmap"]
    try:
        homes = [os.path.expanduser("~"), pwd.getpwuid(os.getuid()).pw_dir]
    except KeyError:
        homes = [os.path.expanduser("~")]
    return [Path(home) / ".local" / "state" / "xmap" for home in dict.fromkeys(homes) if os.path.isabs(home)]


def remember_source(root: Path, fingerprint: str, settings: Mapping[str, Any]) -> None:
    """Note that the store at `root` has what `fingerprint` identifies, image features or an encoder, from what `settings` name."""
    if recall_source(root, fingerprint) == settings:
        return
    try:
        path = _paths(root, fingerprint)[0]
        make_folder(path.parent)
        write_bytes(path, json.dumps({"store": os.path.realpath(root), "images": fingerprint, "settings": settings}).encode())
    except (OSError, IndexError, XmapError):
        # No home, a full or a read-only disk: reports then ask for --data.
        return


def recall_source(root: Path, fingerprint: str) -> Mapping[str, Any] | None:
    """The settings that name the images or the encoder, if they were taken from there on this machine."""
    for path in _paths(root, fingerprint):
        try:
            with open(path, "rb") as file:
                note = json.loads(file.read(LIMIT))
            if note["images"] == fingerprint:
                settings: Mapping[str, Any] = note["settings"]
                return settings
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def _paths(root: Path, fingerprint: str) -> list[Path]:
    key = blake3(f"{os.path.realpath(root)}\0{fingerprint}".encode(errors="surrogateescape")).hexdigest()
    return [folder / FOLDER / f"{key}.json" for folder in state_folders()]
