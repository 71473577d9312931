"""Feature rows by content: `features/<maker>/<blake3>.parquet`, one row a view of an image's bytes.

A maker is all that determines a row beside the image's bytes and the number of the view. Rows name no data set, no sample and no label:
all data sets of a store share them, and no image is encoded twice. A pack is never changed, and its name is the hash of its bytes; the
content columns of a maker's packs are the index, so that none can go stale. Beside them lie the contents that gave no image, and why.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
from blake3 import blake3

from xmap.store.artifacts.artifact import Store
from xmap.store.artifacts.fingerprint import Fields, fingerprint
from xmap.store.artifacts.identity import safe_name
from xmap.store.artifacts.locks import SHARED
from xmap.store.disk.files import hash_file, make_unlinked_folder, require_plain, write_bytes
from xmap.store.errors import ArtifactDamaged, NotPlain
from xmap.store.formats.tables import Array, encode_table, read_table, read_vectors, require_columns, vectors_column

DIGITS = 16
BAD = "bad-"
MAKER = re.compile(rf"[^/\0\n]{{1,80}}-[0-9a-f]{{{DIGITS}}}")
_PACK = re.compile(rf"(?:{BAD})?[0-9a-f]{{64}}\.parquet")
ROWS = pa.schema([("content", pa.binary(32)), ("view", pa.int16())])
REASONS = pa.schema([("content", pa.binary(32)), ("kind", pa.string()), ("message", pa.string())])
# A content (32 bytes) and a view (2, the higher byte first): one number to sort and search by.
KEY = np.dtype("S34")

Reason = tuple[str, str]


@dataclass(frozen=True)
class Rows:
    """Feature rows: `contents` the blake3 of the bytes of images (R,) in hex, `views` (R,) int16, `features` (R, C), not normalised."""

    contents: Sequence[str]
    views: Array
    features: Array

    def __len__(self) -> int:
        return len(self.contents)

    def take(self, rows: Array) -> Rows:
        """The given rows, in the given order."""
        return Rows([self.contents[int(row)] for row in rows], self.views[rows], self.features[rows])


def keys_of(contents: Sequence[str], views: Array) -> Array:
    """What rows are found by (R,), of contents in hex and the numbers of views (R,)."""
    return _keys(bytes.fromhex("".join(contents)), views)


def column_keys(contents: pa.ChunkedArray, views: pa.ChunkedArray) -> Array:
    """What rows are found by (R,), of a column of contents and one of views."""
    joined = b"".join(
        bytes(chunk.buffers()[1])[32 * chunk.offset : 32 * (chunk.offset + len(chunk))] for chunk in contents.chunks if len(chunk)
    )
    return _keys(joined, views.to_numpy())


def _keys(contents: bytes, views: Array) -> Array:
    parts = np.frombuffer(contents, np.uint8).reshape(-1, 32), views.astype(">i2").view(np.uint8).reshape(-1, 2)
    keys: Array = np.ascontiguousarray(np.concatenate(parts, axis=1)).view(KEY).reshape(-1)
    return keys


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
        """Its files by name: packs, or with `bad` what gave no image."""
        found = (path for path in self.folder.glob("*.parquet") if _PACK.fullmatch(path.name))
        return sorted(path for path in found if path.name.startswith(BAD) is bad)

    def sound(self) -> Iterator[Path]:
        """Its packs that are Parquet files with the columns of one, by their footers."""
        for path in self.paths():
            try:
                require_columns(plain_file(path, self.root), ROWS, "feature")
            except ArtifactDamaged:
                continue
            yield path

    def write(self, rows: Rows) -> None:
        """Keep rows, each once, whole or not at all. A pack that is there already is not written again."""
        first = np.unique(keys_of(rows.contents, rows.views), return_index=True)[1]
        if len(first) < len(rows):
            rows = rows.take(np.sort(first))
        contents = pa.array([bytes.fromhex(content) for content in rows.contents], ROWS.field("content").type)
        columns = {"content": contents, "view": pa.array(rows.views, pa.int16()), "feature": vectors_column(rows.features)}
        self._write("", pa.table(columns))

    def write_reasons(self, reasons: Mapping[str, Reason]) -> None:
        """Keep why contents gave no image: a kind and a message each."""
        listed = [(bytes.fromhex(content), *reason) for content, reason in reasons.items()]
        columns = [pa.array(column, field.type) for column, field in zip(zip(*listed, strict=True), REASONS, strict=True)]
        self._write(BAD, pa.table(columns, REASONS))

    def reasons(self) -> dict[str, Reason]:
        """Why contents (in hex) gave no image. A file that does not hold is left out: they are looked at again."""
        found: dict[str, Reason] = {}
        for path in self.paths(bad=True):
            try:
                rows = read_table(plain_file(path, self.root), types=REASONS).to_pylist()
            except ArtifactDamaged:
                continue
            found.update({row["content"].hex(): (row["kind"], row["message"]) for row in rows})
        return found

    def has(self, keys: Array) -> Array:
        """Which rows (R,) bool are there. A pack that cannot be read has none."""
        return _found(_index(self, tuple(self.paths())), keys)[0]

    def gather(self, keys: Array) -> Array:
        """The features (R, C) of rows, in the order asked for; each pack is read once. Raises `ArtifactDamaged` where one is not there."""
        paths = tuple(self.paths())
        index = _index(self, paths)
        there, places = _found(index, keys)
        if not there.all():
            lost = f"{int((~there).sum()):,} of {len(keys):,} rows of features are not there"
            raise ArtifactDamaged(self.folder, lost, "run `xmap verify`, which names the command that makes them again.")
        features = np.empty((0, 0), np.float32)
        packs = index.packs[places]
        for number in np.unique(packs):
            wanted = np.flatnonzero(packs == number)
            vectors = _vectors(paths[number])
            if not features.size:
                features = np.empty((len(keys), vectors.shape[1]), vectors.dtype)
            if vectors.shape[1:] != features.shape[1:] or vectors.dtype != features.dtype:
                raise ArtifactDamaged(paths[number], "its vectors are not as wide as those of other packs of its maker", "delete it.")
            features[wanted] = vectors[index.rows[places[wanted]]]
        return features

    def take(self, keys: Array) -> Rows:
        """The rows asked for, each once, to be written elsewhere. Raises `ArtifactDamaged` where one is not there."""
        wanted = np.unique(keys)
        parts = np.frombuffer(wanted.tobytes(), np.uint8).reshape(-1, KEY.itemsize)
        views = np.ascontiguousarray(parts[:, 32:]).view(">i2").reshape(-1).astype(np.int16)
        return Rows([part.tobytes().hex() for part in parts[:, :32]], views, self.gather(wanted))

    def _write(self, prefix: str, table: pa.Table) -> None:
        whole = io.BytesIO()
        encode_table(whole, table, self.name)
        data = whole.getvalue()
        path = self.folder / f"{prefix}{blake3(data).hexdigest()}.parquet"
        # What is written through a link would lie elsewhere.
        make_unlinked_folder(self.folder)
        # What lies there under its name may have been cut or replaced.
        if not is_whole(self, path):
            write_bytes(path, data)
            _index.cache_clear()


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


def _vectors(path: Path) -> Array:
    try:
        return read_vectors(path, ROWS)[1]
    except ArtifactDamaged as error:
        remedy = "delete it, then run `xmap verify`, which names the command that makes its rows again."
        raise ArtifactDamaged(path, error.problem, remedy) from error


def plain_file(path: Path, root: Path) -> Path:
    """A file of the store, which may be anybody's. Raises `ArtifactDamaged` where it is none, or lies behind a link."""
    try:
        require_plain(path, root)
    except NotPlain as error:
        raise ArtifactDamaged(path, error.problem, "delete it.") from error
    except OSError as error:
        raise ArtifactDamaged(path, f"it cannot be read ({error.strerror})", "run the same command again.") from error
    return path


def pack_keys(packs: Packs, path: Path) -> Array:
    """What the rows of one pack are found by. Raises `ArtifactDamaged`."""
    table = read_table(plain_file(path, packs.root), types=ROWS)
    return column_keys(table["content"], table["view"])


def all_packs(store: Store) -> Iterator[Packs]:
    """The packs of every maker of a store."""
    for folder in sorted((store.root / SHARED).glob("*")):
        if MAKER.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink():
            yield Packs(store.root, folder.name)


def altered(packs: Packs) -> Iterator[Path]:
    """The files whose bytes are not those they were written with; every byte is read."""
    yield from (path for path in [*packs.paths(), *packs.paths(bad=True)] if not is_whole(packs, path) and os.path.lexists(path))


def is_whole(packs: Packs, path: Path) -> bool:
    """Whether a file is there with the bytes that it is named after."""
    try:
        return hash_file(plain_file(path, packs.root)) == path.stem.removeprefix(BAD)
    except (ArtifactDamaged, OSError):
        return False
