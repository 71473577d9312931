"""A living data set and its store beside a model of what the store has been given: what has to hold after each step of a history."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from hypothesis.stateful import RuleBasedStateMachine, invariant

from tests.worlds.extraction import Row
from tests.worlds.faults import KILL, Case, Points, in_child
from tests.worlds.living import KINDS, Living, beginning
from tests.worlds.outcomes import (
    NOTHING,
    Outcome,
    Scratch,
    Shelf,
    asked,
    delete,
    differing,
    named_in,
    ran,
    referring_rows,
    refusal,
    verified,
)
from xmap.pipeline.settings.config import XmapConfig
from xmap.store.artifacts.locks import SHARED
from xmap.store.artifacts.manifest import MANIFEST
from xmap.store.formats.feature_rows import KEY
from xmap.store.formats.packs import BAD, Packs, pack_keys


def flip(data: bytes, place: int) -> bytes:
    """With one other bit."""
    place %= len(data)
    return data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :]


HARMS: dict[str, Callable[[bytes, int], bytes]] = {"flip": flip, "cut": lambda data, place: data[: place % len(data)]}
LOSE = "lose"


class LivingStore(RuleBasedStateMachine):
    """A data set and its store. The model: which feature rows and artifacts the store has, from what runs from nothing say they need."""

    place: ClassVar[Path]
    model: ClassVar[Path]
    scratch: ClassVar[Scratch]
    case: ClassVar[Case]

    def __init__(self) -> None:
        super().__init__()
        shutil.rmtree(self.place, ignore_errors=True)
        self.stores = 0
        self.steps: list[str] = []
        self.state, self.states = beginning(KINDS[0]), list[Living]()
        self.shelf, self.settled = NOTHING, False
        # The feature rows that image features refer to, by folder.
        self.referred: dict[str, set[tuple[str, Row]]] = {}

    @property
    def store(self) -> Path:
        return self.place / f"store-{self.stores}"

    @property
    def config(self) -> XmapConfig:
        return self.state.config(self.place, self.model)

    def become(self, state: Living) -> None:
        self.state, self.settled = state, False
        state.put(self.place)

    def ends_as_it_ought_to(self, state: Living) -> Callable[[], None]:
        config = state.config(self.place, self.model)
        outcome = self.scratch(state, config)[0]

        def work() -> None:
            assert refusal(self.store, config) == outcome.error

        return work

    def killing(self, work: Callable[[], object], point: int) -> None:
        """Do it in a process that is killed at a write point, if it comes so far."""

        def killed() -> None:
            Points(point, KILL).install()
            work()

        assert in_child(killed) in (0, -signal.SIGKILL)
        assert verified(self.store) == []

    def damage(self, files: list[Path], which: int, place: int, how: str) -> tuple[Path, list[str]]:
        """Damage one of the files: which, and what `verify` finds, which is just that."""
        path = files[which % len(files)]
        hit = self.referring(path)
        data = path.read_bytes()
        path.unlink() if how == LOSE else path.write_bytes(HARMS[how](data, place))
        damages = verified(self.store)
        expected = self.expected(path, how == LOSE, hit)
        assert sorted(damage.split(" ")[0] for damage in damages) == sorted(map(str, expected)), (damages, expected)
        named = set().union(*(named_in(self.store, damage) for damage in damages))
        assert {folder / MANIFEST for folder in hit} <= named
        return path, damages

    def heed(self, damages: list[str], path: Path, wanted: Shelf = NOTHING) -> None:
        """Delete what damages say; nothing else is gone, though what was `wanted` may have been made."""
        named = set().union(*(named_in(self.store, damage) for damage in damages))
        delete(named)
        after = Shelf.of(self.store)
        assert after <= as_here(after, wanted) | self.shelf | wanted
        gone = {self.store / folder for folder in self.shelf.manifests.keys() - after.manifests.keys()}
        assert gone <= {found.parent if found.name == MANIFEST else found for found in (*named, path)}
        self.shelf, self.settled = after, False

    def expected(self, path: Path, lost: bool, hit: list[Path]) -> list[Path]:
        """What `verify` has to name."""
        stage, name = path.relative_to(self.store).parts[:2]
        if stage == SHARED:
            return hit if lost else [path]
        # What has no manifest is no artifact, but what a build left that has to be done again.
        return [path] if (self.store / stage / name / MANIFEST).exists() else []

    def referring(self, path: Path) -> list[Path]:
        """The image features that refer to a row that no other file has."""
        if path.parent.parent.name != SHARED or path.name.startswith(BAD):
            return []
        packs = Packs(self.store, path.parent.name)
        keys = _keys(packs, path).difference(*(_keys(packs, other) for other in packs.paths() if other != path))
        hit = (folder for folder, rows in self.referred.items() if any(maker == packs.name and _key(row) in keys for maker, row in rows))
        return [self.store / folder for folder in hit if folder in self.shelf.manifests]

    def teardown(self) -> None:
        if self.settled:
            assert asked(self.store) == referring_rows(self.store)

    def control(self) -> tuple[Outcome, Shelf]:
        return self.scratch(self.state, self.config)

    def rows(self) -> set[tuple[str, Row]]:
        return {(maker, row) for maker, rows in self.shelf.rows.items() for row in rows}

    @contextmanager
    def shown(self) -> Iterator[None]:
        """A failure prints the history so far, as it is replayed."""
        try:
            yield
        except Exception:
            print("a history that does not hold:", *self.steps, sep="\n")
            raise

    @invariant()
    def holds(self) -> None:
        """A run's outcome is that of a run from nothing, it encodes what is new, and nothing is lost or damaged."""
        if self.settled:
            return
        self.state.put(self.place)
        outcome, wanted = self.control()
        images = {folder for folder in wanted.manifests if folder.startswith("images/")}
        if images & self.shelf.manifests.keys():
            # Image features that are there are not looked into again, whatever was collected or lost beside them.
            wanted = replace(wanted, rows={}, bad={})
        with self.shown(), self.case():
            here = ran(self.store, self.config)
            assert here.error == outcome.error
            assert differing(here.tree, outcome.tree) == {}
            assert here.encoded == len(self.shelf.lacking(wanted))
            assert here.error or here.told == here.encoded
            after = Shelf.of(self.store)
            expected = self.shelf | wanted
            assert self.shelf <= after
            assert (after.rows, after.bad, after.manifests.keys()) == (expected.rows, expected.bad, expected.manifests.keys())
            assert verified(self.store) == []
        rows = {(maker, row) for maker, found in self.control()[1].rows.items() for row in found}
        self.referred |= dict.fromkeys(images, rows)
        self.shelf, self.settled = after, True
        self.states.append(self.state)


def _keys(packs: Packs, path: Path) -> set[bytes]:
    return {key.tobytes().ljust(KEY.itemsize, b"\0") for key in pack_keys(packs, path)}


def _key(row: Row) -> bytes:
    return bytes.fromhex(row[0]) + row[1].to_bytes(2, "big")


def as_here(after: Shelf, wanted: Shelf) -> Shelf:
    """The manifests of what was wanted, as they are here: times differ."""
    return Shelf({}, {}, {folder: data for folder, data in after.manifests.items() if folder in wanted.manifests})
