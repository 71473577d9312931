"""WebDataset tars as a dataset: keys, splits, patterns, and what is remembered."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import xmap.stages.datasets.sources.webdataset
import xmap.store.memory.hashes
from tests.worlds.datasets import read
from tests.worlds.pictures import picture
from tests.worlds.tars import encoded, samples, write_shards, write_tar
from xmap.stages.config import DataConfig
from xmap.stages.datasets.dataset import TEST, TRAIN, VAL, Dataset
from xmap.stages.datasets.open import open_dataset
from xmap.stages.datasets.places.place import Member
from xmap.stages.images.read import read_place
from xmap.store.errors import EmptyInput, InputError
from xmap.store.memory.notes import Notes


def ids(dataset: Dataset, split: str) -> list[str]:
    return [sample.sample_id for sample in dataset.split(split)]


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    return write_shards(tmp_path / "pets")


def test_tars_in_split_folders(shards: Path) -> None:
    found = read(shards)
    assert (found.name, found.classes, found.remarks) == ("pets", ("cat", "dog"), ())
    assert ids(found, TRAIN) == [f"train/{tar}.tar/{key}.png" for tar in "ab" for key in "123"]
    assert ids(found, TEST) == ["test/a.tar/1.png", "test/a.tar/2.png"]
    assert [sample.label for sample in found.split(VAL)] == [1, 0]
    for number, sample in enumerate(found.split(TRAIN)):
        assert read_place(sample.place) == encoded(picture(number))


def test_a_folder_a_file_and_patterns_name_the_same_tars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(12):
        write_tar(tmp_path / "pets" / f"data-{number:03}.tar", samples({"k": "ab"[number % 2]}, number))
    whole = read(tmp_path / "pets")
    names = [f"data-{number:03}.tar/k.png" for number in range(12)]
    assert sorted(sample.sample_id for sample in whole.samples) == names
    assert whole.remarks[0].startswith("the data has no splits: drew")
    monkeypatch.chdir(tmp_path)
    for pattern in ("pets/data-{000..011}.tar", "pets/*.tar", "pets/data-0[01]?.tar", "p{et,et}s/*.tar", str(tmp_path / "pets/data-*.tar")):
        found = read(pattern)
        assert found.name == ("pets" if pattern[1] != "{" else tmp_path.name)
        # Ids begin in the folder where the pattern does.
        assert sorted(sample.sample_id.removeprefix("pets/") for sample in found.samples) == names
    assert ids(read("pets/data-{003..004}.tar", train_per_class=1, test_share=0.1, val_share=0), TRAIN) == [
        f"data-00{number}.tar/k.png" for number in (3, 4)
    ]
    write_tar(tmp_path / "pets" / "data-003.tar", samples({"k": "b", "l": "a"}))
    one = read("pets/data-003.tar")
    assert (one.name, [sample.sample_id for sample in one.samples]) == ("data-003", ["data-003.tar/k.png", "data-003.tar/l.png"])


def test_a_split_may_begin_the_name(tmp_path: Path) -> None:
    for name in ("train-000", "train-001", "validation-000", "test_0"):
        write_tar(tmp_path / f"{name}.tar", samples({"k": "a", "l": "b"}))
    found = read(tmp_path)
    assert [len(found.split(split)) for split in (TRAIN, VAL, TEST)] == [4, 2, 2]
    write_tar(tmp_path / "more.tar", samples({"k": "a"}))
    with pytest.raises(InputError, match=r"others do not, such as 'more.tar'; put each into train/, val/ or test/"):
        read(tmp_path)


def test_names_that_all_say_train_are_no_split(tmp_path: Path) -> None:
    write_tar(tmp_path / "train-0.tar", samples({str(number): "ab"[number % 2] for number in range(20)}))
    assert [len(read(tmp_path).split(split)) for split in (TRAIN, VAL, TEST)] == [10, 4, 6]


@pytest.mark.parametrize("missing", ["data-{0..3}.tar", "none-*.tar"])
def test_a_pattern_that_names_no_file_is_refused(tmp_path: Path, missing: str) -> None:
    write_tar(tmp_path / "data-0.tar", samples({"k": "a"}))
    with pytest.raises(InputError, match="where no file is; correct the pattern"):
        read(tmp_path / missing)
    with pytest.raises(InputError, match="the limit is 131,072"):
        read(tmp_path / "data-{0..999999999}.tar")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("**.tar", r"is no pattern .*; write `\*\*` as a folder of its own: `\*\*/\*.tar`"),
        (f"{'x' * 300}*.tar", "too long for the file system"),
        (f"{'x' * 300}-{{0..1}}.tar", "too long for the file system"),
        (f"{'x' * 300}.tar", "too long for the file system"),
    ],
)
def test_a_pattern_that_cannot_be_one_is_refused(tmp_path: Path, pattern: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as found:
        read(tmp_path / pattern)
    assert len(str(found.value)) < 300


def test_a_name_with_a_patterns_characters_is_only_a_name(tmp_path: Path) -> None:
    write_tar(tmp_path / "a[1]{2,3}*.tar", samples({"1": "a", "2": "b"}))
    assert {sample.sample_id for sample in read(tmp_path / "a[1]{2,3}*.tar").samples} == {"a[1]{2,3}*.tar/1.png", "a[1]{2,3}*.tar/2.png"}


def test_tars_that_are_one_after_normalisation_are_refused(tmp_path: Path) -> None:
    for name in ("é", "e\u0301"):
        write_tar(tmp_path / f"{name}.tar", samples({"k": "a"}))
    with pytest.raises(InputError, match=r"two images are both 'é.tar/k.png' after Unicode normalisation"):
        read(tmp_path)


def test_images_in_folders_beside_a_tar_stay_a_folder_of_images(photos: Path) -> None:
    before = read(photos)
    write_tar(photos / "download.tar", samples({"k": "a"}))
    after = read(photos)
    assert after.samples == before.samples
    assert after.remarks == ("1 file that is no image was left out: 1 .tar",)


def test_numbers_take_their_names_from_a_file(tmp_path: Path) -> None:
    write_tar(tmp_path / "x" / "a.tar", samples({str(number): str(number) for number in (10, 2, 0)}))
    assert read(tmp_path / "x").classes == ("0", "2", "10")
    (tmp_path / "x" / "classnames.txt").write_text("zero\ntwo\nten\n")
    assert read(tmp_path / "x").classes == read(tmp_path / "x" / "a.tar").classes == ("zero", "two", "ten")
    (tmp_path / "own.txt").write_text("0\tnull\n10\tzehn\n2\tzwei\n")
    assert read(tmp_path / "x", classes=str(tmp_path / "own.txt")).classes == ("null", "zehn", "zwei")
    (tmp_path / "x" / "classnames.txt").write_text("zero\n")
    with pytest.raises(InputError, match="names 1 classes, the data has 3"):
        read(tmp_path / "x")


def test_parquet_files_beside_tars_are_counted(shards: Path) -> None:
    for name in ("train/a.parquet", "train/b.parquet", "stats.parquet"):
        (shards / name).touch()
    assert read(shards).remarks == ("3 Parquet files beside the tars were left out",)
    assert "3 Parquet files" not in str(read(shards / "train/*.tar").remarks)


def test_tars_without_images_are_an_error(tmp_path: Path) -> None:
    write_tar(tmp_path / "x.tar", [("a.txt", b"x")])
    with pytest.raises(EmptyInput, match=r"found 1 .txt"):
        read(tmp_path)
    write_tar(tmp_path / "x.tar", [])
    with pytest.raises(EmptyInput, match="found empty tars"):
        read(tmp_path / "x.tar")
    shutil.move(tmp_path / "x.tar", tmp_path / "x.tar.gz")
    for data in (tmp_path / "x.tar.gz", tmp_path, tmp_path / "*.tar.gz"):
        with pytest.raises(InputError, match=r"x\.tar\.gz is compressed, so .* unpack it to a \.tar, as with `gunzip`"):
            read(data)


@given(
    labels=st.dictionaries(
        st.text("ab/1", min_size=1, max_size=6).filter(lambda key: "" not in key.split("/")), st.sampled_from("xyz"), min_size=2
    ).filter(lambda labels: len(set(labels.values())) > 1),
    seed=st.integers(0, 999),
)
def test_the_order_of_members_changes_nothing(tmp_path_factory: pytest.TempPathFactory, labels: dict[str, str], seed: int) -> None:
    folder = tmp_path_factory.mktemp("order")
    members = [
        (f"{key}{end}", data) for key, name in labels.items() for end, data in ((".png", f"{key}!".encode()), (".cls", name.encode()))
    ]
    shuffled = random.Random(seed).sample(members, len(members))  # noqa: S311
    one, other = (read(write_tar(folder / place / "x.tar", listed)) for place, listed in (("a", members), ("b", shuffled)))
    assert (one.classes, one.remarks) == (other.classes, other.remarks)
    for first, second in zip(one.samples, other.samples, strict=True):
        assert (first.sample_id, first.label, first.split) == (second.sample_id, second.label, second.split)
        assert one.classes[first.label] == labels[first.sample_id.removeprefix("x.tar/").removesuffix(".png")]
        assert isinstance(first.place, Member)
        assert isinstance(second.place, Member)
        assert first.place.content == second.place.content
        assert read_place(first.place) == read_place(second.place)


# ---- what is remembered


@pytest.fixture
def listings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tars that were read; new files count as old, so that they are remembered."""
    read_tars: list[str] = []
    real = xmap.stages.datasets.sources.webdataset.list_tar

    def noting(file: object, place: str, labelled: bool = True) -> object:
        read_tars.append(Path(place).name)
        return real(file, place, labelled)  # type: ignore[arg-type]

    monkeypatch.setattr(xmap.stages.datasets.sources.webdataset, "list_tar", noting)
    monkeypatch.setattr(xmap.store.memory.hashes, "YOUNG_NS", 0)
    return read_tars


def test_an_unchanged_tar_is_listed_once(shards: Path, tmp_path: Path, listings: list[str]) -> None:
    side, config = tmp_path / "side" / "hashes.sqlite", DataConfig(data=str(shards))
    first = open_dataset(config, notes=Notes(side))
    assert sorted(listings) == ["a.tar", "a.tar", "a.tar", "b.tar"]
    listings.clear()
    assert open_dataset(config, notes=Notes(side)) == first
    assert listings == []
    write_tar(shards / "train/b.tar", samples({"1": "dog", "2": "cat"}, 20))
    assert len(open_dataset(config, notes=Notes(side)).split(TRAIN)) == 5
    assert listings == ["b.tar"]
    listings.clear()
    assert len(open_dataset(config, notes=Notes(side, rehash=True)).samples) == 9
    assert len(listings) == 4


def test_a_young_tar_is_read_each_time(shards: Path, tmp_path: Path, listings: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xmap.store.memory.hashes, "YOUNG_NS", 2_000_000_000)
    for _ in range(2):
        open_dataset(DataConfig(data=str(shards)), notes=Notes(tmp_path / "hashes.sqlite"))
    assert len(listings) == 8
