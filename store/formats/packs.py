"""Feature rows by content: `features/<maker>/<blake3>.parquet`, one row a view of an image's bytes.

A maker is all that determines a row beside the image's bytes and the number of the view. Rows name no data set, no sample and no label:
all data sets of a store share them, and no image is encoded twice. A pack is never changed, and its name is the hash of its bytes; the
content columns of a maker's packs are the index, so that none can go stale. Beside them lie the contents that gave no image, and why, and
those whose values were taken to have fewer bits than there is room for.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from blake3 import blake3

from xmap.store.artifacts.artifact import Store
from xmap.store.artifacts.fingerprint import Fields, fingerprint
from xmap.store.artifacts.identity import safe_name
from xmap.store.artifacts.locks import SHARED
from xmap.store.disk.files import hash_file, make_unlinked_folder, require_plain, write_bytes
from xmap.store.errors import ArtifactDamaged, NotPlain, require_of_file
from xmap.store.formats.arrays import vectors_column
from xmap.store.formats.feature_rows import KEY, ROWS, Rows, column_keys, keys_of
from xmap.store.formats.tables import Array, encode_table, read_table, read_vectors, require_columns

DIGITS = 16
# Rows that are gathered at once, where they lie scattered.
HELD = 1 << 16
# How the names of files begin that hold no rows: what gave no image, and how deep the values of images were taken to be.
BAD, DEEP = "bad-", "deep-"
# In the footer of a pack that was joined of others their names: until these are removed, their rows are not seen twice.
REPLACES = "xmap.replaces"
MAKER = re.compile(rf"[^/\0\n]{{1,80}}-[0-9a-f]{{{DIGITS}}}")
PACK = re.compile(rf"({BAD}|{DEEP})?[0-9a-f]{{64}}\.parquet")
DEPTHS = pa.schema([("content", pa.binary(32)), ("depth", pa.int16())])
REASONS = pa.schema([("content", pa.binary(32)), ("kind", pa.string()), ("message", pa.string())])
PACK_REMEDY = "delete it, then run `xmap verify`, which names the command that makes its rows again."

Reason = tuple[str, str]


@dataclass(frozen=True)
class Packs:
    """All packs of one maker, in `folder` of the store at `root`."""

    root: Path
    name: str

    @classmethod
    def of(cls, root: Path, name: str, maker: Fields) -> Packs:
        """Those of `maker`, whose encoder is called `name`."""
        return cls(root, f"{safe_name(name)}-{fingerprint(maker)[:DIGITS]}")

    @property
    def folder(self) -> Path:
        return self.root / SHARED / self.name

    def paths(self, bad: bool = False) -> list[Path]:
        """Its packs by name, or with `bad` the files of what gave no image."""
        return self._beginning(BAD if bad else "")

    def files(self) -> list[Path]:
        """All its files by name."""
        return sorted(path for path in self.folder.glob("*.parquet") if PACK.fullmatch(path.name))

    def sound(self) -> tuple[list[Path], list[ArtifactDamaged]]:
        """Its packs by their footers, but those that another of them replaces; and what is wrong with files that are no such Parquet."""
        found, replaced, damaged = list[Path](), set[str](), list[ArtifactDamaged]()
        for path in self.paths():
            try:
                labels = require_columns(plain_file(path, self.root), ROWS, "feature")
            except ArtifactDamaged as error:
                # What was joined into another since it was listed is not missed.
                damaged += [ArtifactDamaged(path, error.problem, PACK_REMEDY)] if os.path.lexists(path) else []
                continue
            found.append(path)
            replaced.update(labels.get(REPLACES, "").split())
        return [path for path in found if path.stem not in replaced], damaged

    def write(self, rows: Rows, replaced: Sequence[Path] = ()) -> Path:
        """Keep rows, each once, whole or not at all, in a pack that may take the place of others; one that is there stays."""
        first = np.unique(keys_of(rows.contents, rows.views), return_index=True)[1]
        if len(first) < len(rows):
            rows = rows.take(np.sort(first))
        contents = pa.array([bytes.fromhex(content) for content in rows.contents], ROWS.field("content").type)
        columns = {"content": contents, "view": pa.array(rows.views, pa.int16()), "feature": vectors_column(rows.features)}
        return self._write("", pa.table(columns), {REPLACES: " ".join(path.stem for path in replaced)} if replaced else {})

    def write_reasons(self, reasons: Mapping[str, Reason]) -> None:
        """Keep why contents gave no image: a kind and a message each."""
        listed = [(bytes.fromhex(content), *reason) for content, reason in reasons.items()]
        columns = [pa.array(column, field.type) for column, field in zip(zip(*listed, strict=True), REASONS, strict=True)]
        self._write(BAD, pa.table(columns, REASONS))

    def write_depths(self, depths: Mapping[str, int]) -> None:
        """Keep how many bits the values of contents were taken to have."""
        columns = [pa.array([bytes.fromhex(content) for content in depths], pa.binary(32)), pa.array(list(depths.values()), pa.int16())]
        self._write(DEEP, pa.table(columns, DEPTHS))

    def depths(self) -> dict[str, int]:
        """How many bits the values of contents (in hex) were taken to have, where there was a doubt."""
        return {row["content"].hex(): row["depth"] for row in self._read(DEEP, DEPTHS)}

    def reasons(self) -> dict[str, Reason]:
        """Why contents (in hex) gave no image. A file that does not hold is left out: they are looked at again."""
        return {row["content"].hex(): (row["kind"], row["message"]) for row in self._read(BAD, REASONS)}

    def _beginning(self, prefix: str) -> list[Path]:
        return [path for path in self.files() if path.stem[:-64] == prefix]

    def _read(self, prefix: str, types: pa.Schema) -> Iterator[dict[str, Any]]:
        for path in self._beginning(prefix):
            with suppress(ArtifactDamaged):
                yield from read_table(plain_file(path, self.root), types=types).to_pylist()

    def has(self, keys: Array) -> Array:
        """Which rows (R,) bool are there. A pack that cannot be read has none."""
        return _found(_index(self, tuple(self.paths())), keys)[0]

    def gather(self, keys: Array) -> Array:
        """The features (R, C) of rows, in the order asked for; each pack is read once. Raises `ArtifactDamaged` where one is not there."""
        while True:
            paths = tuple(self.paths())
            try:
                return self._gathered(keys, paths)
            except ArtifactDamaged:
                # The rows of packs that were joined since they were listed lie elsewhere now.
                if all(map(os.path.lexists, paths)):
                    raise

    def stream(self, keys: Array, counts: Sequence[int]) -> Iterator[Array]:
        """The features (count, C) of rows in the order asked for, for each of `counts` the next ones. Raises what `gather` does.

        So many are gathered at once that few packs are read twice, and never more than `HELD`.
        """
        index, ends = _index(self, tuple(self.paths())), np.cumsum([0, *counts])
        packs, sizes = index.packs[_found(index, keys)[1]] if len(index.keys) else np.empty(0, np.int64), np.bincount(index.packs)
        first = 0
        while first < len(counts):
            last = first + 1
            while last < len(counts) and (rows := ends[last] - ends[first]) < HELD:
                if 4 * sizes[np.unique(packs[ends[first] : ends[last]])].sum() <= 5 * rows:
                    break
                last = min(len(counts), first + 2 * (last - first))
            block = self.gather(keys[ends[first] : ends[last]])
            yield from (block[start - ends[first] : stop - ends[first]] for start, stop in pairwise(ends[first : last + 1].tolist()))
            first = last

    def _gathered(self, keys: Array, paths: tuple[Path, ...]) -> Array:
        index = _index(self, paths)
        there, places = _found(index, keys)
        if not there.all():
            lost = f"{int((~there).sum()):,} of {len(keys):,} rows of features are not there"
            raise ArtifactDamaged(self.folder, lost, "run `xmap verify`, which names the command that makes them again.")
        features = np.empty((0, 0), np.float32)
        packs = index.packs[places]
        for number in np.unique(packs):
            wanted = np.flatnonzero(packs == number)
            vectors = pack_rows(paths[number])[1]
            if not features.size:
                features = np.empty((len(keys), vectors.shape[1]), vectors.dtype)
            if vectors.shape[1:] != features.shape[1:] or vectors.dtype != features.dtype:
                raise ArtifactDamaged(paths[number], "its vectors are not as wide as those of other packs of its maker", "delete it.")
            features[wanted] = vectors[index.rows[places[wanted]]]
        return features

    def take(self, keys: Array) -> Rows:
        """The rows asked for, each once, in that order, to be written elsewhere. Raises `ArtifactDamaged` where one is not there."""
        wanted = keys[np.sort(np.unique(keys, return_index=True)[1])]
        parts = np.frombuffer(wanted.tobytes(), np.uint8).reshape(-1, KEY.itemsize)
        views = np.ascontiguousarray(parts[:, 32:]).view(">i2").reshape(-1).astype(np.int16)
        return Rows([part.tobytes().hex() for part in parts[:, :32]], views, self.gather(wanted))

    def _write(self, prefix: str, table: pa.Table, labels: Mapping[str, str] | None = None) -> Path:
        whole = io.BytesIO()
        encode_table(whole, table, self.name, labels)
        data = whole.getvalue()
        path = self.folder / f"{prefix}{blake3(data).hexdigest()}.parquet"
        # What is written through a link would lie elsewhere.
        make_unlinked_folder(self.folder)
        # What lies there under its name may have been cut or replaced.
        if not is_whole(self, path):
            write_bytes(path, data)
            _index.cache_clear()
        return path


@dataclass(frozen=True)
class _Index:
    """Sorted keys (R,), and the pack and the row of each."""

    keys: Array
    packs: Array
    rows: Array


# One for the plain views and one for the others; what a pack of a name holds never changes.
@lru_cache(maxsize=2)
def _index(packs: Packs, paths: tuple[Path, ...]) -> _Index:
    keys, numbers = [np.empty(0, KEY)], [np.empty(0, np.int64)]
    rows = [np.empty(0, np.int64)]
    for number, path in enumerate(paths):
        try:
            found = pack_keys(packs, path)
        except ArtifactDamaged:
            # Its rows are as good as gone; those of others are not.
            continue
        keys.append(found)
        numbers.append(np.full(len(found), number))
        rows.append(np.arange(len(found)))
    joined = np.concatenate(keys)
    order = np.argsort(joined, kind="stable")
    return _Index(joined[order], np.concatenate(numbers)[order], np.concatenate(rows)[order])


def _found(index: _Index, keys: Array) -> tuple[Array, Array]:
    """Which keys (R,) bool are in the index, and where (R,); of those that are not the place means nothing."""
    if not len(index.keys):
        return np.zeros(len(keys), bool), np.zeros(len(keys), np.int64)
    places = np.searchsorted(index.keys, keys).clip(max=len(index.keys) - 1)
    return index.keys[places] == keys, places


def pack_rows(path: Path) -> tuple[pa.Table, Array]:
    """The keys of a pack's rows, as columns, and their features (R, C). Raises `ArtifactDamaged`."""
    try:
        return read_vectors(path, ROWS)
    except ArtifactDamaged as error:
        raise ArtifactDamaged(path, error.problem, PACK_REMEDY) from error


def plain_file(path: Path, root: Path) -> Path:
    """A file of the store, which may be anybody's. Raises `ArtifactDamaged` where it is none, or lies behind a link."""
    try:
        require_plain(path, root)
    except NotPlain as error:
        raise ArtifactDamaged(path, error.problem, "delete it.") from error
    except OSError as error:
        require_of_file(path, error)
        raise ArtifactDamaged(path, f"it cannot be read ({error.strerror})", "run the same command again.") from error
    return path


def pack_keys(packs: Packs, path: Path) -> Array:
    """What the rows of one pack are found by. Raises `ArtifactDamaged`."""
    return column_keys(*read_table(plain_file(path, packs.root), types=ROWS).columns)


def all_packs(store: Store) -> Iterator[Packs]:
    """The packs of every maker of a store."""
    for folder in sorted((store.root / SHARED).glob("*")):
        if MAKER.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink():
            yield Packs(store.root, folder.name)


def altered(packs: Packs) -> Iterator[Path]:
    """The files whose bytes are not those they were written with; every byte is read."""
    yield from (path for path in packs.files() if not is_whole(packs, path) and os.path.lexists(path))


def is_whole(packs: Packs, path: Path) -> bool:
    """Whether a file is there with the bytes that it is named after."""
    try:
        return hash_file(plain_file(path, packs.root)) == path.stem[-64:]
    except (ArtifactDamaged, OSError) as error:
        require_of_file(path, error)
        return False
