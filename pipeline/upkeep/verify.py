"""Reading the bytes of a store, all of them or the share that was longest unread, and what of them is damaged."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from xmap.pipeline.upkeep.packs import wrong
from xmap.store.artifacts.artifact import Store, read_artifact
from xmap.store.artifacts.exported import Export
from xmap.store.artifacts.manifest import MANIFEST
from xmap.store.artifacts.removed import explained
from xmap.store.artifacts.root import is_exported
from xmap.store.errors import ArtifactMissing, InputError, XmapError
from xmap.store.formats.packs import all_packs
from xmap.store.memory.reads import last_reads, remember_reads

WHOLE = Fraction(1)
SHARE = re.compile(r"[0-9]{1,9}(/0*[1-9][0-9]{0,9}|\.[0-9]{1,9})?")


@dataclass(frozen=True)
class Unit:
    """What is read at once: the folder of an artifact or a file of feature rows, its bytes, and the `stamp` of these bytes.

    `read` is when it was last read and found sound, empty for never; `problem` why nothing of it can be read.
    """

    path: Path
    bytes: int
    stamp: str
    read: str = ""
    problem: XmapError | None = None


@dataclass(frozen=True)
class Verified:
    """What was read, what of it or of the store's order is damaged, and what was left."""

    artifacts: int
    problems: Sequence[str]
    read: Sequence[Unit]
    left: Sequence[Unit]

    @property
    def oldest(self) -> str:
        """When that of the rest was read which was so longest ago: empty where something never was, or nothing is left."""
        return min((unit.read for unit in self.left), default="")


def share_of(text: str) -> Fraction:
    """The share that `--subset` means, as 1/5. Raises `InputError`."""
    share = Fraction(text) if SHARE.fullmatch(text) else Fraction(0)
    if not 0 < share <= 1:
        raise InputError(f"--subset {text} is no share of the store; give one as 1/5, above 0 and at most 1.")
    return share


def require_memory(store: Store, share: Fraction) -> None:
    """Raise `InputError` where a share is asked of a store that could not remember what was read: it would be the same each time."""
    if share != WHOLE and not _remembers(store):
        raise InputError(f"--subset goes on where the last run ended, which {store.root} cannot remember; leave it out to read all.")


def _remembers(store: Store) -> bool:
    """Whether notes are kept in it: an exported folder is never written into."""
    return not is_exported(store.root) and os.access(store.root, os.W_OK)


def units_of(store: Store) -> list[Unit]:
    """All that can be read, the longest unread first, then by path."""
    units = [_artifact(path.parent) for path in sorted(store.root.glob(f"*/*/{MANIFEST}"))]
    # A pack is named after its bytes, so that its path is stamp enough.
    units += [Unit(path, _size(path), path.stem) for packs in all_packs(store) for path in packs.files()]
    places = {unit.path.relative_to(store.root).as_posix(): unit for unit in units}
    reads = last_reads(store.root, {place: unit.stamp for place, unit in places.items()}) if _remembers(store) else {}
    dated = [Unit(unit.path, unit.bytes, unit.stamp, reads.get(place, ""), unit.problem) for place, unit in places.items()]
    return sorted(dated, key=lambda unit: (unit.read, unit.path))


def chosen(units: Sequence[Unit], share: Fraction) -> int:
    """How many of the units in their order make up a share of all bytes: at least that, so that 1/5 five times reads everything."""
    wanted, found = share * sum(unit.bytes for unit in units), 0
    for count, unit in enumerate(units):
        if share != WHOLE and count and found >= wanted:
            return count
        found += unit.bytes
    return len(units)


def verify(store: Store, units: Sequence[Unit], count: int, advance: Callable[[int], object]) -> Verified:
    """Read the first `count` units; `advance` hears of each. What is sound is remembered as read."""
    picked = sorted(units[:count], key=lambda unit: unit.path)
    folders = [unit for unit in picked if unit.path.is_dir()]
    problems: list[str] = []
    damaged: set[Path] = set()
    for unit in folders:
        found = list(_damages(unit))
        damaged |= {unit.path} if found else set()
        # What another process removes meanwhile is not damaged.
        problems += [str(error) for error in found if not isinstance(error, ArtifactMissing)]
        advance(1)
    of_rows = wrong(store, {unit.path for unit in picked}, advance)
    damaged |= {Path(error.path) for error in of_rows}
    problems += [str(error) for error in of_rows]
    problems += [str(error) for error in _of_export(store.root) if str(error) not in problems]
    if _remembers(store):
        sound = (unit for unit in picked if unit.path not in damaged)
        remember_reads(store.root, {unit.path.relative_to(store.root).as_posix(): unit.stamp for unit in sound})
    return Verified(len(folders), problems, picked, units[count:])


def _artifact(folder: Path) -> Unit:
    try:
        manifest = read_artifact(folder).manifest
    except XmapError as error:
        return Unit(folder, 0, "", problem=error)
    return Unit(folder, sum(int(entry["size"]) for entry in manifest["files"]), str(manifest["checksum"]))


def _damages(unit: Unit) -> Iterator[XmapError]:
    if unit.problem:
        yield explained(unit.problem)
        return
    try:
        yield from map(explained, read_artifact(unit.path).verify())
    except XmapError as error:
        yield explained(error)


def _of_export(root: Path) -> Iterator[XmapError]:
    """What beside its artifacts is not as it was exported."""
    if is_exported(root):
        try:
            yield from Export.read(root).problems()
        except XmapError as error:
            yield error


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        # Another process joined it into a larger one since it was listed.
        return 0
