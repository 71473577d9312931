"""Draws by content: names and order have no say, and one content is drawn once and stands on one side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from tests.worlds.few_shot import SCALE, World
from xmap.stages.config import CacheConfig
from xmap.stages.fewshot.draw import Beside, draw_kept, draw_support, draw_validation, index_split, take_samples
from xmap.stages.fewshot.split_index import SplitIndex
from xmap.store.artifacts.artifact import Artifact, Draft
from xmap.store.artifacts.identity import Identity
from xmap.store.formats.feature_rows import Rows, keys_of
from xmap.store.formats.packs import Packs
from xmap.store.formats.samples import AUGMENTED, PLAIN, Samples, write_samples
from xmap.store.formats.tables import read_table, write_table

# The class and the content of each sample: few contents, so that some are there several times.
images = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12).map(str)), min_size=1, max_size=40)
Image = tuple[int, str]


def index(found: Sequence[Image], names: Sequence[str]) -> SplitIndex:
    return SplitIndex(tuple(names), np.asarray([label for label, _ in found], np.int32), tuple(content for _, content in found))


def contents(drawn: SplitIndex) -> list[Image]:
    return sorted(zip(drawn.labels.tolist(), drawn.units, strict=True))


@given(images, st.integers(), st.integers(1, 4), st.randoms(use_true_random=False))
def test_names_order_and_numbers_of_classes_draw_the_same_contents(found: list[Image], seed: int, shots: int, draw: object) -> None:
    first = contents(index(found, [f"a/{number:02d}" for number in range(len(found))]).few(shots, seed))
    shuffled = list(found)
    draw.shuffle(shuffled)  # type: ignore[attr-defined]
    turned = [(2 - label, content) for label, content in shuffled]
    again = contents(index(turned, [f"b/{number:02d}" for number in range(len(found))]).few(shots, seed))
    assert sorted((2 - label, content) for label, content in again) == first


@given(images, st.integers(), st.integers(1, 4))
def test_a_class_has_no_content_twice_and_all_shots_that_its_contents_allow(found: list[Image], seed: int, shots: int) -> None:
    whole = index(found, [str(number) for number in range(len(found))])
    drawn = contents(whole.few(shots, seed))
    assert len(set(drawn)) == len(drawn)
    there = [len({content for label, content in found if label == number}) for number in range(3)]
    assert [sum(label == number for label, _ in drawn) for number in range(3)] == [min(shots, count) for count in there]
    assert set(drawn) <= set(contents(whole.few(shots + 1, seed)))


def stored(
    world: World,
    splits: Mapping[str, Sequence[tuple[str, int, str]]],
    views: int = 1,
    groups: Mapping[str, str] = MappingProxyType({}),
    told: bool = True,
) -> Artifact:
    """Image features of samples (id, class, content) whose rows lie in packs; the rows of a content tell which it is.

    Where groups are not `told` the tables are those of before there were any.
    """
    packs = [Packs.of(world.store.root, "toy", {"views": kind}) for kind in ("plain", "augmented")]
    known = {data: blake3(data.encode()).hexdigest() for rows in splits.values() for _, _, data in rows}
    for number, kept in enumerate(packs):
        listed = [view for view in range(views) if bool(view) == bool(number)]
        if listed:
            rows = [(content, view, [len(data), ord(data[-1]), view]) for data, content in sorted(known.items()) for view in listed]
            hashes, numbers, features = zip(*rows, strict=True)
            found = Rows(hashes, np.asarray(numbers, np.int16), np.asarray(features, np.float32))
            lacking = np.flatnonzero(~kept.has(keys_of(found.contents, found.views)))
            if len(lacking):
                kept.write(found.take(lacking))
    fields = {split: [list(row) for row in rows] for split, rows in splits.items()}
    with world.store.build(Identity("images", "toy", {**fields, "views": views, "groups": dict(groups), "told": told})) as held:
        assert isinstance(held, Draft)
        for split, rows in splits.items():
            each = [(*row, view) for row in sorted(rows) for view in range(views if split == "train" else 1)]
            ids, labels, data, numbers = zip(*each, strict=True)
            contents, numbered = [known[name] for name in data], (np.asarray(labels, np.int32), np.asarray(numbers, np.int16))
            samples = Samples(ids, *numbered, contents, [groups.get(name, "") for name in ids], ids)
            path = held.path / f"{split}-00000.parquet"
            write_samples(path, samples, split, "f", (packs[0].name, packs[1].name))
            if not told:
                table = read_table(path).drop_columns(["group", "source"])
                write_table(path, table, "f", {PLAIN: packs[0].name, AUGMENTED: packs[1].name})
        counts = {split: len(rows) for split, rows in splits.items()}
        makers = [kept.name for kept in packs]
        return held.commit({"dataset": "toy", "classes": world.names, "logit_scale": SCALE, "counts": counts, "features": makers})


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def rows_of(names: str, per_class: int, copies: int = 0) -> list[tuple[str, int, str]]:
    """Four classes of so many contents, the first `copies` of each under a second name."""
    listed = [(label, f"{label} {number}") for label in range(4) for number in range(per_class)]
    again = [row for row in listed if int(row[1].split()[1]) < copies]
    return [(f"{names}/{number:03d}.jpg", label, data) for number, (label, data) in enumerate([*listed, *again])]


def test_renamed_images_are_drawn_again(world: World) -> None:
    before, after = rows_of("train", 8), [(f"z{1000 - number}", *row[1:]) for number, row in enumerate(rows_of("train", 8))]
    kept = [(stored(world, {"train": rows}), {name: content for name, _, content in rows}) for rows in (before, after)]
    for seed in (1, 2):
        supports = [draw_support(images, CacheConfig(shots=2), world.names, seed).index for images, _ in kept]
        found = [{data[name] for name in support.sample_ids} for support, (_, data) in zip(supports, kept, strict=True)]
        assert found[0] == found[1]
        assert len(found[0]) == 8


def test_a_content_with_several_names_is_one_shot(world: World) -> None:
    found = stored(world, {"train": rows_of("train", 3, copies=3)})
    support = draw_support(found, CacheConfig(shots=4, short="keep"), world.names, 1)
    assert support.index.counts(4).tolist() == [3, 3, 3, 3]
    assert "4 classes have fewer than 4 training images" in support.remarks[0]


def test_what_is_drawn_by_is_the_content_and_features_are_found_by_it(world: World) -> None:
    rows = rows_of("train", 3)
    found = stored(world, {"train": rows}, views=3)
    train = index_split(found, "train")
    known = {name: blake3(data.encode()).hexdigest() for name, _, data in rows}
    assert train.units == tuple(sorted(known.values()))
    assert [known[name] for name in train.sample_ids] == list(train.units)
    name, label, data = rows[5]
    taken = take_samples(found, "train", {name})
    assert (taken.labels.tolist(), taken.views.tolist()) == ([label] * 3, [0, 1, 2])
    assert taken.features.tolist() == [[len(data), ord(data[-1]), view] for view in range(3)]


@pytest.mark.parametrize("protocol", ["few", "paper"])
def test_what_settings_are_chosen_on_has_no_copy_of_the_support(world: World, protocol: str) -> None:
    """Without a validation split: the rest of the training images, but for those whose content is in the support."""
    rows = rows_of("train", 12, copies=12)
    found = stored(world, {"train": rows})
    data = {name: content for name, _, content in rows}
    for seed in range(5):
        support = draw_support(found, CacheConfig(shots=3), world.names, seed).index.sample_ids
        chosen, what = draw_validation(Beside.of(found, support), 1, seed, protocol, 4)  # type: ignore[arg-type]
        assert chosen is not None
        assert {data[name] for name in chosen.sample_ids}.isdisjoint({data[name] for name in support})
        assert what == "train remainder, 1 a class"


def test_of_what_belongs_together_one_sample_is_kept_and_nothing_chooses(world: World) -> None:
    """Exchangeable with new images are groups, not frames of one: half of the groups are drawn, whatever their size, one image of each."""
    rows = rows_of("val", 12, copies=2)
    groups = {name: "large" if int(data.split()[1]) > 5 else data for name, _, data in rows}
    images = stored(world, {"val": rows}, groups=groups)
    drawn = []
    for seed in range(60):
        kept, chosen = draw_kept(Beside.of(images), seed)[0], draw_validation(Beside.of(images), 4, seed, "few", 4)[0]
        assert kept is not None
        assert chosen is not None
        found = [groups[name] for name in kept.sample_ids]
        # 24 contents and a group of 24 images are 25 parties.
        assert len(found) == len(set(found)) == 12
        assert not {groups[name] for name in chosen.sample_ids} & set(found)
        drawn += found
    assert 12 < drawn.count("large") < 48


def test_what_settings_are_chosen_on_belongs_to_nothing_in_the_support(world: World) -> None:
    """Of a class with three groups of four images, support and validation share none; a copy of an image joins its group to another."""
    rows = rows_of("train", 12, copies=1)
    groups = {name: f"{label} {int(data.split()[1]) % 3}" for name, label, data in rows[:48]} | {
        name: f"copy {name}" for name, _, _ in rows[48:]
    }
    found = stored(world, {"train": rows}, groups=groups)
    for seed in range(5):
        support = draw_support(found, CacheConfig(shots=1), world.names, seed).index.sample_ids
        chosen, _ = draw_validation(Beside.of(found, support), 1, seed, "paper", 4)
        assert chosen is not None
        assert {groups[name] for name in chosen.sample_ids}.isdisjoint({groups[name] for name in support})


def test_tables_of_before_there_were_groups_are_read(world: World) -> None:
    rows = rows_of("train", 6)
    together = {name: "all" for name, _, _ in rows}
    now, then = (stored(world, {"train": rows}, groups=together, told=told) for told in (True, False))
    one, other = index_split(now, "train"), index_split(then, "train")
    assert (one.sample_ids, one.units, one.groups) == (other.sample_ids, other.units, ("all",) * 24)
    assert other.groups == ()
    chosen = [draw_validation(Beside.of(found, rows[0][:1]), 1, 1, "few", 4)[0] for found in (now, then)]
    assert chosen[0] is None
    assert chosen[1] is not None
