"""The pools that adapters of a run have labelled, as a report shows them: counts of each class, and the answers that are least sure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xmap.store.artifacts.artifact import Artifact
from xmap.store.sql.connection import Connection
from xmap.store.sql.selects import literal

# Of a pool, the answers that a page lists: the least sure ones, and where it was asked, those that are none of the classes.
UNSURE, STRANGERS = 20, 20
COLUMNS = (
    "path, class, nearest, probability::double as probability, second, second_probability::double as second_probability, "
    "round(strangeness, 4) as strangeness"
)


def labelled(connection: Connection, kept: Sequence[Artifact]) -> list[dict[str, Any]]:
    """What the manifests of kept answers say, with `unsure` and `strangers`, rows of the view `answers`."""
    return [_pool(connection, answers) for answers in kept]


def _pool(connection: Connection, answers: Artifact) -> dict[str, Any]:
    facts = answers.summary
    own = f"from answers where artifact = {literal(f'{answers.path.parent.name}/{answers.path.name}')} and isfinite(probability)"
    unsure = f"select {COLUMNS} {own} and class <> '' order by probability - coalesce(second_probability, 0), path limit {UNSURE}"
    strangers = f"select {COLUMNS} {own} and class = '' order by strangeness desc, path limit {STRANGERS}"
    return {
        "name": answers.name,
        "created": answers.manifest["created"],
        **{name: facts.get(name) for name in ("samples", "bad", "known", "rejected")},
        "answered": sorted(facts["answered"].items(), key=lambda item: (-item[1], item[0])),
        "promises": list(facts["promises"]),
        "unsure": connection.query(unsure).to_pylist(),
        "strangers": connection.query(strangers).to_pylist() if facts.get("rejected") else [],
    }
