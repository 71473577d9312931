"""The same bytes in several splits, in several classes, or twice in a class are counted and said once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.worlds.contents import digest, having
from tests.worlds.inputs import COLOURS, write_photos
from xmap.cli.main import app
from xmap.stages.datasets.content.repeats import EMPTY, repeats, without_leaks
from xmap.stages.datasets.dataset import TEST, TRAIN, VAL, Dataset, Sample

NOTHING = EMPTY.hex()

SPLITS = "{} in several splits, byte for byte, such as {}: what is tested was seen before; keep each in one split, or give --drop-leaks"
CLASSES = "{} in several classes, byte for byte, such as {}; keep each in the right one"
TWICE = "{} in one class more than once, byte for byte, such as {}; in a draw they count once"


def said(*rows: tuple[str, str, int, str]) -> tuple[str, ...]:
    """What is said of (id, split, label, content) rows."""
    samples = (Sample(name, Path(name), label, split) for name, split, label, _ in rows)
    contents = [content and (content if content == NOTHING else digest(content)) for *_, content in rows]
    return repeats(Dataset("x", having(samples, contents), ("a", "b"), ()))


@pytest.mark.failure("wrong layout")
@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("1", "train", 0, "x"), ("2", "test", 0, "y")], ()),
        ([("1", "train", 0, "x"), ("2", "test", 0, "x")], (SPLITS.format("1 image is", "'1' and '2'"),)),
        ([("1", "train", 0, "x"), ("2", "train", 0, "x")], (TWICE.format("1 image is", "'1' and '2'"),)),
        ([("1", "train", 0, "x"), ("2", "train", 1, "x")], (CLASSES.format("1 image is", "'1' and '2'"),)),
        (
            [("1", "train", 0, "x"), ("2", "test", 1, "x")],
            (SPLITS.format("1 image is", "'1' and '2'"), CLASSES.format("1 image is", "'1' and '2'")),
        ),
        (
            [("1", "train", 0, "x"), ("2", "train", 0, "x"), ("3", "train", 0, "x"), ("4", "val", 0, "x")],
            (SPLITS.format("1 image is", "'1' and '4'"), TWICE.format("1 image is", "'1' and '2'")),
        ),
        (
            [("1", "train", 0, "x"), ("2", "train", 0, "y"), ("3", "val", 0, "x"), ("4", "test", 0, "y")],
            (SPLITS.format("2 images are", "'1' and '3'"),),
        ),
        ([("1", "train", 0, ""), ("2", "test", 1, "")], ()),
        ([("1", "train", 0, NOTHING), ("2", "test", 1, NOTHING)], ()),
    ],
)
def test_each_way_to_repeat_is_one_sentence(rows: list[tuple[str, str, int, str]], expected: tuple[str, ...]) -> None:
    assert said(*rows) == expected


def test_the_command_says_it_once_and_keeps_all(tmp_path: Path) -> None:
    root = write_photos(tmp_path / "photos")
    seen, tested = root / "train" / "ant" / "0.png", root / "test" / "ant" / "0.png"
    tested.write_bytes(seen.read_bytes())
    (root / "train" / "bee" / "again.png").write_bytes(seen.read_bytes())
    arguments = ["extract", "--data", str(root), "--model", "xmap-tiny", "--views", "0", "--workers", "0"]
    for _ in range(2):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0
        told = " ".join(result.stderr.split())
        assert told.count("1 image is in several splits, byte for byte, such as 'train/ant/0.png' and 'test/ant/0.png'") == 1
        assert told.count("1 image is in several classes, byte for byte, such as 'train/ant/0.png' and 'train/bee/again.png'") == 1
        assert "more than once" not in told


@pytest.mark.parametrize("leaks", [0, 1, 3])
def test_leaks_are_left_out_of_validation_and_test_where_it_is_asked_for(leaks: int) -> None:
    train = [Sample(f"t{number}", Path(f"t{number}"), number % 2, TRAIN) for number in range(4)]
    others = [Sample(f"{split}{number}", Path(f"{split}{number}"), number % 2, split) for split in (VAL, TEST) for number in range(4)]
    empty = [Sample(f"empty {split}", Path(f"empty {split}"), 0, split) for split in (TRAIN, TEST)]
    hashes = {sample.sample_id: digest(sample.sample_id) for sample in (*train, *others)} | {sample.sample_id: NOTHING for sample in empty}
    for number in range(leaks):
        hashes[others[number + 2].sample_id] = digest(train[number].sample_id)
    samples = having((*train, *others, *empty), hashes.values())
    found = without_leaks(Dataset("d", samples, ("a", "b"), ("{}",)))
    gone = {sample.sample_id for sample in others[2 : 2 + leaks]}
    assert {sample.sample_id for sample in found.samples} == {sample.sample_id for sample in (*train, *others, *empty)} - gone
    assert [remark.rpartition(" ")[2] for remark in found.remarks] == ([str(leaks)] if leaks else [])


def test_leaking_test_images_are_not_all_left_out_in_silence(tmp_path: Path) -> None:
    """The command ends before it encodes anything."""
    root = write_photos(tmp_path / "photos", test=1)
    for name in COLOURS:
        (root / "test" / name / "0.png").write_bytes((root / "train" / name / "0.png").read_bytes())
    result = CliRunner().invoke(app, ["run", "--data", str(root), "--model", "xmap-tiny", "--drop-leaks", "--workers", "0"])
    assert result.exit_code == 2
    told = " ".join(result.stderr.split())
    assert "--drop-leaks would leave out all 3 test images of 'photos', for they are in training too, byte for byte" in told
    assert not list(Path(os.environ["XMAP_STORE"]).glob("images/*"))
