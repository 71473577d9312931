"""The benchmarks in CoOp's layout: over the real split files, and over made ones."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.worlds.benchmarks import make_all, make_split, one_picture_each, write
from tests.worlds.datasets import counts
from xmap.stages.config import DataConfig
from xmap.stages.datasets.benchmarks.layouts import read_split
from xmap.stages.datasets.benchmarks.table import BENCHMARKS, ENTRIES, benchmark, check, layout
from xmap.stages.datasets.dataset import SPLITS
from xmap.stages.datasets.open import open_dataset
from xmap.store.errors import InputError, UnknownName

SPLIT_FILES = Path(__file__).resolve().parents[5] / "shared" / "data" / "splits"
# Two of the nine split files are not among the development data; where none is, the fixture skips with the reason.
REAL = [entry for entry in ENTRIES if entry.reader is read_split and ((SPLIT_FILES / entry.files[0]).is_file() or not SPLIT_FILES.is_dir())]


def read(root: Path, name: str, **more: object):
    return open_dataset(DataConfig(data=f"coop:{name}", root=str(root), **more))


@pytest.mark.parametrize("name", [entry.name for entry in REAL])
def test_the_real_split_files_give_the_published_splits(name: str, shared_data: Path, tmp_path: Path) -> None:
    entry = BENCHMARKS[name]
    file = shared_data / "splits" / entry.files[0]
    written = json.loads(file.read_text())
    folder = tmp_path / entry.folder
    write(folder / entry.files[0], file.read_bytes())
    base = folder if len(entry.images) > 1 else folder / entry.images[0]
    rows = [row for split in SPLITS for row in written[split]]
    # All paths of the small ones; of the others some, or writing them would take longer than all other tests.
    paths = [row[0] for row in rows]
    whole = len(paths) < 6000
    one_picture_each(base, paths if whole else [*paths[:200], *paths[-200:]])

    dataset = read(tmp_path, name)
    assert dataset.name == name
    assert tuple(len(dataset.split(split)) for split in SPLITS) == entry.sizes
    assert len(dataset.classes) == entry.classes
    assert dataset.templates == entry.templates
    samples = {sample.sample_id: sample for sample in dataset.samples}
    for path, label, classname in rows:
        assert samples[path].label == label
        assert dataset.classes[label] == classname.replace("_", " ")
    assert samples[rows[0][0]].place.is_file()
    found = check(entry, tmp_path)
    assert found.remarks == () if whole else found.absent
    assert found.complete == whole
    assert len(found.absent) == len(rows) - sum(found.images.values())


def test_every_benchmark_is_read_from_a_made_tree(tmp_path: Path) -> None:
    make_all(tmp_path)
    for entry in ENTRIES:
        dataset = read(tmp_path, entry.name)
        counts = Counter(sample.split for sample in dataset.samples)
        if entry.target:
            assert set(counts) == {"test"}
            assert dataset.classes == read(tmp_path, "imagenet").classes
        else:
            assert counts["train"] >= 6
            assert counts["test"] == 6
        assert all(sample.place.is_file() for sample in dataset.samples)
        assert len(dataset.classes) == 3
        assert check(entry, tmp_path).complete
        assert entry.folder in "\n".join(layout(entry))


def test_targets_carry_the_labels_of_imagenet(tmp_path: Path) -> None:
    make_all(tmp_path)
    assert read(tmp_path, "imagenet").classes == ("tench", "crane", "crane")
    assert {sample.label for sample in read(tmp_path, "imagenet_a").samples} == {1, 2}
    assert {sample.label for sample in read(tmp_path, "imagenetv2").samples} == {0, 1, 2}
    assert all(sample.sample_id.split("/")[1] == str(sample.label) for sample in read(tmp_path, "imagenetv2").samples)


def test_imagenet_has_no_validation_split_and_keeps_what_is_asked(tmp_path: Path) -> None:
    make_all(tmp_path)
    whole = read(tmp_path, "imagenet")
    assert not len(whole.split("val"))
    assert len(whole.split("train")) == 9
    kept = read(tmp_path, "imagenet", train_per_class=2)
    assert counts(kept, "train") == {0: 2, 1: 2, 2: 2}
    assert kept.split("test") == whole.split("test")
    assert "kept 6 of 9 training images" in kept.remarks[0]
    other = read(tmp_path, "imagenet", train_per_class=2, split_seed=5)
    assert {sample.sample_id for sample in kept.split("train")} < {sample.sample_id for sample in whole.split("train")}
    assert other.split("train") != kept.split("train")


def test_names_are_found_by_title_too() -> None:
    assert benchmark("Flowers102").name == benchmark("oxford_flowers").name == "oxford_flowers"
    assert benchmark("ImageNet-V2").name == "imagenetv2"
    with pytest.raises(UnknownName, match="caltech101"):
        benchmark("caltech")


def test_own_prompts_and_names_win(tmp_path: Path) -> None:
    make_all(tmp_path)
    write(tmp_path / "names.txt", "one\ntwo\nthree\n")
    dataset = read(tmp_path, "dtd", templates=("the {}.",), classes=str(tmp_path / "names.txt"))
    assert dataset.templates == ("the {}.",)
    assert dataset.classes == ("one", "two", "three")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (["../../etc/passwd", 0, "kind 0"], "does not stay inside"),
        (["/etc/passwd", 0, "kind 0"], "does not stay inside"),
        (["kind_0/..\\x.jpg", 0, "kind 0"], "does not stay inside"),
        (["", 0, "kind 0"], "does not stay inside"),
        (["kind_0/x.jpg", "0", "kind 0"], "is not [path, label, class name]"),
        (["kind_0/x.jpg", True, "kind 0"], "is not [path, label, class name]"),
        (["kind_0/x.jpg", 0], "is not [path, label, class name]"),
        (["kind_0/x.jpg", 0, "other"], "label 0 is 'other' here"),
        (["kind_0/x.jpg", 7, "seven"], "labels are not 0 to"),
        (["kind_0/0.jpg", 0, "kind_0"], "twice"),
    ],
)
def test_wrong_rows_of_a_split_file_are_refused(row: list[object], expected: str, tmp_path: Path) -> None:
    entry = BENCHMARKS["dtd"]
    make_split(tmp_path, entry, 2)
    file = tmp_path / "dtd" / entry.files[0]
    rows = json.loads(file.read_text())
    rows["test"].append(row)
    file.write_text(json.dumps(rows))
    with pytest.raises(InputError) as raised:
        read(tmp_path, "dtd")
    assert expected in str(raised.value)
    assert not check(entry, tmp_path).complete


@pytest.mark.parametrize("text", ["{", "[]", '{"train": []}', '{"train": 1, "val": [], "test": []}', "[" * 100000])
def test_a_damaged_split_file_is_named(text: str, tmp_path: Path) -> None:
    make_split(tmp_path, BENCHMARKS["eurosat"], 2)
    write(tmp_path / "eurosat/split_zhou_EuroSAT.json", text)
    with pytest.raises(InputError, match=r"split_zhou_EuroSAT\.json"):
        read(tmp_path, "eurosat")


def test_aircraft_of_an_unknown_variant_and_climbing_paths_are_refused(tmp_path: Path) -> None:
    make_all(tmp_path)
    file = tmp_path / "fgvc_aircraft/images_variant_val.txt"
    file.write_text("0000000 Spitfire\n")
    with pytest.raises(InputError, match="Spitfire"):
        read(tmp_path, "fgvc_aircraft")
    file.write_text("../../x A340-300\n")
    with pytest.raises(InputError, match="does not stay inside"):
        read(tmp_path, "fgvc_aircraft")


def test_a_class_folder_that_is_missing_or_unknown_is_named(tmp_path: Path) -> None:
    make_all(tmp_path)
    (tmp_path / "imagenet-sketch/images/n99999999").mkdir()
    assert read(tmp_path, "imagenet_sketch").samples, "an empty folder does no harm"
    write(tmp_path / "imagenet-sketch/images/n99999999/x.jpg", b"x")
    with pytest.raises(InputError, match="n99999999"):
        read(tmp_path, "imagenet_sketch")
    for path in (tmp_path / "imagenet/images/val/n01443537").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="no images of 1 of 3 classes: 'n01443537'"):
        read(tmp_path, "imagenet")


def test_without_a_root_or_its_folders_the_remedy_is_given(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--root DIR"):
        open_dataset(DataConfig(data="coop:dtd"))
    with pytest.raises(InputError, match="xmap datasets check dtd"):
        read(tmp_path, "dtd")
    with pytest.raises(UnknownName):
        read(tmp_path, "mnist")
