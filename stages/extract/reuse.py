"""Which rows of the store an extraction takes.

While the batch law holds here, all rows of its maker are its to take. Where it fails, a row is that of its batch, so rows are taken from
an extraction of the very same batches alone: their contents are then part of the maker.
"""

from __future__ import annotations

import numpy as np

from xmap.stages.extract.batch_law import recall_law, remember_law, try_law
from xmap.stages.extract.identity import ExtractSpec
from xmap.stages.extract.version1 import Version1
from xmap.stages.extract.wanted import Library, keys_at, lacking, wanted
from xmap.stages.machine.kind import Machine
from xmap.stages.workplace.place import Workplace
from xmap.store.artifacts.artifact import Store
from xmap.store.artifacts.fingerprint import Json, fingerprint
from xmap.store.formats.feature_rows import keys_of
from xmap.store.memory.notes import HASHES, Notes

# Raise when what is remembered of batches means something else.
VERSION = "1"
# Batches to encode of which a trial is a small part.
MANY = 200


def library_of(workplace: Workplace, spec: ExtractSpec, machine: Machine) -> Library:
    """Where the rows of an extraction lie. Where there are rows to take, the batch law is tried first, unless it was before."""
    root, encoder, size, made_by = workplace.store.root, spec.encoder, spec.config.batch_size, dict(machine.made_by)
    notes, library = Notes(root / HASHES), Library.of(root, spec, made_by)
    found = recall_law(notes, encoder, size, machine)
    if found is None and _is_to_be_tried(workplace.store, spec, library, machine, notes):
        workplace.progress.say("trying once whether a row of features depends on its neighbours in a batch here")
        found = workplace.engine.call(try_law, encoder, size, machine)
        remember_law(notes, encoder, size, machine, found)
    if found is False:
        workplace.progress.say(
            f"here the last bits of a row of {encoder.name} depend on its neighbours in a batch of {size}: rows are taken from no "
            "extraction but one of the same images in the same batches; another --batch-size may not have this, and 1 never has"
        )
        return Library.of(root, spec, made_by, _batches(spec))
    return library


def _is_to_be_tried(store: Store, spec: ExtractSpec, library: Library, machine: Machine, notes: Notes) -> bool:
    """Whether there are rows to take of other batches, or so many to make that a later extraction will not have to wait for the trial."""
    images = wanted(spec)
    rows, lacked = (int(listed.views.sum()) for listed in (images, lacking(images, library, {})))
    # As after a correction of labels.
    if not lacked and notes.recall({_made_place(spec, library): VERSION}):
        return False
    if lacked < rows or lacked > MANY * spec.config.batch_size:
        return True
    return any(True for _ in Version1(store, spec, dict(machine.made_by)).rows())


def remember_made(store: Store, spec: ExtractSpec, library: Library, machine: Machine) -> None:
    """Keep that all rows of an extraction were made by it, as long as no trial tells more: who wants them in these batches has them."""
    notes = Notes(store.root / HASHES)
    if recall_law(notes, spec.encoder, spec.config.batch_size, machine) is None:
        place = _made_place(spec, library)
        notes.remember({place: VERSION}, {place: library.plain.name})


def _made_place(spec: ExtractSpec, library: Library) -> str:
    return f"made at once {library.plain.name} {library.augmented.name} {spec.config.batch_size} {_batches(spec)}"


def _batches(spec: ExtractSpec) -> str:
    """What determines the batches of an extraction from nothing: its images in order, their views, and how many rows are cut at once."""
    images = wanted(spec)
    keys, counts = keys_at(images.samples, images.rows), images.views.sum(axis=1).tolist()
    listed: list[Json] = [[key, count] for key, count in zip(keys, counts, strict=True)]
    return fingerprint([spec.config.shard_batches, listed])


def take_over(workplace: Workplace, spec: ExtractSpec, library: Library, machine: Machine) -> None:
    """Keep by content what features of version 1 hold of these images."""
    old, taken = Version1(workplace.store, spec, dict(machine.made_by)), 0
    for rows in old.rows():
        there = library.plain.has(keys_of(rows.contents, rows.views))
        new = {content: row for row, content in enumerate(rows.contents) if not there[row]}
        taken += len(new)
        if new:
            library.plain.write(rows.take(np.asarray(list(new.values()))))
    if taken:
        workplace.progress.say(f"{taken:,} images have their features from a store of version 1, which are taken over")
    elif old.refused:
        workplace.progress.say(f"features of version 1 of {old.refused:,} images are not those that would be made here and now")
