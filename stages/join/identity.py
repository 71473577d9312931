"""What joined features are, decided before they exist. No torch: a no-op run plans in milliseconds.

Features of each encoder stay artifacts of their own, so that nothing is encoded twice; what is joined says which rows belong together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from xmap.stages.config import read_as
from xmap.stages.names import JOINED, Parts, numbered
from xmap.store.artifacts.fingerprint import Json, fingerprint
from xmap.store.artifacts.identity import Identity
from xmap.store.errors import InputError

JOIN_SCHEMA = 1


def joined_parts(several: Sequence[Parts], where: str) -> Parts:
    """The parts that all have, of each a fingerprint of theirs; `where` is what names all of them on a command line.

    Raises `InputError` where they have none in common.
    """
    first = several[0]
    prints = {
        part: fingerprint({"schema": JOIN_SCHEMA, "joined": [each.prints[part] for each in several]})
        for part in first.prints
        if all(part in each.prints for each in several)
    }
    if not prints:
        names = " and ".join(repr(each.name) for each in several)
        raise InputError(f"features {names} hold no part in common, such as a support of as many shots; name features of the same images.")
    return replace(first, name="+".join(each.name for each in several), prints=prints, where=where)


def joined_identity(parts: Parts, images: Sequence[Identity]) -> Identity:
    """The joined features of `images`, one identity an encoder."""
    # How pixels were read is the same for all, and asked of the features that a cache is built from.
    fields: Mapping[str, Json] = {"schema": JOIN_SCHEMA, **read_as(images[0].fields)}
    inputs = {numbered("images", number): identity.fingerprint for number, identity in enumerate(images, 1)}
    return Identity(JOINED, parts.name, fields, inputs, f"xmap build-cache {parts.where}".strip(), parts.source)
