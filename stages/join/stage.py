"""The stage `join`: the images that several encoders have seen, as tables whose rows are those of all of them side by side.

Where features lie in packs by content, the tables refer to the rows of each encoder, and nothing is copied; features that others extracted
lie in their tables, and are written anew, side by side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from xmap.stages.datasets.classes.shared_names import told_apart
from xmap.stages.fewshot.draw import feature_files
from xmap.stages.names import Parts
from xmap.stages.workplace.place import Workplace
from xmap.stages.workplace.progress import Progress
from xmap.store.artifacts.artifact import Artifact, Draft
from xmap.store.artifacts.fingerprint import Json
from xmap.store.artifacts.identity import Identity
from xmap.store.disk.plain import named
from xmap.store.errors import InputError
from xmap.store.formats.arrays import side_by_side
from xmap.store.formats.feature_rows import column_keys
from xmap.store.formats.features import ImageFeatures, read_errors, read_images, write_images
from xmap.store.formats.samples import BAD_TABLE, CONTENT, GROUP, REFERRING, SOURCE, Makers, Samples, makers_of, write_samples
from xmap.store.formats.tables import Array, read_schema, read_table

REFERRED = pa.schema([*REFERRING, GROUP, SOURCE])


def join_images(workplace: Workplace, identity: Identity, images: Sequence[Artifact], parts: Parts) -> Artifact:
    """Join the features of each encoder, row by row.

    Raises `InputError` where they are of other images, labels or classes, and where some were imported and others extracted.
    """
    with workplace.build(identity) as held:
        if isinstance(held, Artifact):
            return held
        _require_alike(images)
        refer = [_refers(found) for found in images]
        if len(set(refer)) > 1:
            ours, others = (named([one.name for one, told in zip(images, refer, strict=True) if told is kind]) for kind in (True, False))
            raise InputError(f"features {ours} were extracted here, {others} imported: their rows cannot be joined; import or extract all.")
        progress = workplace.progress
        progress.start("join features", len(parts.prints))
        counts: dict[str, Json] = {}
        for split in parts.prints:
            tables = _referring(images, split, progress) if refer[0] else _copied(images, split)
            counts[split] = tables.write(held, split)
            progress.advance(1)
        return held.commit({**_facts(images), "counts": counts, "parts": dict(parts.prints)})


def _facts(images: Sequence[Artifact]) -> dict[str, Json]:
    first, widths = images[0].summary, [int(found.summary["width"]) for found in images]
    told = {name: first[name] for name in ("dataset", "classes", "views", "remarks") if name in first}
    names = [str(found.summary.get("model", found.name)) for found in images]
    # What finds an encoder again, as the manifest of its features says it.
    seen = [
        {"fields": found.fields.get("encoder"), "source": dict(found.manifest.get("source") or {}).get("encoder", {})} for found in images
    ]
    return {**told, "model": " + ".join(names), "width": sum(widths), "widths": list(widths), "encoders": names, "seen": seen}


def _require_alike(images: Sequence[Artifact]) -> None:
    first, *others = images
    classes = told_apart([str(name) for name in first.summary["classes"]])
    for other in others:
        if told_apart([str(name) for name in other.summary.get("classes", ())]) != classes:
            raise InputError(f"features {first.name!r} and {other.name!r} are of other classes; name features of the same images.")


def _refers(images: Artifact) -> bool:
    return any(map(makers_of, images.files(suffix="-00000.parquet")))


@dataclass(frozen=True)
class _Copied:
    """Rows of one split with the features of all encoders."""

    rows: ImageFeatures

    def write(self, draft: Draft, split: str) -> int:
        write_images(draft.path / f"{split}-00000.parquet", self.rows, split, draft.identity.fingerprint)
        return len(self.rows)


def _copied(images: Sequence[Artifact], split: str) -> _Copied:
    """The rows of the first, each with those of the same sample and view by the others."""
    first, *others = (read_images(feature_files(found, split)) for found in images)
    places = {row: place for place, row in enumerate(zip(first.sample_ids, first.views.tolist(), strict=True))}
    parts = [first.features]
    for artifact, other in zip(images[1:], others, strict=True):
        keys = list(zip(other.sample_ids, other.views.tolist(), strict=True))
        lacking = places.keys() ^ set(keys)
        if lacking or len(keys) != len(places):
            sample = min(lacking)[0] if lacking else "one that is there twice"
            raise InputError(
                f"features {images[0].name!r} and {artifact.name!r} are not of the same {split} images: {sample!r} is not in both; "
                "name features of the same images."
            )
        order = np.argsort([places[key] for key in keys])
        rows = other.take(order)
        _require_labels(images[0], artifact, first.sample_ids, np.flatnonzero(rows.labels != first.labels))
        parts.append(rows.features)
    return _Copied(ImageFeatures(first.sample_ids, first.labels, first.views, side_by_side(parts)))


def _require_labels(first: Artifact, other: Artifact, ids: Sequence[str], wrong: Array) -> None:
    if len(wrong):
        raise InputError(
            f"features {first.name!r} and {other.name!r} label {len(wrong):,} images differently, such as {ids[int(wrong[0])]!r}; "
            "name features of the same images."
        )


@dataclass(frozen=True)
class _Referring:
    """The tables of one split, and of each the rows that every encoder has; whose packs hold them."""

    tables: Sequence[tuple[Path, pa.Table]]
    makers: tuple[Makers, ...]

    def write(self, draft: Draft, split: str) -> int:
        for path, table in self.tables:
            told = set(table.column_names)
            columns: dict[str, list[Any]] = {
                name: table[name].to_pylist() if name in told else [""] * len(table) for name in REFERRED.names
            }
            contents = [content.hex() for content in columns[CONTENT.name]]
            labels, views = (np.asarray(columns[name], kind) for name, kind in (("label", np.int32), ("view", np.int16)))
            rows = Samples(columns["sample_id"], labels, views, contents, columns["group"], columns["source"])
            write_samples(draft.path / path.name, rows, split, draft.identity.fingerprint, *self.makers)
        return sum(int((table["view"].to_numpy() == 0).sum()) for _, table in self.tables)


def _referring(images: Sequence[Artifact], split: str, progress: Progress) -> _Referring:
    """The tables of the first without what another encoder could not use. Raises `InputError` for images that another has never seen."""
    tables = [(path, _table(path)) for path in feature_files(images[0], split)]
    makers = list(makers_of(tables[0][0]))
    for other in images[1:]:
        paths = feature_files(other, split)
        seen = np.concatenate([column_keys(table[CONTENT.name], table["view"]) for table in map(_table, paths)])
        bad = {row.sample_id for row in read_errors(other.file(BAD_TABLE))}
        kept = list(_seen_by(tables, seen, bad, (images[0].name, other.name)))
        lost = sum(len(table) for _, table in tables) - sum(len(table) for _, table in kept)
        if lost:
            progress.say(f"{lost:,} rows of {split} images are left out, which {other.name} could not use")
        tables, makers = kept, [*makers, *makers_of(paths[0])]
    return _Referring(tables, tuple(makers))


def _seen_by(
    tables: Sequence[tuple[Path, pa.Table]], seen: Array, bad: set[str], names: tuple[str, str]
) -> Iterator[tuple[Path, pa.Table]]:
    for path, table in tables:
        there = np.isin(column_keys(table[CONTENT.name], table["view"]), seen)
        absent = set(table.filter(pa.array(~there))["sample_id"].to_pylist()) if not there.all() else set()
        unknown = sorted(absent - bad)
        if unknown:
            raise InputError(
                f"features {names[1]!r} lack {len(unknown):,} images of {names[0]!r}, or views of them, such as {unknown[0]!r}; extract "
                "both from the same images with the same --views."
            )
        # A sample stays whole or goes: its views are one image.
        keep = np.fromiter((sample not in absent for sample in table["sample_id"].to_pylist()), bool, len(table))
        yield path, table.filter(pa.array(keep))


def _table(path: Path) -> pa.Table:
    names = set(read_schema(path).names)
    return read_table(path, types=pa.schema([field for field in REFERRED if field.name in names]))
