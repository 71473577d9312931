"""The states that POSIX lets a disk be in when its power goes: recorded calls, played into a model of a file system, and cut.

What `fsync` was asked for stands. Of everything else each part may have reached the disk or not, in any order: an entry of a folder (a
new file or folder, a rename, a removal), and each sector of a file's bytes. A rename is one change, of a folder whose own entry may lack.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.worlds.file_system import Change, Disk, File, Folder
from tests.worlds.strace import Call

SECTOR = 512
# Draws at each cut beside the states that are always tried.
DRAWS = 2
# All that lies below a folder after a cut: bytes of files, None for folders.
State = Mapping[str, bytes | None]


@dataclass(frozen=True)
class Cut:
    """What of that which was not synced has reached the disk."""

    kept: Callable[[Change], bool]
    bytes_of: Callable[[File], bytes]

    def state(self, folder: Folder, below: str = "") -> Iterator[tuple[str, bytes | None]]:
        for name, node in folder.entries(self.kept).items():
            if isinstance(node, File):
                yield below + name, self.bytes_of(node)
            else:
                yield below + name, None
                yield from self.state(node, f"{below}{name}/")


def nothing(change: Change) -> bool:
    return False


def everything(change: Change) -> bool:
    return True


def unwritten(file: File) -> bytes:
    return file.synced


def written(file: File) -> bytes:
    # The same object for many states, where it can be.
    return file.synced if file.now == file.synced else bytes(file.now)


def zeroed(file: File) -> bytes:
    """Its size was known to the disk, its bytes were not."""
    return written(file) if file.synced == file.now else file.synced[: len(file.now)].ljust(len(file.now), b"\0")


def halved(file: File) -> bytes:
    """The first half of its sectors, and none of the others: it is cut."""
    return written(file) if file.synced == file.now else bytes(file.now[: len(file.now) // 2 // SECTOR * SECTOR])


def drawn(draw: random.Random) -> Cut:
    """Any of the changes, and each sector of each file as it was or is."""

    def sectors(file: File) -> bytes:
        if file.synced == file.now:
            return written(file)
        now = bytes(file.now[: draw.randint(0, len(file.now) // SECTOR) * SECTOR]) if draw.random() < 0.5 else written(file)
        parts = [(now, file.synced, b"\0" * SECTOR)[draw.choice((0, 0, 1, 2))][at : at + SECTOR] for at in range(0, len(now), SECTOR)]
        return b"".join(part.ljust(SECTOR, b"\0") for part in parts)[: len(now)]

    chosen: dict[int, bool] = {}
    return Cut(lambda change: chosen.setdefault(id(change), draw.random() < 0.5), sectors)


def cuts(disk: Disk, draw: random.Random) -> Iterator[tuple[str, Cut]]:
    """What may be left of the present moment, by name."""
    yield "only what was synced", Cut(nothing, unwritten)
    yield "all", Cut(everything, written)
    yield "entries without bytes", Cut(everything, unwritten)
    yield "entries with zeros", Cut(everything, zeroed)
    yield "entries with half of the bytes", Cut(everything, halved)
    for change in disk.pending():
        what = change.name or change.gone
        yield f"all but {what}", Cut(lambda each, one=change: each is not one, written)  # type: ignore[misc]
        yield f"only {what}", Cut(lambda each, one=change: each is one, written)  # type: ignore[misc]
    for number in range(DRAWS):
        yield f"draw {number}", drawn(draw)


def states(disk: Disk, calls: Sequence[Call], seed: int = 1) -> Iterator[tuple[str, State]]:
    """Each state, once, that a cut during the calls may leave, with the call after which it is left and its name."""
    draw, seen = random.Random(seed), set[int]()  # noqa: S311
    for number, call in enumerate(calls):
        if not disk.play(call):
            continue
        for name, cut in cuts(disk, draw):
            state = dict(cut.state(disk.top))
            key = hash(frozenset(state.items()))
            if key not in seen:
                seen.add(key)
                yield f"call {number} ({call.name}): {name}", state


def lay_out(state: State, root: Path) -> Path:
    """Make the state in the new folder `root`."""
    root.mkdir()
    for name, data in state.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if data is None:
            path.mkdir(exist_ok=True)
        else:
            path.write_bytes(data)
    return root
