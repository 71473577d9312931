"""Histories of a living data set and its store, as Hypothesis draws them: rules, and what has to hold after each."""

from __future__ import annotations

import ast
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.worlds.extraction import Row
from tests.worlds.faults import KILL, Case, Points, in_child
from tests.worlds.living import IMAGES, KINDS, LABELS, SETTINGS, Living, beginning, changed
from tests.worlds.outcomes import (
    NOTHING,
    SIDE,
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
    stored_files,
    verified,
)
from xmap.pipeline.settings.config import XmapConfig
from xmap.pipeline.upkeep.collect import in_use, remove, waste
from xmap.pipeline.upkeep.lineage import Lineage
from xmap.store.artifacts.artifact import Store
from xmap.store.artifacts.locks import SHARED
from xmap.store.artifacts.manifest import MANIFEST
from xmap.store.errors import XmapError
from xmap.store.formats.packs import BAD, KEY, Packs, pack_keys

NUMBER = st.integers(0, 59)
ANY_CHANGE = st.sampled_from([*IMAGES, *LABELS, *SETTINGS])


def flip(data: bytes, place: int) -> bytes:
    """With one other bit."""
    place %= len(data)
    return data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :]


HARMS: dict[str, Callable[[bytes, int], bytes]] = {"flip": flip, "cut": lambda data, place: data[: place % len(data)]}
LOSE = "lose"


class History(RuleBasedStateMachine):
    """A data set and its store. The model: which feature rows and artifacts the store has, from what runs from nothing say they need."""

    place: ClassVar[Path]
    model: ClassVar[Path]
    scratch: ClassVar[Scratch]
    case: ClassVar[Case]

    def __init__(self) -> None:
        super().__init__()
        shutil.rmtree(self.place, ignore_errors=True)
        self.stores = 0
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

    @initialize(form=st.sampled_from(KINDS))
    def begin(self, form: str) -> None:
        self.become(beginning(form))

    @rule(change=st.sampled_from([*IMAGES]), which=NUMBER, to=NUMBER)
    def images(self, change: str, which: int, to: int) -> None:
        self.become(changed(self.state, change, which, to))

    @rule(change=st.sampled_from([*LABELS]), which=NUMBER, to=NUMBER)
    def labels(self, change: str, which: int, to: int) -> None:
        self.become(changed(self.state, change, which, to))

    @rule(change=st.sampled_from([*SETTINGS]), which=NUMBER, to=NUMBER)
    def setting(self, change: str, which: int, to: int) -> None:
        self.become(changed(self.state, change, which, to))

    @rule(which=NUMBER)
    def back(self, which: int) -> None:
        self.become(self.states[which % len(self.states)])

    @rule(change=ANY_CHANGE, which=NUMBER, to=NUMBER, point=st.integers(0, 500), collect=st.booleans())
    def killed(self, change: str, which: int, to: int, point: int, collect: bool) -> None:
        """`kill -9` at a write point of the run; then, perhaps, `gc` before it is run again."""
        self.become(changed(self.state, change, which, to))
        outcome, wanted = self.control()

        def work() -> None:
            Points(point, KILL).install()
            assert refusal(self.store, self.config) == outcome.error

        assert in_child(work) in (0, -signal.SIGKILL)
        after = Shelf.of(self.store)
        assert self.shelf <= after <= as_here(after, wanted) | self.shelf | wanted
        self.shelf = after
        if collect:
            self.collect(1)

    @rule(keep=st.sampled_from([None, 1, 2]))
    def collect(self, keep: int | None) -> None:
        """`gc`: whatever is in use stays, and all that it was made from."""
        store = Store(self.store)
        try:
            used = in_use(store, self.config)
        except XmapError:
            assert self.control()[0].error
            used = []
        provided = Lineage.of(store.artifacts()).inputs
        remove(store, used, keep=keep)
        assert waste(store, used, keep=keep) == []
        after = Shelf.of(self.store)
        assert after <= self.shelf
        for identity in used:
            folder = f"{identity.stage}/{identity.folder}"
            assert (folder in after.manifests) == (folder in self.shelf.manifests), folder
        left = Lineage.of(store.artifacts()).inputs
        for digest, inputs in left.items():
            assert {name for name, found in inputs.items() if found} == {name for name, found in provided[digest].items() if found}
        needed = set().union(*(rows for folder, rows in self.referred.items() if folder in after.manifests))
        there = {(maker, row) for maker, rows in after.rows.items() for row in rows}
        assert needed & self.rows() <= there
        self.shelf = after

    @rule(which=st.integers(0, 9999), place=st.integers(0, 99_999), how=st.sampled_from([*HARMS, LOSE]))
    def harm(self, which: int, place: int, how: str) -> None:
        """A stored file is damaged or lost: `verify` names exactly it, and what it says to delete is deleted."""
        path, damages = self.damage(stored_files(self.store), which, place, how)
        # What is simply not there would be made again.
        refused = refusal(self.store, self.config) if damages else ""
        assert refused in ("", self.control()[0].error) or path.relative_to(self.store).as_posix() in refused, refused
        self.heed(damages, path)

    @rule(which=st.integers(0, 9999), place=st.integers(0, 99_999), how=st.sampled_from([*HARMS]), change=ANY_CHANGE, to=NUMBER)
    def ignore(self, which: int, place: int, how: str, change: str, to: int) -> None:
        """A damaged table does not come to light before the data has changed: a run of that ends as it ought to, or names it."""
        tables = [path for path in stored_files(self.store) if path.relative_to(self.store).parts[0] in (SHARED, "images", "texts")]
        path, before = self.damage([path for path in tables if path.suffix == ".parquet"], which, place, how)
        self.become(changed(self.state, change, which, to))
        outcome, wanted = self.control()
        here = ran(self.store, self.config)
        name = path.relative_to(self.store).as_posix()
        assert here.error == outcome.error or name in here.error, here.error
        differs = {} if here.error else differing(here.tree, outcome.tree)
        assert differs.keys() <= {name}, (name, differs)
        damages = verified(self.store)
        assert {damage.split(" ")[0] for damage in damages} <= {damage.split(" ")[0] for damage in before}
        self.heed(damages, path, wanted)

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
        """The image features that refer to a row in a file."""
        if path.parent.parent.name != SHARED or path.name.startswith(BAD):
            return []
        packs = Packs(self.store, path.parent.name)
        keys = {key.tobytes().ljust(KEY.itemsize, b"\0") for key in pack_keys(packs, path)}
        hit = (folder for folder, rows in self.referred.items() if any(maker == packs.name and _key(row) in keys for maker, row in rows))
        return [self.store / folder for folder in hit if folder in self.shelf.manifests]

    @rule()
    def move_store(self) -> None:
        """The store is copied elsewhere, and it goes on there."""
        old = self.store
        self.stores += 1
        shutil.copytree(old, self.store)
        shutil.rmtree(old)
        self.settled = False

    @rule()
    def forget(self) -> None:
        """What the store merely remembers is lost."""
        (self.store / SIDE).unlink(missing_ok=True)
        self.settled = False

    def teardown(self) -> None:
        if self.settled:
            assert asked(self.store) == referring_rows(self.store)

    def control(self) -> tuple[Outcome, Shelf]:
        return self.scratch(self.state, self.config)

    def rows(self) -> set[tuple[str, Row]]:
        return {(maker, row) for maker, rows in self.shelf.rows.items() for row in rows}

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
        with self.case():
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


def _key(row: Row) -> bytes:
    return bytes.fromhex(row[0]) + row[1].to_bytes(2, "big")


def as_here(after: Shelf, wanted: Shelf) -> Shelf:
    """The manifests of what was wanted, as they are here: times differ."""
    return Shelf({}, {}, {folder: data for folder, data in after.manifests.items() if folder in wanted.manifests})


def replay(history: History, printed: str) -> None:
    """Do what Hypothesis prints of a failing example: a call a line, with plain words and numbers."""
    for line in printed.strip().splitlines():
        step = ast.parse(line.strip(), mode="eval").body
        if isinstance(step, ast.Call) and isinstance(step.func, ast.Attribute):
            getattr(history, step.func.attr)(**{word.arg or "": ast.literal_eval(word.value) for word in step.keywords})
            history.holds()
