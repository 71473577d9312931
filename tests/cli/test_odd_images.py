"""Odd images through the commands: each is one bad image or is read as it was meant, and what was assumed is said once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import Result

from tests.worlds.commands import call
from tests.worlds.report import RUN
from xmap.pipeline.adapters.choice import load_chosen
from xmap.store.artifacts.artifact import Store
from xmap.store.formats.features import read_errors

pytestmark = pytest.mark.failure("odd pixels")
METHODS = ("--methods", "tip-adapter", "--shots", 2, "--set", "run.seeds=1")


def paint(folder: Path) -> np.ndarray:
    """Eight pictures of 12 bits in each of two classes, in 16-bit files; returns the last one."""
    draw = np.random.default_rng(0)
    for name, level in (("dark", 90), ("light", 180)):
        (folder / name).mkdir(parents=True)
        for number in range(8):
            pixels = np.clip(draw.normal(level, 40, (24, 24)), 0, 255).astype(np.uint16)
            pixels[0, 0] = 255
            Image.fromarray((pixels * 16).astype(np.uint16)).save(folder / name / f"{number}.png")
    return pixels


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A run on pictures of 12 bits with a thread of pixels and a HEIC that is none among them."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("odd")
    last = paint(folder / "data")
    Image.new("RGB", (2_000_000, 1)).save(folder / "data" / "dark" / "thin.png")
    (folder / "data" / "dark" / "phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    Image.fromarray(last.astype(np.uint8)).save(folder / "eight.png")
    (folder / "holiday.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    done = call("run", "--data", folder / "data", *RUN[:-3], "--seeds", "1", *METHODS[:4], "--store", folder / "store")
    return folder, done


def test_extraction_lists_what_is_odd_and_says_what_it_assumed(world: tuple[Path, Result]) -> None:
    folder, done = world
    assert done.exit_code == 0, done.output
    assert done.stderr.count("16 of 12 bits (--depth 16 takes them as they are)") == 1
    assert done.stderr.count("2 of 18 images could not be used") == 1
    images = Store(folder / "store").artifacts("images")[0]
    assert "depth" not in images.fields
    assert {row.sample_id: row.kind for row in read_errors(images.file("errors.parquet"))} == {
        "dark/phone.HEIC": "damaged",
        "dark/thin.png": "too-large",
    }


def test_what_was_assumed_is_said_of_rows_that_were_there(world: tuple[Path, Result], tmp_path: Path) -> None:
    shutil.copytree(world[0] / "data/light", tmp_path / "other/light")
    shutil.copytree(world[0] / "data/dark", tmp_path / "other/pale")
    done = call("extract", "--data", tmp_path / "other", *RUN[:-3], "--store", world[0] / "store")
    assert done.exit_code == 0, done.output
    assert "18 images new, 1 to encode" in done.stderr, "the one that is too large is looked at again"
    assert done.stderr.count("16 of 12 bits (--depth 16 takes them as they are)") == 1


def test_prediction_goes_on_after_each_odd_image(world: tuple[Path, Result]) -> None:
    folder, _ = world
    data = folder / "data"
    paths = [
        data / "light" / "7.png",
        data / "dark" / "thin.png",
        data / "dark" / "phone.HEIC",
        folder / "holiday.jpg",
        folder / "eight.png",
    ]
    result = call("predict", *paths, "--method", "tip-adapter", "--json", "--store", folder / "store")
    assert result.exit_code == 0, result.output
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row.get("error") for row in found] == [None, "too-large", "damaged", "not-an-image", None]
    # The same picture in 12 bits of 16, and in 8.
    assert found[0]["probability"] == pytest.approx(found[4]["probability"], abs=1e-4)
    assert "1 of 12 bits" in result.stderr


def test_new_images_are_read_as_the_cached_ones_were(world: tuple[Path, Result]) -> None:
    folder, _ = world
    few = ("--seeds", "1", *METHODS[:4], "--depth", "16", "--max-pixels", "1000")
    done = call("run", "--data", folder / "data", *RUN[:-3], *few, "--store", folder / "sixteen")
    assert done.exit_code == 0, done.output
    assert "of 12 bits" not in done.stderr
    adapter = load_chosen(Store(folder / "sixteen"), method="tip-adapter")
    assert (adapter.rules().depth, adapter.rules().max_pixels) == (16, 1000)
    assert adapter.rules(depth="12").depth == 12
    large = folder / "large.png"
    Image.new("L", (40, 40)).save(large)
    dark, bad = adapter.predict([folder / "data" / "light" / "7.png", large])
    assert bad.error is not None
    assert bad.error.kind == "too-large"
    assert dark.error is None


@pytest.mark.parametrize("words", [("--depth", "7"), ("--depth", "17"), ("--depth", "deep"), ("--max-pixels", "0"), ("--max-pixels", "x")])
def test_a_wrong_setting_is_a_sentence(words: tuple[str, str], world: tuple[Path, Result]) -> None:
    folder, _ = world
    for command in (("extract", "--data", folder / "data", *RUN[:2]), ("predict", folder / "eight.png", "--method", "tip-adapter")):
        result = call(*command, *words, "--store", folder / "store")
        assert result.exit_code == 2
        assert words[0] in result.stderr
