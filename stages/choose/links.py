"""The images to label as files in one folder: links to files of this machine, and copies of what lies elsewhere or in other files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from xmap.stages.choose.candidates import Candidate
from xmap.stages.images.read import read_again
from xmap.store.disk.files import make_folder, write_bytes
from xmap.store.errors import InputError

# Characters of a name that stay: with the number before it no file system finds it too long.
LONGEST = 60


def require_empty(folder: Path) -> None:
    """Raise `InputError` where `folder` is there and has something in it: links are not mixed with what may be a person's work."""
    if os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError(f"--links {folder} is there already; name a folder that is empty or not there.")


def linked(chosen: Sequence[Candidate], links: Path) -> list[Candidate]:
    """The candidates, each with a file in `links`, which is then the file of what was none of its own.

    Raises `InputError` for an image that is not there any more.
    """
    make_folder(links, "--links DIR")
    digits = len(str(len(chosen)))
    made = []
    for number, one in enumerate(chosen, 1):
        path = links / f"{number:0{digits}}-{PurePosixPath(one.place.name).name[-LONGEST:]}"
        if isinstance(one.place, Path):
            _link(one.place, path)
        else:
            write_bytes(path, read_again(one.place))
        made.append(replace(one, file=one.file or path))
    return made


def _link(place: Path, path: Path) -> None:
    try:
        path.symlink_to(os.path.abspath(place))
    except FileExistsError as error:
        raise InputError(f"--links {path.parent} was filled by somebody else in the meantime; name a folder of your own.") from error
    except OSError as error:
        raise InputError(f"--links: {path} cannot be a link ({error.strerror}); name a folder on a file system that has links.") from error
