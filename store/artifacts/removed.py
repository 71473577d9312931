"""Telling what is damaged from what another process has removed: `gc` takes manifests first, then files."""

from __future__ import annotations

from pathlib import Path

from xmap.store.artifacts.manifest import MANIFEST
from xmap.store.errors import ArtifactDamaged, ArtifactRemoved, XmapError

# An artifact's files lie in its folder or in one folder of that.
DEEPEST = 2


def explained(error: XmapError) -> XmapError:
    """The same error, or `ArtifactRemoved` where the file it calls damaged is gone together with its manifest."""
    if not isinstance(error, ArtifactDamaged):
        return error
    path = Path(error.path)
    folders = [path, *path.parents[:DEEPEST]]
    if not _gone(path) or not all(_gone(folder / MANIFEST) for folder in folders):
        return error
    return ArtifactRemoved(path if path.name != MANIFEST else path.parent)


def _gone(path: Path) -> bool:
    """Whether nothing is there; what cannot be looked at, such as a name that is too long, is not gone."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False
