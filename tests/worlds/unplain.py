"""What may lie where a plain file is expected."""

from __future__ import annotations

import os
from pathlib import Path


def put(kind: str, path: Path, target: Path) -> None:
    if kind in ("a link", "a device"):
        path.symlink_to(target if kind == "a link" else "/dev/zero")
    else:
        (os.mkfifo if kind == "a FIFO" else os.mkdir)(path)
