"""Exported folders as somebody else may have made them."""

from __future__ import annotations

import json
from pathlib import Path

from xmap.store.artifacts.exported import write_export
from xmap.store.artifacts.root import EXPORT


def seal_export(folder: Path, **changed: object) -> None:
    """List what lies in the folder now, and seal it anew: anybody can."""
    facts = json.loads((folder / EXPORT).read_bytes())
    own = {name: value for name, value in facts.items() if name not in ("checksum", "schema", "files")}
    write_export(folder, {**own, **changed})
