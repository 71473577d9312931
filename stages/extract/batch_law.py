"""The batch law: in batches of one size, an image's row has the same bits alone and among any others, in every place.

That rows are taken from the store rests on it. It is not certain: a library may divide a matrix product so that the last bits of a row
depend on where it stands, as it was seen to do in batches of three on two threads. So it is tried where the encoder works, once for all
that can change the answer, and the answer is remembered.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from xmap.stages.encoder.identity import EncoderIdentity
from xmap.stages.encoder.model import Encoder
from xmap.stages.images.views import Pixels, normalised
from xmap.stages.machine.kind import Machine
from xmap.store.artifacts.fingerprint import Json, fingerprint
from xmap.store.formats.tables import Array
from xmap.store.memory.notes import Notes

# Raise when the trial finds more than it did.
VERSION = "1"
HOLDS, FAILS = "holds", "fails"
# No image is in this place of a trial's batch: it is black, as the places after the last image of an extraction are.
NOBODY = -1


def holds(model: Encoder, batch_size: int) -> bool:
    """Whether the encoder keeps the law in batches of this size, as far as five of them show it."""
    images, rows = _images(model, batch_size), trial_rows(model, batch_size)
    return all(_same(_encoded(model, _placed(images, places)), rows, places) for places in _arrangements(batch_size))


def trial_rows(model: Encoder, batch_size: int) -> Array:
    """The rows (batch_size, C) of the images of a trial, in one batch."""
    return _encoded(model, _images(model, batch_size)[:batch_size])


def _images(model: Encoder, batch_size: int) -> Pixels:
    """Those whose rows are known, and as many strangers."""
    height, width = model.identity.preprocess["size"]
    return np.random.default_rng(0).integers(0, 256, (2 * batch_size, height, width, 3), np.uint8)


def _arrangements(size: int) -> Iterator[Array]:
    """Which image stands in each place (size,): the first `size` of them are those whose rows are known, the others are strangers."""
    yield np.arange(size)[::-1]
    # One image everywhere: a row in every place.
    yield np.zeros(size, int)
    alone = np.full(size, NOBODY)
    alone[0] = size - 1
    yield alone
    # Moved on by one, with strangers in the second half.
    moved = (np.arange(size) - 1) % size
    moved[(size + 1) // 2 :] += size
    yield moved


def _placed(images: Pixels, places: Array) -> Pixels:
    batch: Pixels = np.where((places == NOBODY)[:, None, None, None], np.uint8(0), images[places])
    return batch


def _same(found: Array, rows: Array, places: Array) -> bool:
    known = np.flatnonzero((places != NOBODY) & (places < len(rows)))
    return found[known].tobytes() == rows[places[known]].tobytes()


def _encoded(model: Encoder, batch: Pixels) -> Array:
    return model.encode_images(normalised(batch, model.identity.preprocess))


def try_law(encoder: EncoderIdentity, batch_size: int, machine: Machine) -> bool:
    """`holds` of an encoder that is not loaded yet."""
    return holds(Encoder.load(encoder, machine.device, texts=False), batch_size)


def recall_law(notes: Notes, encoder: EncoderIdentity, batch_size: int, machine: Machine) -> bool | None:
    """What an earlier trial found, where nothing has changed that the answer may depend on; None where there was none."""
    if batch_size == 1:
        # A row is always alone.
        return True
    place = _place(encoder, batch_size, machine)
    return {HOLDS: True, FAILS: False}.get(notes.recall({place: VERSION}).get(place, ""))


def remember_law(notes: Notes, encoder: EncoderIdentity, batch_size: int, machine: Machine, found: bool) -> None:
    """Keep what a trial found."""
    place = _place(encoder, batch_size, machine)
    notes.remember({place: VERSION}, {place: HOLDS if found else FAILS})


def _place(encoder: EncoderIdentity, batch_size: int, machine: Machine) -> str:
    what: list[Json] = [encoder.fields, batch_size, dict(machine.made_by), dict(machine.arithmetic)]
    return f"batch law {fingerprint(what)}"
