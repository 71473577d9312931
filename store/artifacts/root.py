"""Where the store is: named, or told by the environment, or in the folder that a command is given in."""

from __future__ import annotations

import os
from pathlib import Path

from xmap.store.disk.plain import fits_a_path
from xmap.store.errors import InputError, StoreMissing

VARIABLE, DEFAULT = "XMAP_STORE", ".xmap"
# In a folder that `xmap export` wrote, the facts about it.
EXPORT = "xmap-export.json"


def store_root(explicit: Path | str | None) -> Path:
    """Where the store is: `explicit`, else `XMAP_STORE`, else `.xmap`. Raises `InputError` for a URL, and for what is no path."""
    where = explicit or os.environ.get(VARIABLE) or DEFAULT
    if "://" in str(where):
        # Locks, renames and synced folders are what its promises stand on.
        raise InputError(f"--store {where} is a URL, but the store is a folder of this machine; only --data may be remote.")
    if not fits_a_path(str(where)):
        raise InputError(f"the store {str(where)!r} has a sign that no path can hold, such as NUL; leave it out.")
    return Path(where)


def require_store(root: Path) -> Path:
    """`root`, where a folder is that can be read. Raises `StoreMissing`: a store that is not there is no empty one."""
    try:
        os.scandir(root).close()
    except FileNotFoundError as error:
        raise StoreMissing(root) from error
    except OSError as error:
        raise StoreMissing(root, str(error.strerror)) from error
    return root


def is_exported(root: Path) -> bool:
    """Whether the store at `root` is a folder that `xmap export` wrote, here or elsewhere."""
    return os.path.lexists(root / EXPORT)


def remedy_in(root: Path, own: str) -> str:
    """What to do about damage in the store at `root`: its `own` remedy, but whoever received an exported folder has no data to train on."""
    return f"ask for {root} again, or make it anew where its store is, with `xmap run` and `xmap export`." if is_exported(root) else own
