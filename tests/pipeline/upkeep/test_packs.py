"""Feature rows that artifacts share: a pack stays while one row of it is referred to, and what is wrong with packs is told by name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stages.fewshot.test_contents import rows_of, stored
from tests.worlds.few_shot import World
from xmap.pipeline.upkeep.collect import UNREFERENCED, remove, waste
from xmap.pipeline.upkeep.packs import wrong
from xmap.store.artifacts.artifact import Artifact
from xmap.store.artifacts.identity import Identity
from xmap.store.artifacts.manifest import MANIFEST
from xmap.store.formats.features import read_images
from xmap.store.formats.packs import all_packs

Row = tuple[str, int, str]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def files(world: World) -> set[Path]:
    return {path for packs in all_packs(world.store) for path in packs.paths()}


def needs(images: Artifact) -> Identity:
    return Identity(images.stage, images.name, dict(images.fields))


def added(world: World, rows: list[Row], views: int = 1) -> tuple[Artifact, set[Path]]:
    """Image features of these samples, and the packs that they came with."""
    before = files(world)
    return stored(world, {"train": rows}, views), files(world) - before


def test_a_pack_goes_with_the_last_that_refers_to_it(world: World) -> None:
    rows = rows_of("train", 2)
    first, packs = added(world, rows)
    # Relabelled and renamed: the same contents.
    second, more = added(world, [(f"other {name}", 3 - label, data) for name, label, data in rows])
    assert (len(packs), more) == (1, set())
    assert [(found.path, found.why) for found in remove(world.store, [needs(second)])] == [(first.path, UNREFERENCED)]
    assert files(world) == packs
    assert len(read_images(second.files(prefix="train-"))) == 8
    gone = remove(world.store)
    assert {found.path for found in gone} == {second.path, *packs}
    assert not list((world.store.root / "features").glob("*"))


def test_views_that_nothing_refers_to_go_and_the_plain_ones_stay(world: World) -> None:
    rows = rows_of("train", 2)
    plain, kept = added(world, rows)
    _, more = added(world, rows, views=3)
    remove(world.store, [needs(plain)])
    assert (files(world), len(more)) == (kept, 1)


@settings(max_examples=15)
@given(st.lists(st.sets(st.integers(0, 9), min_size=1), min_size=1, max_size=5), st.data())
def test_every_row_that_is_referred_to_stays(tmp_path_factory: pytest.TempPathFactory, sets: list[set[int]], data: st.DataObject) -> None:
    world = World(tmp_path_factory.mktemp("store"))
    made = []
    for number, contents in enumerate(sets):
        # Names differ, so that each is an artifact of its own.
        made.append(stored(world, {"train": [(f"{number}/{content}", content % 4, f"image {content}") for content in sorted(contents)]}))
    kept = data.draw(st.lists(st.sampled_from(range(len(made))), unique=True))
    before = {number: read_images(made[number].files(prefix="train-")).features.tobytes() for number in kept}
    remove(world.store, [needs(made[number]) for number in kept])
    assert {artifact.path for artifact in world.store.artifacts()} == {made[number].path for number in kept}
    assert before == {number: read_images(made[number].files(prefix="train-")).features.tobytes() for number in kept}
    assert wrong(world.store) == []
    assert bool(files(world)) == bool(kept)


def test_where_it_cannot_be_told_what_is_needed_all_stays(world: World) -> None:
    kept, packs = added(world, rows_of("train", 2))
    _, more = added(world, rows_of("train", 4))
    table = kept.file("train-00000.parquet")
    sound = table.read_bytes()
    table.write_bytes(sound[:-1])
    assert not {found.path for found in waste(world.store, [needs(kept)])} & (packs | more)
    table.write_bytes(sound)
    manifest = kept.path / MANIFEST
    data = manifest.read_bytes()
    manifest.write_bytes(data[:-2])
    assert not {found.path for found in waste(world.store)} & (packs | more)
    manifest.unlink()
    # Features that the settings want and that are not there yet may have some of their rows.
    assert not {found.path for found in waste(world.store, [needs(kept)])} & (packs | more)
    manifest.write_bytes(data)
    assert {found.path for found in waste(world.store, [needs(kept)])} & (packs | more) == more


def test_what_is_damaged_is_named_and_nothing_else(world: World) -> None:
    first, (pack,) = added(world, rows_of("train", 2))
    second, (other,) = added(world, rows_of("train", 3))
    assert wrong(world.store) == []
    data = pack.read_bytes()
    pack.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    (found,) = wrong(world.store)
    assert (found.path, found.problem) == (str(pack), "its bytes differ from those written")
    for artifact in (first, second):
        assert str(artifact.path / MANIFEST) in str(found)
    pack.write_bytes(data)
    other.unlink()
    lost = wrong(world.store)
    assert [(damage.path, damage.problem) for damage in lost] == [(str(second.path), "4 rows of features that it refers to are not there")]
    assert str(second.path / MANIFEST) in str(lost[0])


STRAYS: dict[str, Callable[[Path], object]] = {
    "note.txt": lambda path: path.write_text("mine"),
    "pipe": os.mkfifo,
    "link": lambda path: path.symlink_to("/etc"),
    "empty": Path.mkdir,
    f"{'0' * 64}.parquet.bak": lambda path: path.write_text("copied"),
}


@pytest.mark.timeout(60)
def test_what_does_not_belong_among_rows_is_named_and_goes_where_nothing_is_lost(world: World) -> None:
    kept, (pack,) = added(world, rows_of("train", 2))
    odd = [folder / name for folder in (world.store.root / "features", pack.parent) for name in STRAYS]
    for path in odd:
        STRAYS[path.name](path)
    full = world.store.root / "features/photos"
    full.mkdir()
    for path in (full / "mine.jpg", pack.parent / ".hidden", full.parent / ".DS_Store"):
        path.write_text("mine")
    read: list[int] = []
    found = wrong(world.store, None, read.append)
    assert {Path(damage.path) for damage in found} == {*odd, full}
    assert {damage.problem for damage in found} == {"it is no file of feature rows"}
    assert sum(read) == 1
    shown = waste(world.store, [needs(kept)])
    assert {entry.path for entry in shown} == set(odd)
    assert max(entry.bytes for entry in shown) < 10_000
    remove(world.store, [needs(kept)])
    assert [Path(damage.path) for damage in wrong(world.store)] == [full]
    assert pack.exists()
    assert list(Path("/etc").iterdir())
    assert (full / "mine.jpg").exists()
