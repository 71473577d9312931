"""Which test images a report lists, and all that each run says of them: answers, affinities and nearest cached images."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from xmap.store.formats.tables import Array
from xmap.store.sql.connection import Connection
from xmap.store.sql.questions import IMPROBABLE
from xmap.store.sql.selects import literal


def _rounded(value: str, digits: int) -> str:
    """SQL for a number that JSON can hold."""
    return f"case when isfinite({value}) then round({value}::double, {digits}) end"


def _each(column: str, value: str) -> str:
    return f"list_transform({column}, lambda e: {value})"


# What is listed of a sample for one method: names in the page, and SQL over predictions p and affinity a.
COLUMNS = {
    "predicted": "p.predicted",
    "probability": _rounded("p.probability", 4),
    "true": _rounded("p.true_probability", 4),
    "zero": "p.zero_shot",
    "margin": _rounded("a.margin", 3),
    "image": _rounded("a.affinity_image", 4),
    "text": _rounded("a.affinity_text", 4),
    "difference": _rounded("a.difference", 3),
    "agreement": _rounded("a.neighbor_agreement", 2),
    "top": "p.top5",
    "top_probability": _each("p.top5_probability", _rounded("e", 4)),
    "top_image": _each("p.top5_image", _rounded("e", 4)),
    "top_text": _each("p.top5_text", _rounded("e", 4)),
    "near": _each("a.neighbors", "e.sample_id"),
    "near_affinity": _each("a.neighbors", _rounded("e.affinity", 4)),
    "near_label": _each("a.neighbors", "e.label"),
}


def listed_ids(connection: Connection, artifacts: Sequence[str], seeds: Sequence[int], limit: int) -> tuple[list[str], int]:
    """The ids of at most `limit` test images of the evaluations, and how many there are in all.

    Where not all fit: half of them those with the smallest margin, half spread evenly over the others.
    """
    where = " or ".join(f"(artifact = {literal(path)} and seed = {seed})" for path, seed in zip(artifacts, seeds, strict=True))
    query = f"select sample_id, min(margin) as margin from affinity where split = 'test' and ({where}) group by 1 order by 2, 1"  # noqa: S608
    ids: list[str] = connection.query(query)["sample_id"].to_pylist()
    if len(ids) <= limit:
        return ids, len(ids)
    hardest = limit // 2
    spread = np.linspace(hardest, len(ids) - 1, limit - hardest).round().astype(int)
    return ids[:hardest] + [ids[number] for number in np.unique(spread)], len(ids)


def labels_of(connection: Connection, artifacts: Sequence[str], ids: Sequence[str]) -> list[int]:
    """The label of each listed sample."""
    paths = ", ".join(map(literal, artifacts))
    query = f"select distinct sample_id, label from predictions where artifact in ({paths}) and sample_id in ({_listed(ids)})"  # noqa: S608
    found = {row["sample_id"]: row["label"] for row in connection.query(query).to_pylist()}
    return [found[sample_id] for sample_id in ids]


def contents_of(connection: Connection, artifacts: Sequence[str], ids: Sequence[str]) -> dict[str, str]:
    """The content of each sample in the image features `artifacts`, where it is known and the same in all."""
    paths = ", ".join(map(literal, artifacts))
    query = f"""
select sample_id, any_value(content) as content from samples where artifact in ({paths}) and sample_id in ({_listed(ids)})
group by 1 having count(distinct content) = 1"""  # noqa: S608
    table = connection.query(query)
    return dict(zip(table["sample_id"].to_pylist(), table["content"].to_pylist(), strict=True))


def sentences(connection: Connection, caches: Collection[str]) -> dict[int, list[tuple[str, float]]]:
    """The sentences of each class with their mean weights in caches of these fingerprints, the heaviest first."""
    listed = ", ".join(map(literal, sorted(caches))) or "''"
    rows = connection.query(f"""
select label, sentence, avg(weight) as weight from sentences
where artifact in (select artifact from artifacts where fingerprint in ({listed}))
group by label, sentence order by label, weight desc, sentence""")  # noqa: S608
    found: dict[int, list[tuple[str, float]]] = {}
    for row in rows.to_pylist():
        found.setdefault(row["label"], []).append((row["sentence"], row["weight"]))
    return found


def suspects(connection: Connection, adapters: Sequence[str], limit: int) -> list[dict[str, Any]]:
    """At most `limit` training images whose labels are improbable: `sample`, `label`, its `probability`, and the classes `near` to it.

    The least probable first, by the artifacts `adapters` that saw them. Of adapters of before, those whose nearest cached images are all of
    another class; no probability is known.
    """
    if not adapters:
        return []
    here = f"artifact in ({', '.join(map(literal, adapters))}) and split = 'train'"
    # Agreement is that with the cache, which no epoch changes; the last epoch lists the neighbours.
    query = f"""
with probable as (
  select sample_id, label, avg(label_probability) as probability, arg_max(likely, likely_probability) as likely
  from out_of_sample where {here} group by all
), seen as (
  select sample_id, label, avg(margin) as margin, max(neighbor_agreement) as agreement
  from affinity where {here} and epoch <= 1 group by all
), suspects as (
  select * from seen left join probable using (sample_id, label) where coalesce(probability < {IMPROBABLE}, agreement = 0)
)
select s.sample_id as sample, s.label, {_rounded("s.probability", 6)} as probability, any_value(s.likely) as likely,
  list_distinct(flatten(list({_each("a.neighbors", "e.label")}))) as near
from suspects s join affinity a using (sample_id, label) where {here} and len(a.neighbors) > 0
group by s.sample_id, s.label, s.probability, s.margin order by s.probability, s.margin, s.sample_id limit {limit}"""  # noqa: S608
    return [_suspect(row) for row in connection.query(query).to_pylist()]


def _suspect(row: dict[str, Any]) -> dict[str, Any]:
    """The most probable class first among those that are near."""
    likely = row.pop("likely")
    others = sorted(set(row["near"]) - {row["label"], likely})
    return {**row, "near": others if likely in (None, row["label"]) else [likely, *others]}


def misleading(connection: Connection, artifact: str, limit: int) -> list[dict[str, Any]]:
    """At most `limit` cached images that supported most wrong answers of an evaluation, being near and of the class answered.

    Each `sample` with its `label`, how many answers were `wrong` and `right`, and as `taken` the class of most images so mistaken.
    """
    query = f"""
with votes as (
  select label, predicted, correct, unnest(neighbors) as near
  from affinity where artifact = {literal(artifact)} and split = 'test' and affinity_image is not null
)
select near.sample_id as sample, near.label as label, count(*) filter (not correct) as wrong, count(*) filter (correct) as "right",
  mode(label) filter (not correct) as taken
from votes where near.label = predicted group by near.sample_id, near.label having wrong > 0
order by wrong desc, "right", sample limit {limit}"""  # noqa: S608
    rows: list[dict[str, Any]] = connection.query(query).to_pylist()
    return rows


def answers(connection: Connection, artifact: str, seed: int, ids: Sequence[str]) -> dict[str, dict[str, list[Any]]]:
    """For each method of an evaluation, columns as long as `ids`: what it said with `seed`, None for a sample it did not see."""
    columns = ", ".join(f"{sql} as {name}" for name, sql in COLUMNS.items())
    query = f"""
select p.method, p.sample_id, {columns} from predictions p join affinity a using (artifact, method, seed, sample_id)
where p.artifact = {literal(artifact)} and p.seed = {seed} and a.split = 'test' and p.sample_id in ({_listed(ids)})"""  # noqa: S608
    places = {sample_id: place for place, sample_id in enumerate(ids)}
    found: dict[str, dict[str, list[Any]]] = {}
    for row in connection.query(query).to_pylist():
        table = found.setdefault(row["method"], {name: [None] * len(ids) for name in COLUMNS})
        for name in COLUMNS:
            table[name][places[row["sample_id"]]] = row[name]
    return found


def correctness(connection: Connection, artifact: str) -> tuple[list[str], dict[str, Array]]:
    """Sorted test images (T) of an evaluation, each its id and label, and for each method the share of seeds (T,) that had each right."""
    query = f"""
select method, sample_id || chr(10) || label as image, avg(correct::int) as share from affinity
where artifact = {literal(artifact)} and split = 'test' group by 1, 2 order by 1, 2"""  # noqa: S608
    table = connection.query(query)
    methods, shares = np.asarray(table["method"].to_pylist()), table["share"].to_numpy()
    names = list(dict.fromkeys(methods.tolist()))
    images = table["image"].to_pylist()
    return images[: len(images) // max(len(names), 1)], {name: shares[methods == name] for name in names}


def _listed(ids: Sequence[str]) -> str:
    return ", ".join(map(literal, ids)) or "NULL"
