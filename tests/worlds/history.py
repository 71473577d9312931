"""Histories of a living data set and its store, as Hypothesis draws them: rules, by which they go on."""

from __future__ import annotations

import ast
import functools
import shutil
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from tests.worlds.faults import at_once
from tests.worlds.living import IMAGES, KINDS, LABELS, SETTINGS, beginning, changed
from tests.worlds.living_store import HARMS, LOSE, LivingStore, as_here
from tests.worlds.outcomes import (
    SIDE,
    Shelf,
    differing,
    ran,
    refusal,
    stored_files,
    verified,
)
from xmap.pipeline.upkeep.collect import in_use, remove, waste
from xmap.pipeline.upkeep.compact import compact, scattered
from xmap.pipeline.upkeep.lineage import Lineage
from xmap.store.artifacts.artifact import Store
from xmap.store.artifacts.locks import SHARED
from xmap.store.errors import XmapError

NUMBER = st.integers(0, 59)
ANY_CHANGE = st.sampled_from([*IMAGES, *LABELS, *SETTINGS])


def step(**drawn: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A rule whose calls are written down, so that a history can be shown and replayed even where it does not fail every time."""

    def decorated(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def done(history: LivingStore, **words: Any) -> None:
            history.steps.append(f"state.{function.__name__}({', '.join(f'{name}={value!r}' for name, value in words.items())})")
            with history.shown():
                function(history, **words)

        return rule(**drawn)(done)

    return decorated


class History(LivingStore):
    """What happens to data and store."""

    @initialize(form=st.sampled_from(KINDS))
    def begin(self, form: str) -> None:
        self.steps.append(f"state.begin(form={form!r})")
        self.become(beginning(form))

    @step(change=st.sampled_from([*IMAGES]), which=NUMBER, to=NUMBER)
    def images(self, change: str, which: int, to: int) -> None:
        self.become(changed(self.state, change, which, to))

    @step(change=st.sampled_from([*LABELS]), which=NUMBER, to=NUMBER)
    def labels(self, change: str, which: int, to: int) -> None:
        self.become(changed(self.state, change, which, to))

    @step(change=st.sampled_from([*SETTINGS]), which=NUMBER, to=NUMBER)
    def setting(self, change: str, which: int, to: int) -> None:
        self.become(changed(self.state, change, which, to))

    @step(which=NUMBER)
    def back(self, which: int) -> None:
        self.become(self.states[which % len(self.states)])

    @step(change=ANY_CHANGE, which=NUMBER, to=NUMBER, point=st.integers(0, 500), collect=st.booleans())
    def killed(self, change: str, which: int, to: int, point: int, collect: bool) -> None:
        """`kill -9` at a write point of the run; then, perhaps, `gc` before it is run again."""
        self.become(changed(self.state, change, which, to))
        wanted = self.control()[1]
        self.killing(self.ends_as_it_ought_to(self.state), point)
        after = Shelf.of(self.store)
        assert self.shelf <= after <= as_here(after, wanted) | self.shelf | wanted
        self.shelf = after
        if collect:
            self.collected(1, None)

    @step(which=NUMBER, to=NUMBER)
    def at_once(self, which: int, to: int) -> None:
        """Two runs with different settings in one store, at the same time."""
        other = changed(self.state, "set", which, to)
        wanted = self.control()[1] | self.scratch(other, other.config(self.place, self.model))[1]
        assert at_once(self.ends_as_it_ought_to(self.state), self.ends_as_it_ought_to(other)) == [0, 0]
        after, expected = Shelf.of(self.store), self.shelf | wanted
        assert self.shelf <= after
        assert (after.rows, after.manifests.keys()) == (expected.rows, expected.manifests.keys())
        self.shelf = after
        self.become(other)

    @step(keep=st.sampled_from([None, 1, 2]), point=st.none() | st.integers(0, 60))
    def collect(self, keep: int | None, point: int | None) -> None:
        """`gc`, perhaps killed."""
        self.collected(keep, point)

    def collected(self, keep: int | None, point: int | None) -> None:
        """What is in use stays, and all that it was made from."""
        store = Store(self.store)
        try:
            used = in_use(store, self.config)
        except XmapError:
            assert self.control()[0].error
            used = []
        provided = Lineage.of(store.artifacts()).inputs
        if point is None:
            remove(store, used, keep=keep)
            assert waste(store, used, keep=keep) == []
        else:
            self.killing(lambda: remove(store, used, keep=keep), point)
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

    @step(point=st.none() | st.integers(0, 60))
    def compact(self, point: int | None) -> None:
        """Packs of few rows are joined, perhaps by a process that is killed: each row is there as it was."""
        store = Store(self.store)
        if point is None:
            compact(store)
            assert scattered(store) == []
        else:
            self.killing(lambda: compact(store), point)
        assert Shelf.of(self.store) == self.shelf
        self.settled = False

    @step(which=st.integers(0, 9999), place=st.integers(0, 99_999), how=st.sampled_from([*HARMS, LOSE]))
    def harm(self, which: int, place: int, how: str) -> None:
        """A stored file is damaged or lost: `verify` names exactly it, and what it says to delete is deleted."""
        path, damages = self.damage(stored_files(self.store), which, place, how)
        # What is simply not there would be made again.
        refused = refusal(self.store, self.config) if damages else ""
        assert refused in ("", self.control()[0].error) or path.relative_to(self.store).as_posix() in refused, refused
        self.heed(damages, path)

    @step(which=st.integers(0, 9999), place=st.integers(0, 99_999), how=st.sampled_from([*HARMS]), change=ANY_CHANGE, to=NUMBER)
    def ignore(self, which: int, place: int, how: str, change: str, to: int) -> None:
        """A damaged table does not come to light before the data has changed: a run of that ends as it ought to, or names it."""
        tables = [path for path in stored_files(self.store) if path.relative_to(self.store).parts[0] in (SHARED, "images", "texts")]
        path, before = self.damage([path for path in tables if path.suffix == ".parquet"], which, place, how)
        self.become(changed(self.state, change, which, to))
        outcome, wanted = self.control()
        here = ran(self.store, self.config)
        name = path.relative_to(self.store).as_posix()
        # Rows that are not there are told of their folder: which file held them, `verify` finds.
        told = name in here.error or (path.parent.relative_to(self.store).as_posix() in here.error and "run `xmap verify`" in here.error)
        assert told or here.error == outcome.error, (name, here.error)
        differs = {} if here.error else differing(here.tree, outcome.tree)
        assert differs.keys() <= {name}, (name, differs)
        damages = verified(self.store)
        assert {damage.split(" ")[0] for damage in damages} <= {damage.split(" ")[0] for damage in before}
        self.heed(damages, path, wanted)

    @step()
    def move_store(self) -> None:
        """The store is copied elsewhere, and it goes on there."""
        old = self.store
        self.stores += 1
        shutil.copytree(old, self.store)
        shutil.rmtree(old)
        self.settled = False

    @step(place=st.integers(0, 99_999), how=st.sampled_from([*HARMS, LOSE]))
    def forget(self, place: int, how: str) -> None:
        """What the store merely remembers is lost or damaged, which nobody need be told."""
        side = self.store / SIDE
        if how != LOSE and side.exists():
            side.write_bytes(HARMS[how](side.read_bytes(), place))
        else:
            side.unlink(missing_ok=True)
        self.settled = False


def replay(history: History, printed: str) -> None:
    """Do what Hypothesis prints of a failing example: a call a line, with plain words and numbers."""
    for line in printed.strip().splitlines():
        step = ast.parse(line.strip(), mode="eval").body
        if isinstance(step, ast.Call) and isinstance(step.func, ast.Attribute):
            getattr(history, step.func.attr)(**{word.arg or "": ast.literal_eval(word.value) for word in step.keywords})
            history.holds()
