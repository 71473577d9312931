"""A maker's packs as one process adds to them beside others: what is written, and what killed writers left is removed, under one lock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from xmap.store.artifacts.artifact import Store
from xmap.store.disk.files import clear_temporaries, make_unlinked_folder, sync
from xmap.store.errors import ArtifactDamaged
from xmap.store.formats.feature_rows import KEY, Rows, keys_of
from xmap.store.formats.packs import Packs, Reason, pack_keys
from xmap.store.formats.tables import Array


@dataclass
class Shelf:
    """Some packs to add to, under the lock of the maker `name`.

    Two processes that lack the same row both make it, as each may need hours for its others; the first to have done so keeps it.
    """

    store: Store
    packs: Packs
    name: str
    _seen: set[Path] = field(default_factory=set)
    _others: Array = field(default_factory=lambda: np.empty(0, KEY))

    def open(self) -> None:
        """Begin, while holding the lock and knowing all rows that are there."""
        make_unlinked_folder(self.packs.folder)
        clear_temporaries(self.packs.folder)
        # Of a pack that is there a writer may have been killed before its name stood.
        sync(self.packs.folder)
        self._seen = set(self.packs.paths())

    def lock(self, on_wait: Callable[[str], None] | None = None) -> AbstractContextManager[None]:
        """The lock; whoever waits for it is told so by `on_wait`."""
        return self.store.holding(self.name, on_wait)

    def add(self, rows: Rows) -> None:
        """Keep rows, but those that another process has written since `open`."""
        with self.lock():
            for path in set(self.packs.paths()) - self._seen:
                self._learn(path)
            new = np.flatnonzero(~np.isin(keys_of(rows.contents, rows.views), self._others))
            if len(new):
                self.packs.write(rows if len(new) == len(rows) else rows.take(new))
            self._seen = set(self.packs.paths())

    def add_reasons(self, reasons: Mapping[str, Reason]) -> None:
        """Keep why contents gave no image."""
        with self.lock():
            self.packs.write_reasons(reasons)

    def add_depths(self, depths: Mapping[str, int]) -> None:
        """Keep how many bits the values of contents were taken to have."""
        with self.lock():
            self.packs.write_depths(depths)

    def _learn(self, path: Path) -> None:
        try:
            self._others = np.union1d(self._others, pack_keys(self.packs, path))
        except ArtifactDamaged:
            # Its rows are as good as gone, here as for all who read.
            return
