"""`xmap next`: what to label of a pool, and the loop back into the next run."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.worlds.commands import call
from tests.worlds.inputs import COLOURS, write_photos
from tests.worlds.tars import write_tar

RUN = ("--model", "xmap-tiny", "--views", "0", "--batch-size", "4", "--workers", "0", "--seeds", "1", "--quiet")
FEW = ("--shots", "100", "--short", "keep", "--methods", "zero-shot,tip-adapter")
FRESH = 6


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `photos`, the `store` of a run on them, and a `pool` with images of all kinds; nobody changes it."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("next")
    photos = write_photos(folder / "photos")
    draw = np.random.default_rng(2)
    (folder / "pool/deep").mkdir(parents=True)
    for number in range(FRESH):
        place = folder / "pool" / ("deep" if number % 2 else "") / f"=new, {number}.png"
        Image.fromarray(draw.integers(0, 256, (24, 24, 3), np.uint8)).save(place)
    seen = {"train": "seen.png", "test": "deep/tested.png"}
    for split, name in seen.items():
        shutil.copy(next((photos / split).rglob("*.png")), folder / "pool" / name)
    shutil.copy(folder / "pool/=new, 0.png", folder / "pool/deep/twice.png")
    shutil.copy(folder / "pool/=new, 0.png", folder / "pool/\x1b[31m.png")
    (folder / "pool/broken.png").write_text("no picture")
    done = call("run", "--data", photos, *RUN, *FEW, "--store", folder / "store")
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def here(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the world to change, as the working directory."""
    shutil.copytree(world, tmp_path / "here", symlinks=True)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("XMAP_STORE", str(tmp_path / "here/store"))
    return tmp_path / "here"


def encode_nothing(*_: object) -> None:
    raise AssertionError("an image is to be encoded")


def answer(*words: object) -> dict[str, Any]:
    done = call("next", *words, "--json", "--quiet", "--workers", 0)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def filled(path: Path, label: str) -> None:
    """What a person does: a label for all but the last row."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        header, *rows = csv.reader(file)
    for row in rows[:-1]:
        row[header.index("label")] = label
    with open(path, "w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def test_what_is_labelled_unreadable_or_there_twice_is_left_out_and_counted(world: Path) -> None:
    found = answer(world / "pool", "--store", world / "store")
    assert found["left_out"] == {"nameless": 1, "labelled": 2, "given": 0, "repeated": 1}
    assert [row["path"] for row in found["errors"]] == ["broken.png"]
    assert found["pool"] == FRESH + 5
    paths = [Path(row["path"]) for row in found["candidates"]]
    assert sorted(paths) == sorted(path for path in (world / "pool").rglob("*new*.png"))
    assert {row["label"] for row in found["candidates"]} == {""}
    assert {row["guess"] for row in found["candidates"]} <= set(COLOURS)


def test_a_narrow_terminal_still_says_why(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmap.cli.tables.terminal_width", lambda: 80)
    whys = [row["why"].partition(";")[0] for row in answer("pool")["candidates"]]
    header, _, *rows = [line for line in call("next", "pool", "--quiet").stdout.splitlines() if line.strip()]
    assert header.split()[-1] in ("why", "caches")
    assert all(why.startswith("or ") and why in row for why, row in zip(whys, rows, strict=True))


def test_an_image_is_encoded_once(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = answer(world / "pool", "-n", 3, "--store", world / "store")
    monkeypatch.setattr("xmap.stages.extract.extraction.ShardEncoder", encode_nothing)
    again = answer(world / "pool", "-n", 3, "--store", world / "store")
    assert again == first
    # Under another name it is the same image.
    (tmp_path / "moved").mkdir()
    shutil.copy(world / "pool/deep/=new, 1.png", tmp_path / "moved/x.png")
    (moved,) = answer(tmp_path / "moved", "--store", world / "store")["candidates"]
    assert moved["path"] == str(tmp_path / "moved/x.png")


@pytest.mark.parametrize("name", ["next.csv", "next.parquet", "next.jsonl"])
def test_the_table_filled_in_joins_the_training_images(here: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("next", "pool", "-n", 4, "-o", "next.csv", "--quiet").exit_code == 0
    filled(Path("next.csv"), "ant")
    if name != "next.csv":
        import duckdb

        form = "(format json)" if name.endswith("l") else ""
        duckdb.sql(f"copy (from read_csv('next.csv', all_varchar = true)) to '{name}' {form}")
    before = call("run", "--data", "photos", *RUN, *FEW, "--json")
    monkeypatch.setattr("xmap.stages.extract.extraction.ShardEncoder", encode_nothing)
    done = call("run", "--data", "photos", *(word for word in RUN if word != "--quiet"), *FEW, "--labels", name)
    assert done.exit_code == 0, done.output
    said = " ".join(done.stderr.split())
    assert f"{name} corrects the labels of 0 images and leaves out 0, and adds 3 to training; 1 of its rows have no label yet" in said
    assert "3 images new: nothing to encode" in said
    after = call("run", "--data", "photos", *RUN, *FEW, "--labels", name, "--json")
    samples = [json.loads(made.stdout)["evaluation"]["samples"] for made in (before, after)]
    assert samples[0] == samples[1], "what was chosen is never tested on"
    assert answer("pool")["left_out"]["labelled"] >= 2 + 3


def test_a_table_in_the_pool_itself_starts_no_formula(here: Path) -> None:
    assert call("next", "pool", "-o", "pool/next.csv", "--quiet").exit_code == 0
    filled(Path("pool/next.csv"), "ant")
    with open("pool/next.csv", encoding="utf-8-sig", newline="") as file:
        assert "./=new, 0.png" in {row["path"] for row in csv.DictReader(file)}
    done = call("run", "--data", "photos", *(word for word in RUN if word != "--quiet"), *FEW, "--labels", "pool/next.csv")
    assert "adds 5 to training" in " ".join(done.stderr.split()), done.output


@pytest.mark.failure("wrong layout")
def test_labels_that_somebody_gave_are_not_written_over_nor_asked_again(here: Path) -> None:
    Path("labels").mkdir()
    assert call("next", "pool", "-n", 2, "-o", "labels/one.csv", "--quiet").exit_code == 0
    assert call("next", "pool", "-n", 3, "-o", "labels/one.csv", "--quiet").exit_code == 0, "nothing is filled in yet"
    filled(Path("labels/one.csv"), "leave-out")
    refused = call("next", "pool", "-o", "labels/one.csv")
    assert refused.exit_code == 2
    assert "holds 2 labels that somebody gave" in " ".join(refused.stderr.split())
    given = [row["path"] for row in answer("pool", "-n", 3)["candidates"]]
    rest = answer("pool", "--labels", "labels/one.csv")
    assert rest["left_out"]["given"] >= 2
    assert not set(given[:2]) & {row["path"] for row in rest["candidates"]}


def test_links_lead_to_the_images_and_what_lies_in_a_tar_becomes_a_file(here: Path) -> None:
    assert call("next", "pool", "-n", 2, "--links", "look", "-o", "next.csv", "--quiet").exit_code == 0
    links = sorted(Path("look").iterdir())
    assert all(link.is_symlink() and Path(os.readlink(link)).is_absolute() and link.exists() for link in links)
    assert [link.name[:2] for link in links] == ["1-", "2-"]
    assert call("next", "pool", "--links", "look").exit_code == 2

    write_tar(Path("pool.tar"), [(f"{number}.png", path.read_bytes()) for number, path in enumerate(sorted(Path("pool").glob("=*.png")))])
    told = call("next", "pool.tar")
    assert "3 of them lie in tars or tables" in " ".join(told.stderr.split()), told.output
    assert call("next", "pool.tar", "--links", "copies", "-o", "tar.csv", "--quiet").exit_code == 0
    filled(Path("tar.csv"), "cat")
    done = call("run", "--data", "photos", *(word for word in RUN if word != "--quiet"), *FEW, "--labels", "tar.csv")
    assert "adds 2 to training" in " ".join(done.stderr.split()), done.output


@pytest.mark.failure("wrong layout")
def test_a_pool_without_anything_to_label_is_refused_in_a_sentence(here: Path) -> None:
    for words, said in (
        (("photos",), "none is left to label: 27 labelled already"),
        ((), "no pool is given"),
        (("gone",), "does not exist"),
    ):
        done = call("next", *words)
        assert done.exit_code == 2
        assert said in " ".join(done.stderr.split())
