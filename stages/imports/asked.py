"""What the user says of an import, and which column of a table says what, where the user does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from xmap.stages.datasets.sources.columns import IMAGES, LABEL, PATH, SPLIT, Roles, roles_of
from xmap.stages.imports.npy import NPY
from xmap.stages.imports.tables import TABLES, is_vectors
from xmap.stages.imports.vectors import IDS, LABELS, SPLITS, Vectors
from xmap.store.disk.plain import named
from xmap.store.errors import InputError

VECTORS = "vectors"
# In place of a column: there is none, whatever the columns are called.
NONE = "none"
LISTS = (".csv", ".tsv")
FILES = (NPY, *TABLES, *LISTS)
NAMES: Mapping[str, Sequence[str]] = {
    LABELS: IMAGES.names[LABEL],
    IDS: ("id", "ids", "sample_id", "image_id", "key", "uid", "uuid", *IMAGES.names[PATH]),
    SPLITS: IMAGES.names[SPLIT],
}


@dataclass(frozen=True)
class AskedRoles:
    """By role a column, or a file that tells it, or `none`; empty: whatever is called so. `folder` is where files are looked for."""

    given: Mapping[str, str]
    folder: Path

    def file(self, role: str) -> Path | None:
        """The file that tells a role. Raises `InputError` where there is none of that name."""
        name = self.given.get(role, "")
        if not name.lower().endswith(FILES):
            return None
        found = next((path for path in (self.folder / name, Path(name)) if path.is_file()), None)
        if found is None:
            raise InputError(f"--{role} {name}: there is no such file; name a column, or a file that exists.")
        return found

    def require_files(self, place: str) -> None:
        """Raise `InputError` where a column is asked for, and at `place` are arrays alone, which have none."""
        for role in NAMES:
            name = self.given.get(role, "")
            if name not in ("", NONE) and self.file(role) is None:
                raise InputError(f"--{role} {name}: {place} has no columns; name a file that ends with one of {' '.join(FILES)}.")

    def column(self, role: str, schema: pa.Schema, place: str) -> str | None:
        """The column of `schema` that tells a role, if any does. Raises `InputError` where the one that was asked for is not there."""
        name = self.given.get(role, "")
        if name in schema.names:
            return name
        if name == NONE or self.file(role):
            return None
        if name:
            raise InputError(f"{place} has no column {name!r} but {named(schema.names)}; correct --{role}.")
        scalars = [field.name for field in schema if not is_vectors(field.type)]
        places = roles_of(scalars, Roles({role: NAMES[role]}, ())).get(role, [])
        return scalars[places[0]] if places else None

    def vectors(self, schema: pa.Schema, place: str, remedy: str = "") -> str:
        """The column of vectors. Raises `InputError` where there is none, with a `remedy`, or where several could be meant."""
        name = self.given.get(VECTORS, "")
        found = [field.name for field in schema if is_vectors(field.type)]
        if name in found or (not name and len(found) == 1):
            return name or found[0]
        if name in schema.names:
            raise InputError(f"{place}: the column {name!r} holds {schema.field(name).type}, not lists of floats; correct --vectors.")
        if name:
            raise InputError(f"{place} has no column {name!r} but {named(schema.names)}; correct --vectors.")
        if found:
            raise InputError(f"{place} has several columns of vectors, {named(found)}; choose one with --vectors.")
        raise InputError(f"{place} has no column of vectors (lists of floats) but {named(schema.names)}{remedy or '; name another file'}.")


# From a place to what a layout holds.
Reader = Callable[[Path, AskedRoles], Vectors]
