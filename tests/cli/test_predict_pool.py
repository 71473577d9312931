"""What `xmap predict` is asked about: every form of data, mixed paths, stored features; what it keeps, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tests.worlds.commands import call
from tests.worlds.inputs import write_photos
from tests.worlds.tars import write_tar
from xmap.stages.extract.shard_encoder import ShardEncoder

RUN = ("--model", "xmap-tiny", "--views", "1", "--batch-size", "4", "--workers", "0", "--shots", "2", "--seeds", "1", "--quiet")
Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `photos`, the `store` of a run on them, an exported adapter, and a `pool` of images and a tar."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("world")
    photos = write_photos(folder / "photos", test=4)
    done = call("run", "--data", photos, *RUN, "--methods", "tip-adapter,xmadapter", "--store", folder / "store")
    assert done.exit_code == 0, done.output
    assert call("export", folder / "portable", "--store", folder / "store").exit_code == 0
    images = sorted((photos / "test").rglob("*.png"))
    for number, path in enumerate(images[::2]):
        (folder / "pool").mkdir(exist_ok=True)
        shutil.copy(path, folder / "pool" / f"{number}.png")
    write_tar(folder / "more.tar", [(f"{path.parent.name}-{path.name}", path.read_bytes()) for path in images[1::2]])
    return folder


@pytest.fixture
def world(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, as the working directory, with a store of this test's own."""
    for name in ("pool", "more.tar", "photos", "portable"):
        (tmp_path / name).symlink_to(made / name)
    shutil.copytree(made / "store", tmp_path / "store")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each shard had that was encoded."""
    counts: list[int] = []
    work: Callable[..., Any] = ShardEncoder._encode

    def counted(self: ShardEncoder, shard: Any, *others: Any) -> Any:
        counts.append(len(shard.images))
        return work(self, shard, *others)

    monkeypatch.setattr(ShardEncoder, "_encode", counted)
    return counts


def answered(*words: object, said: str = "") -> Rows:
    done = call("predict", *words, "--model", "xmap-tiny", "--format", "csv")
    assert done.exit_code == 0, done.output
    assert said in done.stderr
    return list(csv.DictReader(io.StringIO(done.stdout.lstrip("\ufeff"))))


def refused(*words: object) -> str:
    done = call("predict", *words, "--model", "xmap-tiny")
    assert done.exit_code == 2, done.output
    return done.stderr.splitlines()[-1]


def paths(rows: Rows) -> list[str]:
    return [row["path"] for row in rows]


def without(rows: Rows, *names: str) -> Rows:
    return [{name: value for name, value in row.items() if name not in names} for row in rows]


def test_a_pool_is_encoded_once_and_labelled_by_every_adapter(world: Path, encoded: list[int]) -> None:
    pool = write_photos(world / "new", train=1, val=1, test=2)
    (pool / "train/ant/0.png").write_bytes(b"no image")
    first = answered("--data", "new", "--store", "store", said="1 of 12 images could not be used: 1 not-an-image")
    made = sum(encoded)
    assert made > 5, "those that are no bytes of the photographs"
    again = answered("--data", "new", "--store", "store", "--method", "tip-adapter")
    assert sum(encoded) == made
    assert paths(first) == paths(again) == sorted(paths(first))
    assert [row["error"].partition(":")[0] for row in first if row["error"]] == ["not-an-image"]
    assert first != again


def test_known_says_what_the_adapter_learned_from(world: Path) -> None:
    rows = answered("--data", "photos", "--store", "store")
    assert {row["path"].partition("/")[0]: row["known"] for row in rows} == {"train": "True", "val": "True", "test": "False"}


def test_files_as_paths_leave_nothing_in_the_store_unless_asked_to(world: Path, encoded: list[int]) -> None:
    before = sorted((world / "store/features").rglob("*"))
    shutil.copy("pool/0.png", "new.png")
    plain = answered("new.png", "--store", "store")
    assert (encoded, sorted((world / "store/features").rglob("*"))) == ([], before)
    kept = answered("new.png", "--store", "store", "--keep-features")
    assert paths(plain) == paths(kept) == ["new.png"]
    assert [row["class"] for row in plain] == [row["class"] for row in kept]


def test_paths_of_every_kind_are_answered_in_their_order(world: Path) -> None:
    rows = answered("more.tar", "pool", "photos/val/ant/0.png", "--store", "store")
    tar, pool = answered("more.tar", "--store", "store"), answered("pool", "--store", "store", "--keep-features")
    assert rows[: len(tar) + len(pool)] == [*tar, *pool]
    assert paths(rows)[-1] == "photos/val/ant/0.png"
    assert all(path.startswith("more.tar/") for path in paths(tar))
    assert without(answered("mor*.tar", "--store", "store"), "path") == without(tar, "path")


def test_a_table_keeps_its_order_its_repeated_rows_and_its_columns(world: Path) -> None:
    (world / "list.csv").write_text("note,path,class\nlast,pool/2.png,x\n=first,pool/0.png,y\nagain,pool/2.png,z\n")
    rows = answered("--data", "list.csv", "--store", "store")
    assert paths(rows) == ["pool/2.png", "pool/0.png", "pool/2.png"]
    assert [row["note"].lstrip("'") for row in rows] == ["last", "=first", "again"]
    assert rows[0]["probability"] == rows[2]["probability"]
    cells = [Path(path).read_bytes() for path in ("pool/1.png", "pool/0.png")]
    pq.write_table(pa.table({"image": cells, "year": [2001, 2002]}), world / "cells.parquet")
    rows = answered("--data", "cells.parquet", "--store", "store")
    assert [(row["path"], row["year"]) for row in rows] == [("cells.parquet/00000000", "2001"), ("cells.parquet/00000001", "2002")]


def test_stored_features_are_labelled_without_an_encoder(world: Path, encoded: list[int]) -> None:
    rows = answered("--features", "photos", "--store", "store")
    asked = {row["path"]: row for row in answered("--data", "photos", "--store", "store")}
    assert encoded == []
    assert len(rows) == len(asked)
    assert [row["class"] for row in rows] == [asked[row["path"]]["class"] for row in rows]
    assert "nothing" in refused("--features", "nothing", "--store", "store")


def test_an_exported_folder_is_never_written_into(world: Path) -> None:
    before = sorted(path.name for path in (world / "portable").rglob("*"))
    said = "the features are not kept: there is no store here"
    rows = answered("--data", "pool", "--adapter", "portable", "--store", "none", said=said)
    assert sorted(path.name for path in (world / "portable").rglob("*")) == before
    assert not (world / "none").exists()
    assert [row["known"] for row in rows] == [""] * len(rows)
    kept = answered("--data", "pool", "--adapter", "portable", "--store", "store")
    assert without(kept, "known") == without(rows, "known")


def test_what_is_not_kept_gives_the_same_answers_and_is_gone(world: Path, encoded: list[int]) -> None:
    write_photos(world / "new", train=1, val=1, test=1)
    before = sorted((world / "store/features").rglob("*"))
    once = answered("--data", "new", "--store", "store", "--no-keep-features")
    assert sorted((world / "store/features").rglob("*")) == before
    alone = sum(encoded)
    assert alone == 9, "what the store has is not looked at"
    assert answered("--data", "new", "--store", "store") == once
    assert sum(encoded) > alone


def test_one_place_of_images_and_one_alone(world: Path) -> None:
    assert refused("--store", "store").startswith("xmap: no images are named; give files or folders, --data,")
    assert refused("pool", "--data", "pool", "--store", "store") == "xmap: images are named by PATH and by --data; give one of them."
    assert "--keep-features is for images that are encoded" in refused("--features", "photos", "--keep-features", "--store", "store")
    assert "there is no image or folder absent.tar" in refused("absent.tar", "--store", "store")
    assert "--data absent does not exist" in refused("--data", "absent", "--store", "store")
    assert refused("absent*.tar", "--store", "store").startswith("xmap: absent*.tar names ")
    for images in (("--data", "pool"), ("pool",)):
        assert "--gpus-per-worker is for --engine ray" in refused(*images, "--gpus-per-worker", "1", "--store", "store")
        assert "engine = 'rya': input should be 'local' or 'ray'" in refused(*images, "--engine", "rya", "--store", "store")
    (world / "empty").mkdir()
    for images in (("--data", "empty"), ("empty",)):
        assert refused(*images, "--store", "store").endswith("found no files; name the place where they are.")
    (world / "bad").mkdir()
    (world / "bad/0.png").write_bytes(b"no image")
    assert "none of the images of 'bad' can be used: '0.png' is not-an-image" in refused("--data", "bad", "--store", "store")


def test_nothing_asked_about_is_written_over(world: Path) -> None:
    (world / "rows.csv").write_text("path\npool/0.png\n")
    (world / "link.csv").symlink_to("rows.csv")
    shutil.copy("pool/0.png", "own.png")
    (world / "mine").mkdir()
    shutil.copy("pool/0.png", "mine/0.png")
    before = [(world / name).read_bytes() for name in ("rows.csv", "own.png", "mine/0.png")]
    for words in (
        ("--data", "rows.csv", "-o", "rows.csv"), ("rows.csv", "-o", "link.csv"), ("--data", "*.csv", "-o", "rows.csv"),
        ("own.png", "-o", "own.png", "--format", "csv"), ("mine", "-o", "mine/0.png", "--format", "csv"),
    ):  # fmt: skip
        assert "is what is asked about" in refused(*words)
    for words in (("--into", "x", "-o", "x/"), ("--into", "x/y", "-o", "x/"), ("--into", "mine", "-o", "mine/a.csv")):
        assert "one lies in the other" in refused("own.png", *words) or "is not empty" in refused("own.png", *words)
        assert not (world / "x").exists()
    assert before == [(world / name).read_bytes() for name in ("rows.csv", "own.png", "mine/0.png")]
    assert paths(answered("mine", "--store", "store", "-o", "mine/a.csv") + answered("mine", "--store", "store")) == ["mine/0.png"]


def test_an_exported_folder_has_no_other_method_or_seed(made: Path) -> None:
    words = ("predict", made / "photos/test", "--adapter", made / "portable", "--quiet", "--json")
    facts = json.loads((made / "portable/xmap-export.json").read_text("utf-8"))
    right = ("--method", facts["method"], "--seed", str(facts["seed"]))
    assert call(*words, *right).exit_code == 0
    for wrong in (("--method", "zero-shot"), ("--seed", "9"), ("--method", facts["method"], "--seed", "9")):
        refused = call(*words, *wrong)
        assert refused.exit_code == 2
        assert f"holds one adapter (method {facts['method']}, seed {facts['seed']})" in refused.stderr
