"""Whether packs hold what they held, looked at once and only when a query reads views that stand on them.

DuckDB reads a flipped bit as another number and a pack that is gone as fewer rows, and says nothing of either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from xmap.store.errors import ArtifactDamaged
from xmap.store.formats.packs import PACK_REMEDY
from xmap.store.memory.hashes import Folder, hash_folders, hexes
from xmap.store.memory.notes import HASHES, Notes

# The views that read packs.
PACKED = frozenset({"features", "unused"})


@dataclass(frozen=True)
class Packed:
    """The packs that views of the store at `root` read; `lacking`, where any artifact refers to rows: the SELECT of which lack how many."""

    root: Path
    packs: Sequence[Path] = ()
    lacking: str = ""

    def require_whole(self) -> None:
        """Read each pack that changed since it was read last. Raises `ArtifactDamaged` for one that has other bytes than its name says."""
        parts = [(folder, list(paths)) for folder, paths in groupby(self.packs, lambda path: path.parent)]
        folders = [Folder(str(folder), [path.name for path in paths]) for folder, paths in parts]
        for (_, paths), digests in zip(parts, hash_folders(folders, Notes(self.root / HASHES)), strict=True):
            for path, digest in zip(paths, hexes(digests), strict=True):
                # One that another process removed is told when it is missed.
                if digest != path.stem and path.exists():
                    raise ArtifactDamaged(path, "its bytes differ from those written", PACK_REMEDY)

    def lost(self, ask: Callable[[str], Sequence[tuple[str, int]]]) -> Iterator[ArtifactDamaged]:
        """The artifacts whose rows are not all there."""
        for artifact, count in ask(self.lacking) if self.lacking else ():
            problem = f"{count:,} rows of features that it refers to are not there"
            yield ArtifactDamaged(self.root / artifact, problem, "run `xmap verify`, which names the command that makes them again.")
