"""Answers as tables, a column at a time: no object an image, where a million pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xmap.stages.predict.answers import Answers
from xmap.stages.predict.prediction import EVIDENCE_CLASSES, Asked
from xmap.store.formats.answers import ANSWERS, CHANCE, EVIDENCE, EVIDENCES, GIVEN, NEIGHBOR, OF_ENCODERS, PLAIN, POOL, RUN, free_names
from xmap.store.formats.tables import Array

# Probabilities of all classes are listed where there are so many at most; of more, those of the most probable.
ALL, MOST = 50, 10


def listed(top: int | None, classes: int) -> int | None:
    """How many classes an answer lists, the most probable first; None for all, in their own order."""
    return MOST if top is None and classes > ALL else top


def schema_of(asked: Asked, given: pa.Schema | None) -> pa.Schema:
    """The columns of `table_of`; `given` are those of the user's own table."""
    own = zip(free_names(given.names), given, strict=True) if given else ()
    asked_for = [*(EVIDENCES if asked.neighbors else ()), *(OF_ENCODERS if asked.encoders else ()), *((POOL,) if asked.pool else ())]
    return pa.schema([*PLAIN, *asked_for, *(field.with_name(name) for name, field in own)])


def table_of(answers: Answers, asked: Asked, top: int | None = None) -> pa.Table:
    """Answers as rows of `schema_of`; `top` as `listed` has it. What is not known, not asked for, or of no image is null."""
    columns = _plain(answers, listed(top, len(answers.classes))) | (_evidence(answers) if asked.neighbors else {})
    columns |= {POOL.name: pa.repeat(asked.pool, len(answers))} if asked.pool else {}
    given = [] if answers.columns is None else answers.columns.columns
    schema = schema_of(asked, answers.columns.schema if answers.columns is not None else None)
    names = schema.names[: len(schema) - len(given)]
    return pa.table([*(columns.get(name, pa.nulls(len(answers), schema.field(name).type)) for name in names), *given], schema)


def stored_table(answers: Answers, about: Mapping[str, object], given: Sequence[str], top: int | None = None) -> pa.Table:
    """Answers as rows of `ANSWERS`: `about` says whose they are; `given` are rows of the user's table as JSON, none where there is none."""
    columns = _plain(answers, listed(top, len(answers.classes))) | (_evidence(answers) if answers.neighbors else {})
    columns |= {name: pa.repeat(pa.scalar(value, RUN.field(name).type), len(answers)) for name, value in about.items()}
    columns |= {GIVEN.name: pa.array(given, pa.string())} if given else {}
    return pa.table([columns.get(field.name, pa.nulls(len(answers), field.type)) for field in ANSWERS], ANSWERS)


def texts_of(texts: Sequence[str]) -> pa.Array:
    """Texts as a column; what is no Unicode, as a file name need not be, is shown as its escape."""
    try:
        return pa.array(texts, pa.string())
    except UnicodeEncodeError:
        return pa.array([text.encode("utf-8", "backslashreplace").decode() for text in texts], pa.string())


def _plain(answers: Answers, count: int | None) -> dict[str, pa.Array]:
    good, best, names = answers.good, answers.best(2), texts_of(answers.classes)
    nearest = _named(names, best[:, 0], good)
    zero_shot = np.nan_to_num(answers.zero_shot).argmax(axis=1)
    columns = {
        "path": texts_of(answers.names),
        "class": nearest if answers.rejected is None else pc.if_else(pa.array(answers.rejected), "", nearest),
        "probability": _numbers(_taken(answers.probabilities, best[:, 0]), good),
        "zero_shot": _named(names, zero_shot, good),
        "zero_shot_probability": _numbers(_taken(answers.zero_shot, zero_shot), good),
        "probabilities": _chances(answers, names, count),
    }
    if best.shape[1] > 1:
        columns["second"] = _named(names, best[:, 1], good)
        columns["second_probability"] = _numbers(_taken(answers.probabilities, best[:, 1]), good)
    if answers.known is not None:
        columns["known"] = pa.array(answers.known, mask=~good)
    if answers.members is not None:
        order = answers.best(len(answers.classes))
        inside = np.take_along_axis(answers.members, order, 1)
        columns["set"] = _lists(inside, [names.take(pa.array(order[inside]))], good)
        columns["set_size"] = pa.array(inside.sum(axis=1).astype(np.int32), mask=~good)
    if answers.encoder_said is not None and answers.encoder_share is not None:
        there = np.broadcast_to(good[:, None], answers.encoder_said.shape)
        columns["encoder_said"] = _lists(there, [names.take(pa.array(answers.encoder_said[there]))], good)
        columns["encoder_share"] = _lists(there, [pa.array(answers.encoder_share[there])], good)
    if answers.strangeness is not None:
        columns |= {"nearest": nearest, "strangeness": _numbers(answers.strangeness, good)}
    return columns | _errors(answers, good)


def _errors(answers: Answers, good: Array) -> dict[str, pa.Array]:
    """What is wrong with the images that cannot be read."""
    found: dict[str, list[str]] = {"error": [""] * len(answers), "message": [""] * len(answers)}
    for row, bad in answers.bad.items():
        found["error"][row], found["message"][row] = bad.kind, bad.message
    return {name: pc.if_else(pa.array(good), pa.scalar(None, pa.string()), texts_of(column)) for name, column in found.items()}


def _evidence(answers: Answers) -> dict[str, pa.Array]:
    good, best, names = answers.good, answers.best(EVIDENCE_CLASSES), texts_of(answers.classes)
    listed_ones = np.broadcast_to(good[:, None], best.shape)
    sides = [_side(column, best)[listed_ones] for column in (answers.image, answers.text)]
    fields = [names.take(pa.array(best[listed_ones])), *(_numbers(side, ~np.isnan(side)) for side in sides)]
    columns = {"evidence": _lists(listed_ones, fields, good, EVIDENCE)}
    if answers.gamma is not None:
        columns["gamma"] = _numbers(answers.gamma, good)
    if answers.neighbors is not None:
        near, found = answers.neighbors, answers.neighbors.rows >= 0
        keys = near.rows[found].tolist()
        ids, classes = (texts_of([column[key] for key in keys]) for column in (near.sample_ids, near.class_names))
        affinities = pa.array(near.affinities[found].astype(np.float32))
        columns["neighbors"] = _lists(found, [ids, classes, affinities], good, NEIGHBOR)
    return columns


def _chances(answers: Answers, names: pa.Array, count: int | None) -> pa.Array:
    """The probabilities of all classes, or of the `count` most probable; none of an image that cannot be read."""
    shape = answers.probabilities.shape
    labels = np.broadcast_to(np.arange(shape[1]), shape) if count is None else answers.best(count)
    there = np.broadcast_to(answers.good[:, None], labels.shape)
    chances = np.take_along_axis(answers.probabilities, labels, 1)[there]
    return _lists(there, [names.take(pa.array(labels[there])), pa.array(chances.astype(np.float32))], np.ones(len(answers), bool), CHANCE)


def _lists(there: Array, fields: list[pa.Array], good: Array, kind: pa.DataType | None = None) -> pa.Array:
    """A column of lists (B): of each row those that are `there` (B, k) bool, of which `fields` hold the values; null where not `good`."""
    values = fields[0] if kind is None else pa.StructArray.from_arrays(fields, fields=list(kind))
    offsets = np.concatenate([[0], np.cumsum(there.sum(axis=1))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=pa.array(~good))


def _named(names: pa.Array, labels: Array, good: Array) -> pa.Array:
    return names.take(pa.array(labels, mask=~good))


def _numbers(column: Array, good: Array) -> pa.Array:
    return pa.array(column.astype(np.float64 if column.dtype == np.float64 else np.float32), mask=~good)


def _taken(column: Array, labels: Array) -> Array:
    """Of each row (B, N) the value of its label (B,)."""
    taken: Array = column[np.arange(len(labels)), labels]
    return taken


def _side(column: Array | None, labels: Array) -> Array:
    """A cache's class sums (B, k) float32 of labels (B, k); NaN for a method without this side."""
    if column is None:
        return np.full(labels.shape, np.nan, np.float32)
    side: Array = np.take_along_axis(column, labels, 1).astype(np.float32)
    return side
