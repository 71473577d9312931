"""The images that are there twice, as a report shows them: counts, and the first pairs side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xmap.store.artifacts.artifact import Artifact
from xmap.store.sql.connection import Connection
from xmap.store.sql.selects import literal

# Pairs that a page shows: those between splits first, for they make its numbers doubtful.
MOST = 60


def twice(connection: Connection, pairs: Artifact | None) -> dict[str, Any] | None:
    """The `threshold`, `leaks` as the search counted them, how many pairs are within a split, and the first of all pairs.

    None of an evaluation from before they were looked for.
    """
    if pairs is None:
        return None
    query = f"""
select split <> other_split as leak, split, sample_id as sample, label, other_split, other_id as other, other_label, exact,
  round(cosine::double, 4) as cosine
from pairs where artifact = {literal(f"{pairs.path.parent.name}/{pairs.path.name}")} and isfinite(cosine)
order by leak desc, exact desc, cosine desc, sample, other limit {MOST}"""  # noqa: S608
    facts = {name: pairs.summary.get(name) for name in ("threshold", "leaks", "duplicates")}
    return {**facts, "rows": connection.query(query).to_pylist()}


def pictured(found: Mapping[str, Any] | None) -> list[str]:
    """The images of the pairs that are shown."""
    return [row[side] for row in (found or {}).get("rows", ()) for side in ("sample", "other")]
