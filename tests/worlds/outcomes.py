"""What a history leaves behind and what it ought to: what a store holds, and how a run ended beside one from nothing."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.worlds.commands import call
from tests.worlds.extraction import Row, Told, stored_rows
from tests.worlds.runs import said_in
from xmap.pipeline.run.execute import RunResult, run
from xmap.pipeline.settings.config import XmapConfig
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.artifacts.locks import LOCKS
from xmap.store.artifacts.manifest import MANIFEST
from xmap.store.errors import XmapError
from xmap.store.formats.packs import all_packs
from xmap.store.sql.connection import connect

# What a manifest says of how its artifact came to be, and of the data around it, which is no part of its identity.
TOLD = ("command", "source", "remarks")
SIDE = "hashes.sqlite"
Rows = Mapping[str, Mapping[Row, bytes]]


@dataclass(frozen=True)
class Shelf:
    """What a store holds: feature rows and bad contents by maker, manifests by folder."""

    rows: Rows
    bad: Mapping[str, frozenset[str]]
    manifests: Mapping[str, bytes]

    @classmethod
    def of(cls, root: Path) -> Shelf:
        store = Store(root)
        manifests = {path.parent.relative_to(root).as_posix(): path.read_bytes() for path in root.glob(f"*/*/{MANIFEST}")}
        bad = {packs.name: frozenset(found) for packs in all_packs(store) if (found := packs.reasons())}
        return cls({maker: rows for maker, rows in stored_rows(store).items() if rows}, bad, manifests)

    def __or__(self, other: Shelf) -> Shelf:
        """What both hold; where they differ, as here."""
        rows = {maker: {**other.rows.get(maker, {}), **self.rows.get(maker, {})} for maker in self.rows.keys() | other.rows.keys()}
        bad = {maker: self.bad.get(maker, frozenset()) | other.bad.get(maker, frozenset()) for maker in self.bad.keys() | other.bad.keys()}
        return Shelf(rows, bad, {**other.manifests, **self.manifests})

    def __le__(self, other: Shelf) -> bool:
        """Whether the other holds all of this, the same bytes."""
        rows = all(rows.items() <= other.rows.get(maker, {}).items() for maker, rows in self.rows.items())
        bad = all(found <= other.bad.get(maker, frozenset()) for maker, found in self.bad.items())
        return rows and bad and self.manifests.items() <= other.manifests.items()

    def lacking(self, other: Shelf) -> set[str]:
        """The contents that an extraction of what the other holds would look at."""
        known = {maker: rows.keys() for maker, rows in self.rows.items()}
        new = {content for maker, rows in other.rows.items() for content, view in rows if (content, view) not in known.get(maker, ())}
        return new | {content for maker, found in other.bad.items() for content in found - self.bad.get(maker, frozenset())}


NOTHING = Shelf({}, {}, {})


@dataclass(frozen=True)
class Outcome:
    """How a run ended: what kept it from its end, in words, or its artifacts file by file; how many images were encoded.

    `told` is how many it had said that it would encode.
    """

    error: str
    tree: Mapping[str, Any]
    encoded: int
    told: int | None = None


def ran(root: Path, config: XmapConfig) -> Outcome:
    """Run everything on a store."""
    told = Told()
    result = _run(root, config, told)
    if isinstance(result, str):
        return Outcome(result, {}, _encoded(told))
    # Which query shows the pairs of this run depends on what else the store holds.
    warnings = tuple(re.sub("`xmap sql .*?`", "`xmap sql leaks`", warning) for warning in result.warnings)
    tree = _tree(root, result.artifacts.values()) | {"doubts": {"data": result.doubts, "results": warnings}}
    return Outcome("", tree, _encoded(told), result.changes.to_encode if result.changes else None)


def refusal(root: Path, config: XmapConfig) -> str:
    """What keeps a run from its end, in words; empty for one that ends well."""
    result = _run(root, config, Told())
    return result if isinstance(result, str) else ""


def _run(root: Path, config: XmapConfig, told: Told) -> RunResult | str:
    try:
        return run(Store(root), config, told)
    except XmapError as error:
        return str(error).replace(str(root), "STORE")


def _encoded(told: Told) -> int:
    return sum(total - done for what, total, done in told.starts if what == "encode images")


def _tree(root: Path, artifacts: Iterable[Artifact]) -> dict[str, Any]:
    files = [path for artifact in artifacts for path in sorted(artifact.path.rglob("*")) if path.is_file()]
    return {path.relative_to(root).as_posix(): _plain(said_in(path)) if path.name == MANIFEST else said_in(path) for path in files}


def _plain(manifest: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in manifest.items() if name not in TOLD}
    return {**kept, "summary": {name: value for name, value in manifest["summary"].items() if name not in TOLD}}


class Scratch:
    """Runs from nothing: each state is run once, in a store that is then thrown away."""

    def __init__(self, place: Path) -> None:
        self._place, self._known = place, dict[Any, tuple[Outcome, Shelf]]()

    def __call__(self, state: Any, config: XmapConfig) -> tuple[Outcome, Shelf]:
        if state not in self._known:
            outcome = ran(self._place, config)
            self._known[state] = outcome, Shelf.of(self._place)
            shutil.rmtree(self._place, ignore_errors=True)
        return self._known[state]


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Where two trees differ; of tables and the like only that they do."""
    names = [name for name in sorted(one.keys() | other.keys()) if one.get(name) != other.get(name)]
    return {name: tuple(found if isinstance(found := tree.get(name), dict) else type(found) for tree in (one, other)) for name in names}


def stored_files(root: Path) -> list[Path]:
    """What a store keeps for good: no lock, nothing half written, and nothing that it merely remembers."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return [path for path in files if path.relative_to(root).parts[0] != LOCKS and not path.name.startswith((SIDE, "."))]


def verified(root: Path) -> list[str]:
    """What `xmap verify` finds damaged."""
    result = call("verify", "--store", root, "--json", "--quiet")
    found: list[str] = json.loads(result.stdout)["damaged"]
    assert result.exit_code == int(bool(found)), result.output
    return found


def asked(root: Path) -> dict[str, int]:
    """How many rows SQL shows in `features` of each folder of image features."""
    with connect(root) as connection:
        rows = connection.query("select artifact, count(*) as n from features group by all").to_pylist()
    return {row["artifact"]: row["n"] for row in rows}


def referring_rows(root: Path) -> dict[str, int]:
    """How many rows the tables of each folder of image features have."""
    tables = [path for path in root.glob("images/*/*-*.parquet") if (path.parent / MANIFEST).exists()]
    counts = Counter[str]()
    for path in tables:
        counts[path.parent.relative_to(root).as_posix()] += pq.read_metadata(path).num_rows
    return {name: count for name, count in counts.items() if count}


def named_in(root: Path, damage: str) -> set[Path]:
    """What the remedy of a damage says to delete."""
    damaged, _, remedy = damage.partition("; ")
    first = {_path(damaged.split(" ")[0])} if "delete this file" in remedy or "delete it" in remedy else set()
    return first | {_path(name) for name in re.findall(rf"{re.escape(str(root))}/[^\s,;]+", remedy.partition("run `")[0])}


def _path(name: str) -> Path:
    return Path(name.rstrip("."))


def delete(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
