"""Splits of data sets that have none are drawn by the bytes of files: names, folders and the order of listing have no say."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.worlds.contents import digest, digests
from tests.worlds.datasets import counts, read, touch
from tests.worlds.parquet import PNG, write
from tests.worlds.tars import write_tar
from xmap.stages.config import DataConfig
from xmap.stages.datasets.content.hashing import hash_places
from xmap.stages.datasets.content.repeats import EMPTY
from xmap.stages.datasets.dataset import TEST, TRAIN, VAL, Dataset, Sample, Samples
from xmap.stages.datasets.places.columns import Array, Places
from xmap.stages.datasets.splits.divide import divide, keep
from xmap.store.memory.hashes import hexes
from xmap.store.memory.notes import Notes

CLASSES = ("ant", "bee", "cat")
# The class and the content of each sample: some contents are there several times, in one class or in several.
images = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12).map(str)), min_size=1, max_size=40)
seeds = st.integers(0, 99)
Image = tuple[int, str]


def dataset(found: list[Image], names: Iterable[object], split: str = "", classes: tuple[str, ...] = CLASSES) -> Dataset:
    samples = [Sample(str(name), Path(str(name)), label, split) for name, (label, _) in zip(names, found, strict=True)]
    return Dataset("x", Samples.of(samples), classes, ("{}",))


def drawn(found: list[Image], names: Iterable[object], **config: object) -> dict[str, str]:
    """The split of each sample, by its name."""
    listed = list(names)
    contents = digests(digest(data) for _, data in found)
    divided = divide(dataset(found, listed), DataConfig.model_validate(config), lambda _: contents)
    return {sample.sample_id: sample.split for sample in divided.samples}


@given(images, seeds, st.randoms(use_true_random=False))
def test_names_and_the_order_of_listing_move_nothing(found: list[Image], seed: int, draw: object) -> None:
    first = drawn(found, range(len(found)), split_seed=seed)
    order = list(range(len(found)))
    draw.shuffle(order)  # type: ignore[attr-defined]
    renamed = drawn([found[number] for number in order], [f"moved/{number:03d}" for number in order], split_seed=seed)
    assert {f"moved/{int(name):03d}": split for name, split in first.items()} == renamed


@given(images, seeds)
def test_files_of_one_content_stand_on_one_side(found: list[Image], seed: int) -> None:
    splits = drawn(found, range(len(found)), split_seed=seed)
    assert len({(found[int(name)][1], split) for name, split in splits.items()}) == len({data for _, data in found})


@given(images, seeds)
def test_each_class_keeps_a_content_to_train_on(found: list[Image], seed: int) -> None:
    splits = drawn(found, range(len(found)), split_seed=seed)
    assert {found[int(name)][0] for name, split in splits.items() if split == TRAIN} == {label for label, _ in found}


@given(images, seeds, st.permutations(range(3)))
def test_names_and_numbers_of_classes_move_nothing(found: list[Image], seed: int, numbers: list[int]) -> None:
    renumbered = [(numbers[label], data) for label, data in found]
    assert drawn(found, range(len(found)), split_seed=seed) == drawn(renumbered, range(len(found)), split_seed=seed)


def test_a_content_that_two_classes_have_goes_to_one_side() -> None:
    found = [(label, f"{label} {number}" if number else "both") for label in (0, 1) for number in range(10)]
    for seed in range(8):
        splits = drawn(found, range(20), split_seed=seed)
        assert splits["0"] == splits["10"]


def test_classes_of_one_name_are_drawn_apart() -> None:
    """As ImageNet's two cranes, a bird and a machine."""
    found = [(label, f"{label} {number}") for label in (0, 1) for number in range(10)]
    contents = digests(digest(data) for _, data in found)
    undivided = dataset(found, range(20), classes=("crane", "crane"))
    divided = keep(divide(undivided, DataConfig(), lambda _: contents), DataConfig(train_per_class=2))
    assert [counts(divided, split) for split in (TRAIN, VAL, TEST)] == [{0: 2, 1: 2}, {0: 2, 1: 2}, {0: 3, 1: 3}]


def test_names_to_show_have_no_say(tmp_path: Path) -> None:
    root = touch(tmp_path / "data", *(f"{name}/{number}.jpg" for name in "ab" for number in range(10)))
    (root / "b" / "0.jpg").write_bytes((root / "a" / "0.jpg").read_bytes())
    (tmp_path / "names.txt").write_text("a\tzebra\nb\taardvark\n")
    for seed in range(8):
        plain, shown = (read(root, classes=classes, split_seed=seed) for classes in ("", str(tmp_path / "names.txt")))
        assert {sample.sample_id: sample.split for sample in plain.samples} == {sample.sample_id: sample.split for sample in shown.samples}


@pytest.mark.parametrize("unknown", [None, EMPTY.hex()])
def test_files_without_a_content_are_drawn_by_their_ids(unknown: str | None) -> None:
    """Those that cannot be read, and empty ones, which are bad images and not one image."""
    found = [(0, "")] * 10
    samples = dataset(found, range(10))
    divided = divide(samples, DataConfig(), lambda _: digests([unknown] * 10))
    assert [len(divided.split(split)) for split in (TRAIN, VAL, TEST)] == [5, 2, 3]


def test_of_data_with_splits_no_content_is_asked_for() -> None:
    """Reading a million images to keep a few of them would take hours."""

    def asked(places: Places) -> Array:
        raise AssertionError(list(places.names()))

    found = [(number % 2, "") for number in range(20)]
    given_splits = dataset(found, range(20), TRAIN)
    assert divide(given_splits, DataConfig(), asked) is given_splits
    assert counts(keep(given_splits, DataConfig(train_per_class=3)), TRAIN) == {0: 3, 1: 3}
    assert keep(given_splits, DataConfig()) is given_splits


def test_of_tars_with_splits_a_few_are_kept_by_content(tmp_path: Path) -> None:
    """Their listings tell the contents, so that no name has a say; of files with splits of their own names are ranked."""
    for folder, name in (("before", "{:02d}.png"), ("after", "z{:02d}.png")):
        pictures = [(name.format(9 * number % 16), PNG[number], "ab"[number % 2]) for number in range(16)]
        members = [pair for file, data, key in pictures for pair in ((file, data), (f"{file[:-4]}.cls", key.encode()))]
        write_tar(tmp_path / folder / "train" / "all.tar", members)
        write_tar(tmp_path / folder / "test" / "all.tar", members)
    before, after = (read(tmp_path / name, train_per_class=3) for name in ("before", "after"))
    kept = [by_split(one, TRAIN) for one in (before, after)]
    assert kept[0] == kept[1]
    assert len(kept[0]) == 6
    # Labels that name contents do not change by what the few are drawn.
    content = by_split(before, TEST)[0]
    (tmp_path / "labels.csv").write_text(f"content,label\n{content},{before.classes[0]}\n")
    corrected = read(tmp_path / "before", train_per_class=3, labels=str(tmp_path / "labels.csv"))
    assert len({*kept[0]} & {*by_split(corrected, TRAIN)}) >= 5


names = st.text("abcdefghij", min_size=1, max_size=6)


@settings(max_examples=10)
@given(st.permutations(range(12)), st.lists(names, min_size=3, max_size=3, unique=True))
def test_renamed_files_and_folders_stay_where_they_were(order: list[int], classes: list[str]) -> None:
    """Files of a real folder: their names, their folders' names, and with these the order of classes are others."""
    with tempfile.TemporaryDirectory() as folder:
        for number in range(36):
            for path in (f"before/{CLASSES[number // 12]}/{number}.jpg", f"after/{classes[number // 12]}/deep/{order[number % 12]}.jpg"):
                place = Path(folder) / path
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(f"picture {number}".encode())
        before, after = (
            {sample.place.read_bytes(): sample.split for sample in read(Path(folder) / name).samples} for name in ("before", "after")
        )
    assert before == after


def test_a_folder_packed_as_a_tar_or_a_table_has_the_same_splits(tmp_path: Path) -> None:
    pictures = {f"{name}{number}": (name, PNG[number + 8 * (name == "dog")]) for name in ("cat", "dog") for number in range(8)}
    for key, (name, data) in pictures.items():
        path = tmp_path / "folder" / name / f"{key}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    packed = [member for key, (name, data) in pictures.items() for member in ((f"x/{key}.png", data), (f"x/{key}.cls", name.encode()))]
    write_tar(tmp_path / "tars" / "all.tar", packed)
    write(tmp_path / "tables" / "all.parquet", [name for name, _ in pictures.values()])
    found = [read(tmp_path / name) for name in ("folder", "tars", "tables")]
    splits = [by_content(one) for one in found]
    assert splits[0] == splits[1] == splits[2]
    assert [len(found[0].split(split)) for split in (TRAIN, VAL, TEST)] == [8, 4, 4]


def by_split(found: Dataset, split: str) -> list[str]:
    return sorted(hexes(hash_places(found.split(split).places, Notes())))


def by_content(found: Dataset) -> dict[str, str]:
    contents = hexes(hash_places(found.samples.places, Notes()))
    return {content: sample.split for content, sample in zip(contents, found.samples, strict=True)}


def test_splits_stay_what_they_were(tmp_path: Path) -> None:
    """Golden: a change here re-draws every user's split. Frozen anew, once, when draws went over from names to contents."""
    root = touch(tmp_path, *(f"{name}/{number}.jpg" for name in "ab" for number in range(8)))
    splits = {sample.sample_id: sample.split[:2] for sample in read(root).samples}
    assert ["".join(splits[f"{name}/{number}.jpg"] for number in range(8)) for name in "ab"] == ["trtrtetrtevatrva", "vatrtrtrtetevatr"]
