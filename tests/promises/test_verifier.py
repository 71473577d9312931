"""The verifier verified: a change of every kind of byte in a store is found, or proved to change no answer."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.promises.conftest import Commands, Control
from tests.promises.test_corruption import altered, flip
from tests.worlds.faults import Case
from tests.worlds.runs import RUN, is_memory, tree
from xmap.pipeline.upkeep.verify import units_of, verify
from xmap.store.artifacts.artifact import Store
from xmap.store.artifacts.locks import GATE, LOCKS
from xmap.store.disk.reserve import RESERVE
from xmap.store.memory.notes import HASHES


def places(size: int, edge: int, between: int) -> Iterator[int]:
    """Of a file its first bytes (magic numbers, headers), its last (footers, checksums) and some between (pages, tensors, fields)."""
    there = {*range(edge), *range(size - edge, size), *range(0, size, max(1, size // between))}
    yield from sorted(place for place in there if 0 <= place < size)


def damages(root: Path) -> list[str]:
    store = Store(root)
    units = units_of(store)
    return list(verify(store, units, len(units), lambda files: None).problems)


@pytest.mark.promise
@pytest.mark.failure("verifier")
@pytest.mark.parametrize(("edge", "between"), [(2, 2), pytest.param(12, 60, marks=pytest.mark.thorough)])
def test_a_change_of_any_kind_of_byte_is_found(control: Control, tmp_path: Path, case: Case, edge: int, between: int) -> None:
    store = tmp_path / "store"
    shutil.copytree(control.store, store)
    assert damages(store) == []
    files = [path for path in sorted(store.rglob("*")) if path.is_file() and not is_memory(path, store)]
    kinds = {path.suffix for path in files}
    assert {".json", ".parquet", ".faiss", ".safetensors"} <= kinds
    for suffix in sorted(kinds):
        # One file of each kind and stage: the reading is the same for all.
        for path in {path.relative_to(store).parts[0]: path for path in files if path.suffix == suffix}.values():
            for place in places(path.stat().st_size, edge, between):
                with altered(path, flip(place)), case():
                    assert damages(store), (path.name, place)


@pytest.mark.failure("verifier")
def test_a_change_of_what_is_no_artifact_changes_no_answer(
    commands: Commands, world: Path, control: Control, tmp_path: Path, case: Case
) -> None:
    store = tmp_path / "store"
    shutil.copytree(control.store, store)
    notes, lock, reserve = store / HASHES, store / LOCKS / GATE, store / RESERVE
    assert all(is_memory(path, store) for path in (notes, lock, reserve))
    for path, change in (
        (notes, 0),
        (notes, 20),
        (notes, 100),
        (notes, notes.stat().st_size // 2),
        (notes, notes.stat().st_size - 1),
        (lock, 0),
        (reserve, 0),
    ):
        if not path.stat().st_size:
            path.write_bytes(b"anything")
        with altered(path, flip(change)), case():
            ended = commands(*RUN, cwd=world, store=store)
            assert ended.code == 0, ended.stderr
            assert damages(store) == []
            assert tree(store) == control.tree
