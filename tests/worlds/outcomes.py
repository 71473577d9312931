"""What a history leaves behind and what it ought to: what a store holds, and how a run ended beside one from nothing."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.worlds.commands import call
from tests.worlds.extraction import Row, Told, stored_rows
from tests.worlds.runs import said_in
from xmap.pipeline.run.execute import run
from xmap.pipeline.settings.config import XmapConfig
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.artifacts.locks import LOCKS
from xmap.store.artifacts.manifest import MANIFEST
from xmap.store.errors import XmapError
from xmap.store.formats.packs import all_packs

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
    """How a run ended: what kept it from its end, in words, or its artifacts file by file; and how many images were encoded."""

    error: str
    tree: Mapping[str, Any]
    encoded: int


def ran(root: Path, config: XmapConfig) -> Outcome:
    """Run everything on a store."""
    told = Told()
    try:
        result = run(Store(root), config, told)
    except XmapError as error:
        return Outcome(str(error).replace(str(root), "STORE"), {}, _encoded(told))
    return Outcome("", _tree(root, result.artifacts.values()), _encoded(told))


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
    """What a store keeps for good: no lock, and nothing that it merely remembers."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return [path for path in files if path.relative_to(root).parts[0] != LOCKS and not path.name.startswith(SIDE)]


def verified(root: Path) -> list[str]:
    """What `xmap verify` finds damaged."""
    result = call("verify", "--store", root, "--json", "--quiet")
    found: list[str] = json.loads(result.stdout)["damaged"]
    assert result.exit_code == int(bool(found)), result.output
    return found


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
