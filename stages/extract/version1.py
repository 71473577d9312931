"""Features of version 1: tables of samples with their features, proved by their own footers, so that nobody encodes twice.

What determined the bytes of such a table was hashed into its footer: the ids, labels and contents of its samples, and what made it. The
table tells ids and labels, the images at hand tell contents. Augmented views depended on the names of samples: plain views alone are taken
over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import product
from pathlib import Path

import numpy as np

from xmap.stages.config import AUTO
from xmap.stages.datasets.content.wide import has_wide
from xmap.stages.datasets.dataset import known_contents
from xmap.stages.datasets.places.columns import texts
from xmap.stages.extract.identity import ExtractSpec, decoding
from xmap.stages.names import IMAGES
from xmap.store.artifacts.artifact import Store
from xmap.store.artifacts.fingerprint import Fields, Json, fingerprint
from xmap.store.errors import ArtifactDamaged
from xmap.store.formats.feature_rows import Rows
from xmap.store.formats.features import ImageFeatures, read_errors, read_images
from xmap.store.formats.packs import plain_file
from xmap.store.formats.samples import BAD_TABLE, makers_of
from xmap.store.formats.tables import read_footer
from xmap.store.memory.hashes import DIGEST
from xmap.store.memory.notes import Notes

VERSION = 1
# Bad images left no row, only their names: how many of them may stand before the first row of a table, or after the last.
MOST = 8


class Version1:
    """The tables of version 1 in a store, and the images at hand that they may be of; `refused` images were no longer the same."""

    def __init__(self, store: Store, spec: ExtractSpec, made_by: Fields) -> None:
        self._store, self._spec = store, spec
        self._fields: Fields = {
            "version": VERSION,
            "encoder": spec.encoder.fields,
            "view_seed": spec.config.view_seed,
            "batch_size": spec.config.batch_size,
            "made_by": made_by,
            **decoding(spec.config),
        }
        self.refused = 0

    @cached_property
    def _rows(self) -> Mapping[str, int]:
        """The row of each sample; asked for where there are such tables."""
        return {sample_id: row for row, sample_id in enumerate(texts(self._spec.dataset.samples.ids))}

    def rows(self) -> Iterator[Rows]:
        """The plain rows of images at hand, made as they would be made now, a table at a time."""
        for path in sorted((self._store.root / IMAGES).glob("*/*-*.parquet")):
            try:
                if not makers_of(plain_file(path, self._store.root)):
                    yield from self._proved(path)
            except ArtifactDamaged:
                # Somebody else's damage, or a folder that was just removed: encoding is always possible.
                continue

    def _proved(self, path: Path) -> Iterator[Rows]:
        found = read_images([path])
        plain = np.flatnonzero(found.views == 0)
        ids = [found.sample_ids[row] for row in plain.tolist()]
        at_hand = [self._content(name) if name in self._rows else None for name in ids]
        contents = [content for content in at_hand if content is not None]
        if len(contents) == len(ids) > 0 and self._is_of(path, ids, found):
            yield Rows(contents, found.views[plain], found.features[plain])
        else:
            self.refused += len(contents)

    def _is_of(self, path: Path, ids: Sequence[str], found: ImageFeatures) -> bool:
        """Whether a table's footer is the hash of what it would be of the images at hand."""
        footer, split, views = read_footer(path).get("xmap.fingerprint"), path.stem.rpartition("-")[0], int(found.views.max())
        labels = dict(zip(found.sample_ids, found.labels.tolist(), strict=True))
        for listed in _with_bad(ids, self._bad(path.parent, split)):
            samples: list[Json] = [[name, labels.get(name, self._label(name)), self._content(name)] for name in listed]
            about = {**self._fields, "split": split, "views": views, "samples": samples}
            if not views:
                # Without augmentation its seed determined nothing.
                about["view_seed"] = None
            if fingerprint({**about, "depth": AUTO}) == footer:
                return True
            if fingerprint(about) == footer:
                # Before depths were asked for, values of more than 8 bits were read too dark.
                return not has_wide((self._spec.dataset.samples.places[self._rows[name]] for name in ids), footer, Notes())
        return False

    def _bad(self, folder: Path, split: str) -> list[str]:
        """The images of a split that were bad and are at hand, by name."""
        if not (folder / BAD_TABLE).is_file():
            return []
        return sorted(row.sample_id for row in read_errors(folder / BAD_TABLE) if row.split == split and row.sample_id in self._rows)

    def _content(self, name: str) -> str | None:
        content = known_contents(self._spec.dataset.samples)[self._rows[name]]
        return content.ljust(DIGEST.itemsize, b"\0").hex() if content else None

    def _label(self, name: str) -> int:
        return int(self._spec.dataset.samples.labels[self._rows[name]])


def _with_bad(ids: Sequence[str], bad: Sequence[str]) -> Iterator[list[str]]:
    """The samples that a table may have been made of: those with rows, the bad ones among them, and some at its ends."""
    inside = sorted([*ids, *(name for name in bad if ids[0] < name < ids[-1])])
    before, after = [name for name in bad if name < ids[0]], [name for name in bad if name > ids[-1]]
    for first, last in product(range(min(len(before), MOST) + 1), range(min(len(after), MOST) + 1)):
        yield [*before[len(before) - first :], *inside, *after[:last]]
