"""The table of answers: what an adapter says of images, one row each; classes are named, so that tables of any adapters are alike."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

NEIGHBOR = pa.struct([("sample_id", pa.string()), ("class", pa.string()), ("affinity", pa.float32())])
EVIDENCE = pa.struct([("class", pa.string()), ("affinity_image", pa.float32()), ("affinity_text", pa.float32())])
CHANCE = pa.struct([("class", pa.string()), ("probability", pa.float32())])
PLAIN = pa.schema(
    [
        ("path", pa.string()),
        ("class", pa.string()),
        ("probability", pa.float32()),
        ("second", pa.string()),
        ("second_probability", pa.float32()),
        ("zero_shot", pa.string()),
        ("zero_shot_probability", pa.float32()),
        ("known", pa.bool_()),
        ("set", pa.list_(pa.string())),
        ("set_size", pa.int32()),
        ("nearest", pa.string()),
        ("strangeness", pa.float64()),
        ("probabilities", pa.list_(CHANCE)),
        ("error", pa.string()),
        ("message", pa.string()),
    ]
)
EVIDENCES = pa.schema([("gamma", pa.float32()), ("evidence", pa.list_(EVIDENCE)), ("neighbors", pa.list_(NEIGHBOR))])
# Of an adapter that several encoders see images for: the class that each alone says, and how much of the answer comes from it.
OF_ENCODERS = pa.schema([("encoder_said", pa.list_(pa.string())), ("encoder_share", pa.list_(pa.float32()))])
# Of an adapter that learned from images without labels: which, in words.
POOL = pa.field("pool", pa.string())
# What the store keeps: whose answers they are, all of it, and the columns of the user's own table as JSON, as these are others in each.
RUN = pa.schema([("name", pa.string()), ("run", pa.string()), ("method", pa.string()), ("seed", pa.int32())])
GIVEN = pa.field("given", pa.string())
ANSWERS = pa.schema([*RUN, *PLAIN, *EVIDENCES, GIVEN])
PREFIX = "answers-"


def shard_name(number: int) -> str:
    """The file name of a shard of answers."""
    return f"{PREFIX}{number:05d}.parquet"


def free_names(names: Iterable[str]) -> list[str]:
    """The columns of a user's table as they are called beside answers: one whose name is taken, in any case, gets `given_` before it."""
    taken, free = {name.casefold() for name in (*PLAIN.names, *EVIDENCES.names, *OF_ENCODERS.names, POOL.name)}, []
    for name in names:
        while name.casefold() in taken:
            name = f"{GIVEN.name}_{name}"
        taken.add(name.casefold())
        free.append(name)
    return free
