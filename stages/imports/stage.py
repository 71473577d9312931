"""`xmap import`: vectors that others computed, of any layout but Tip-Adapter's, as ordinary feature artifacts.

They are read twice: once to check every one before the first byte is written, once to write them; a few thousand are in memory at a time.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xmap.stages.config import DataConfig
from xmap.stages.datasets.classes.shared_names import sharing, sharing_said
from xmap.stages.datasets.dataset import SPLITS
from xmap.stages.imports.asked import AskedRoles, Reader
from xmap.stages.imports.classes import Known
from xmap.stages.imports.listed import some_of
from xmap.stages.imports.request import ImportRequest
from xmap.stages.imports.split_tables import SplitTables
from xmap.stages.imports.stored import refuse_collision, require_scale
from xmap.stages.imports.survey import Settled, Surveyed, digests_of, settle, survey
from xmap.stages.imports.texts import GivenTexts
from xmap.stages.imports.vectors import ROLES, Vectors
from xmap.stages.names import POOL
from xmap.stages.workplace.progress import Progress
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.artifacts.fingerprint import Json
from xmap.store.artifacts.identity import Identity
from xmap.store.disk.files import hash_file
from xmap.store.errors import InputError
from xmap.store.formats.features import TextFeatures, write_texts
from xmap.store.formats.tables import Array

SCHEMA = 1
UNTAUGHT = (
    "no class texts were given, so there is nothing to compare the vectors with: `xmap sql` and `xmap predict --features {name}` work on "
    "them, `xmap run` does once they are imported with --texts FILE"
)


def import_vectors(store: Store, request: ImportRequest, read: Reader, progress: Progress) -> tuple[Artifact, ...]:
    """Import what `read` finds: an images artifact, and one of texts where there are some.

    Raises `InputError` for all that cannot be used, with its place, and for a name that other features have.
    """
    require_scale(request.logit_scale)
    place, asked = str(request.path), AskedRoles(request.asked, request.path if request.path.is_dir() else request.path.parent)
    if not request.path.exists() and not any(sign in place for sign in "*?[{"):
        raise InputError(f"no {place}; name the file or folder that holds the vectors.")
    source, texts = read(request.path, asked), GivenTexts(Path(request.texts)) if request.texts else None
    progress.start(f"import {request.name}", 2 * source.count)
    found = survey(source, place, progress)
    known = Known(source.names, source.hollow, request.classes, texts.count if texts else None)
    settled = settle(found, source, asked, known, place, DataConfig.model_validate({}))
    weights, said = texts.of(settled.classes, found.width) if texts and settled.classes.names else (None, ())
    lost = source.count - len(found)
    left_out = (f"{lost:,} rows were left out: {source.unread}",) * bool(lost)
    remarks = (*left_out, *settled.remarks, *said, *_said_of(settled, request, weights))
    for remark in remarks:
        progress.say(remark)
    images, named = _identities(request, source, asked, settled)
    refuse_collision(store, images, *([] if weights is None else [named]))
    doubts = () if weights is None else sharing_said(sharing(settled.classes.names, weights))
    stored = _store_images(store, images, source, found, settled, doubts, progress)
    return (stored,) if weights is None else (stored, _store_texts(store, named, settled, weights, request.logit_scale, progress))


def _said_of(settled: Settled, request: ImportRequest, weights: Array | None) -> tuple[str, ...]:
    """What a person should know of the rows without a label, and where there are no texts."""
    pool = settled.ids.filter(settled.classes.labels < 0)
    if not settled.classes.names:
        texts = "; --texts was not read" * bool(request.texts)
        return (f"no row has a label: these are a pool{texts}",)
    kept = (f"{some_of(pool)} without a label are kept as a pool, from which nothing is learned",) * bool(len(pool))
    return (*kept, *(UNTAUGHT.format(name=request.name),) * (weights is None))


def _identities(request: ImportRequest, source: Vectors, asked: AskedRoles, settled: Settled) -> tuple[Identity, Identity]:
    beside = {f"{role}: {path.name}": path for role in ROLES if (path := asked.file(role))}
    files: dict[str, Json] = {name: hash_file(path) for name, path in {**source.files, **beside}.items()}
    common: dict[str, Json] = {"schema": SCHEMA, "layout": request.layout, "name": request.name, "classes": list(settled.classes.names)}
    told: dict[str, Json] = {"files": files, "columns": {**source.columns, **{role: name for role, name in request.asked.items() if name}}}
    drawn: dict[str, Json] = {"drawn": dict(settled.drawn)} if settled.drawn else {}
    images = Identity("images", request.name, {**common, **told, **drawn}, command=request.command)
    texts: dict[str, Json] = {"logit_scale": request.logit_scale, "keys": list(settled.classes.keys)}
    texts |= {"files": {Path(request.texts).name: hash_file(request.texts)}} if request.texts else {}
    return images, Identity("texts", request.name, {**common, **texts}, command=request.command)


def _store_images(
    store: Store, identity: Identity, source: Vectors, found: Surveyed, settled: Settled, doubts: tuple[str, ...], progress: Progress
) -> Artifact:
    with store.build(identity, on_wait=progress.say) as held:
        if isinstance(held, Artifact):
            return held
        # A row without a label is in split -1, which is the last.
        tables = [SplitTables(held, name, found, settled) for name in (*SPLITS, POOL)]
        first = 0
        for rows in source.batches():
            last = first + len(rows)
            if last > len(found) or found.digests[first:last].tobytes() != digests_of(rows):
                raise InputError(f"{', '.join(source.files)[:200]}: the vectors changed while they were read; import them again.")
            splits = settled.splits[first:last]
            for split in np.unique(splits):
                chosen = np.flatnonzero(splits == split)
                tables[split].add(first + chosen, rows.vectors[chosen])
            first = last
            progress.advance(len(rows))
        written = [table for table in tables if table.close()]
        classes: dict[str, Json] = {"classes": list(settled.classes.names)} if settled.classes.names else {}
        facts: dict[str, Json] = {
            "dataset": identity.name,
            "width": found.width,
            "imported": str(identity.fields["layout"]),
            "counts": {table.split: table.count for table in written},
            "parts": {table.split: table.part for table in written},
            "errors": 0,
            "views": 1,
        }
        return held.commit({**facts, **classes, **({"remarks": list(doubts)} if doubts else {})})


def _store_texts(store: Store, identity: Identity, settled: Settled, weights: Array, logit_scale: float, progress: Progress) -> Artifact:
    with store.build(identity, on_wait=progress.say) as held:
        if isinstance(held, Artifact):
            return held
        names = settled.classes.names
        write_texts(
            held.path / "texts.parquet",
            TextFeatures(np.arange(len(names), dtype=np.int32), names, ("imported",) * len(names), weights),
            identity.fingerprint,
        )
        facts: dict[str, Json] = {"dataset": identity.name, "classes": list(names), "logit_scale": logit_scale, "width": weights.shape[1]}
        return held.commit({**facts, "imported": str(identity.fields["layout"]), "templates": ["imported"]})
