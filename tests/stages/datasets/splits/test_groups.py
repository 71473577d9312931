"""What belongs together lands in one split, whoever says that it does: a column of a table, or a rule over sample ids."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.worlds.contents import digest, digests
from tests.worlds.datasets import counts, read, touch
from tests.worlds.parquet import write
from tests.worlds.tars import write_tar
from xmap.stages.config import DataConfig
from xmap.stages.datasets.dataset import TEST, TRAIN, VAL, Dataset, Sample, Samples
from xmap.stages.datasets.splits.divide import divide
from xmap.stages.datasets.splits.groups import joined, torn
from xmap.store.errors import InputError

CLASSES = ("ant", "bee", "cat")
# The class, the content and the group of each image: none, and some that several classes have. A content of None cannot be read.
rows = st.tuples(st.integers(0, 2), st.none() | st.integers(0, 20), st.sampled_from(("", "", "a", "b", "c", "d", "e", "f")))
images = st.lists(rows, min_size=1, max_size=30)
Row = tuple[int, int | None, str]


def dataset(found: Sequence[Row], names: Sequence[str]) -> Dataset:
    samples = [Sample(name, Path(name), label, "", group) for name, (label, _, group) in zip(names, found, strict=True)]
    return Dataset("x", Samples.of(samples), CLASSES, ("{}",))


def drawn(found: Sequence[Row], names: Sequence[str], seed: int) -> list[str] | None:
    """The split of each row; None where groups leave nothing to test on."""
    contents = digests(data if data is None else digest(str(data)) for _, data, _ in found)
    try:
        divided = divide(dataset(found, names), DataConfig(split_seed=seed), lambda _: contents)
    except InputError:
        return None
    splits = {sample.sample_id: sample.split for sample in divided.samples}
    return [splits[name] for name in names]


def numbered(found: Sequence[Row]) -> list[str]:
    return [str(number) for number in range(len(found))]


@given(images, st.integers(0, 99))
def test_no_content_and_no_group_stands_on_two_sides(found: list[Row], seed: int) -> None:
    splits = drawn(found, numbered(found), seed) or []
    for place in (1, 2):
        sides = {(row[place], split) for row, split in zip(found, splits, strict=False) if row[place] not in (None, "")}
        assert len(sides) == len({one for one, _ in sides})
    assert not splits or {row[0] for row, split in zip(found, splits, strict=True) if split == TRAIN} == {row[0] for row in found}


@given(images, st.integers(0, 99), st.permutations("abcdef"), st.permutations(range(30)))
def test_neither_names_of_images_nor_of_groups_move_any(found: list[Row], seed: int, groups: list[str], order: list[int]) -> None:
    """Names of groups may be those of folders. What cannot be read has nothing but its name to be drawn by, unless it has a group."""
    known = [row for row in found if row[1] is not None]
    renamed = [(label, data, groups["abcdef".index(group)] if group else "") for label, data, group in known]
    assert drawn(known, numbered(known), seed) == drawn(renamed, [f"z{order[number]:02d}" for number in range(len(known))], seed)


@given(images)
def test_what_is_joined_shares_a_unit_or_a_group_step_by_step(found: list[Row]) -> None:
    units, groups = [str(data) for _, data, _ in found], [group for _, _, group in found]
    parties = joined(units, groups)
    for one in range(len(found)):
        reached = {one}
        while True:
            seen = {units[row] for row in reached}, {groups[row] for row in reached} - {""}
            more = {row for row in range(len(found)) if units[row] in seen[0] or groups[row] in seen[1]}
            if more == reached:
                break
            reached = more
        assert reached == {row for row in range(len(found)) if parties[row] == parties[one]}


def by_group(found: Dataset) -> dict[str, set[str]]:
    sides: dict[str, set[str]] = {}
    for sample in found.samples:
        sides.setdefault(sample.group, set()).add(sample.split)
    return sides


RECORDINGS = [f"{name}/rec{number}/{frame}.jpg" for name in ("cat", "dog") for number in range(8) for frame in range(3)]


def test_folders_inside_classes_are_groups_of_the_rule_parent(tmp_path: Path) -> None:
    found = read(touch(tmp_path, *RECORDINGS), group_by="parent", split_seed=3)
    sides = by_group(found)
    assert len(sides) == 16
    assert all(len(splits) == 1 for splits in sides.values())
    assert [counts(found, split) for split in (TRAIN, VAL, TEST)] == [{0: 12, 1: 12}, {0: 6, 1: 6}, {0: 6, 1: 6}]
    assert "--group-by parent: 48 images in 16 groups" in found.remarks
    # Without the rule frames of one recording stand on several sides.
    assert not any(sample.group for sample in read(tmp_path).samples)


def test_a_rule_may_take_what_lies_in_several_classes_together(tmp_path: Path) -> None:
    found = read(touch(tmp_path, *RECORDINGS, "cat/alone.jpg"), group_by="rec([0-9]+)")
    sides = by_group(found)
    assert set(sides) == {"", *map(str, range(8))}
    assert all(len(splits) == 1 for splits in sides.values())
    assert "--group-by rec([0-9]+): 48 images in 8 groups, 1 stand alone" in found.remarks
    assert {sample.group for sample in read(tmp_path, group_by="rec[0-9]").samples} == {"", *(f"rec{number}" for number in range(8))}


def test_a_tar_of_the_same_files_has_the_same_splits(tmp_path: Path) -> None:
    touch(tmp_path / "folder", *RECORDINGS)
    packed = [pair for name in RECORDINGS for pair in ((name, name.encode()), (f"{name[:-4]}.cls", name.split("/")[0].encode()))]
    write_tar(tmp_path / "all.tar", packed)
    found = [read(tmp_path / name, group_by="parent", split_seed=2) for name in ("folder", "all.tar")]
    sides = [{sample.sample_id.removeprefix("all.tar/"): sample.split for sample in one.samples} for one in found]
    assert sides[0] == sides[1]
    assert set(found[1].samples.sources()) == {"all.tar"}
    assert [sample.source for sample in found[0].samples] == found[0].samples.sources()
    assert set(found[0].samples.sources()) == set(RECORDINGS)


GROUPED = [(f"{number}.jpg", "ab"[number % 2], f"rec {number // 6}") for number in range(36)]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("column", ["group", "Group ID"])
def test_a_table_says_groups_in_a_column(tmp_path: Path, suffix: str, column: str) -> None:
    path = touch(tmp_path, *(name for name, _, _ in GROUPED)) / f"t{suffix}"
    names = ("path", "label", column)
    if suffix == ".parquet":
        pq.write_table(pa.table(dict(zip(names, map(list, zip(*GROUPED, strict=True)), strict=True))), path)
    elif suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in GROUPED))
    else:
        path.write_text("\n".join({".csv": ",", ".tsv": "\t"}[suffix].join(row) for row in (names, *GROUPED)))
    found = read(path)
    assert {sample.sample_id: sample.group for sample in found.samples} == {name: group for name, _, group in GROUPED}
    assert all(len(splits) == 1 for splits in by_group(found).values())
    assert (f"the table's column {column!r} as the group was read" in found.remarks) == (column != "group")


def test_a_parquet_table_of_images_says_groups_in_a_column(tmp_path: Path) -> None:
    groups = [number // 4 if number else None for number in range(16)]
    found = read(write(tmp_path / "t.parquet", ["a", "b"] * 8, group=groups))
    assert [sample.group for sample in sorted(found.samples, key=lambda sample: sample.sample_id)] == [
        "",
        *(str(n // 4) for n in range(1, 16)),
    ]
    sides = by_group(found)
    assert all(len(sides[group]) == 1 for group in "0123")
    assert set(found.samples.sources()) == {"t.parquet"}


@pytest.mark.parametrize("value", ["a\tb\x00", '[1, "x"]', "x" * 1001])
def test_a_group_that_cannot_be_one_is_refused(tmp_path: Path, value: str) -> None:
    rows = [{"path": f"{number}.jpg", "label": "ab"[number % 2], "group": value if number == 3 else "g"} for number in range(6)]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(InputError, match="row 4 has no usable group"):
        read(tmp_path / "t.jsonl")
    with pytest.raises(InputError, match="row 1 has group"):
        read(write(tmp_path / "u.parquet", ["a", "b"], group=[value, "g"]))


def test_an_empty_group_is_none(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "path,label,group\n" + "".join(f"{n}.jpg,{'ab'[n % 2]},{('', ' ', 'nan', '3.0')[n % 4]}\n" for n in range(40))
    )
    assert {sample.group for sample in read(tmp_path / "t.csv").samples} == {"", "3.0"}


@pytest.mark.parametrize(
    ("rule", "said"),
    [("(", "neither 'parent' nor a regular expression"), ("zebra", "fits no image: sample ids are such as 'cat/"), ("()", "fits no image")],
)
def test_rules_that_group_nothing_are_refused(tmp_path: Path, rule: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        read(touch(tmp_path, *RECORDINGS), group_by=rule)
    assert said in str(caught.value)


def test_a_class_that_is_one_group_leaves_nothing_to_test_on(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{name}/{number}.jpg" for name in ("cat", "dog") for number in range(9)))
    with pytest.raises(InputError, match="no group is left to test on"):
        read(tmp_path, group_by="parent")
    touch(tmp_path, "dog/more/1.jpg", "dog/other/2.jpg")
    assert "1 class has too few groups for a test image: 'cat'" in read(tmp_path, group_by="parent").remarks


def test_splits_that_tear_groups_are_counted(tmp_path: Path) -> None:
    lines = [
        f"{n}.jpg,{'ab'[n % 2]},{('train', 'val', 'test')[n % 3]},{('', 'whole', 'torn', 'rent')[n // 6] if n % 3 == 0 or n >= 12 else ''}"
        for n in range(24)
    ]
    (tmp_path / "t.csv").write_text("\n".join(["path,label,split,group", *lines]))
    found = read(tmp_path / "t.csv")
    (said,) = torn(found)
    assert said.startswith("2 groups are in several splits, such as ")
    one = found.samples.take(np.flatnonzero(found.samples.groups != "rent"))
    (said,) = torn(Dataset("x", one, found.classes, found.templates))
    assert said.startswith("1 group is in several splits, such as 'torn' with '12.jpg' and '13.jpg': what is tested belongs to")
    assert torn(Dataset("x", found.split(TRAIN), found.classes, found.templates)) == ()


def test_a_rule_that_tries_ways_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmap.stages.datasets.splits.groups.SECONDS", 0.2)
    root = touch(tmp_path / "data", f"cat/{'a' * 60}!.png", "dog/1.png")
    with pytest.raises(InputError, match=r"not done with 2 sample ids.*repetitions"):
        read(root, group_by="(a+)+$")
