"""Images, names, checkpoints, manifests and queries made to break xmap: each is used, or refused in one sentence, and none runs code."""

from __future__ import annotations

import json
import os
import shutil
import struct
import unicodedata
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.promises.conftest import Commands, Control, Ended
from tests.worlds.artifacts import seal_again
from tests.worlds.faults import Case
from tests.worlds.inputs import write_layout
from tests.worlds.models import MODEL as MODEL_CFG
from tests.worlds.pictures import picture
from tests.worlds.runs import MODEL, RUN, tree
from xmap.store.artifacts.artifact import Store
from xmap.store.formats.features import read_errors

NAMES = (
    "with space", "it's", 'quo"te', "st*r[x]?", "semi;colon", "new\nline", "\U0001f600", "שלום", "-dash", "--data", "x" * 255, "{}", "{0}",
    "%s", "'; DROP VIEW samples --", "$(touch ran)", "`touch ran`", "<script>alert(1)<script>", "\x1b[2J\x1b[31m", "\u202eevil", "label=5",
    "Case", "case", unicodedata.normalize("NFD", "café"), "\\", "a|b", "#", "~", "tab\there", "null", "NaN", "1e5", "\u2028", "[bold]",
)  # fmt: skip
# Characters that must not reach a terminal.
HARMFUL = ("\x1b", "\u202e", "\u2028")


def write_bad_images(folder: Path) -> dict[str, str]:
    """One bad image of each kind: file name and the kind that extraction gives it."""
    whole = folder / "whole.jpg"
    picture(1).save(whole)
    data = whole.read_bytes()
    whole.unlink()
    (folder / "empty.jpg").touch()
    (folder / "page.jpg").write_text("<html>404</html>")
    (folder / "cut.jpg").write_bytes(data[: len(data) // 2])
    (folder / "bomb.png").write_bytes(png_head(60_000, 60_000))
    (folder / "folder.jpg").mkdir()
    (folder / "gone.jpg").symlink_to("nowhere")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    os.mkfifo(folder / "pipe.jpg")
    Image.fromarray(np.ones((8, 8), np.float32), "F").save(folder / "float.tif")
    kinds = {"empty": "empty", "page": "not-an-image", "cut": "truncated", "gone": "missing", "loop": "link-loop", "pipe": "not-a-file"}
    return {f"{name}.jpg": kind for name, kind in kinds.items()} | {"bomb.png": "too-large", "float.tif": "unsupported"}


def write_odd_images(folder: Path) -> list[str]:
    """Sound images in forms that careless readers get wrong."""
    Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000).save(folder / "deep.png")
    picture(2).convert("CMYK").save(folder / "print.jpg")
    picture(3).convert("P").save(folder / "palette.png", transparency=3)
    turned = Image.Exif()
    turned[0x0112] = 6
    picture(4).save(folder / "turned.jpg", exif=turned)
    picture(5).save(folder / "moving.gif", save_all=True, append_images=[picture(6)])
    picture(7).save(folder / "liar.png", "JPEG")
    picture(8).convert("1").save(folder / "ink.png")
    return ["deep.png", "print.jpg", "palette.png", "turned.jpg", "moving.gif", "liar.png", "ink.png"]


def png_head(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b"\0" * 99))
    )


def is_plain(ended: Ended) -> None:
    """Nothing that was said drives a terminal, and nothing is a traceback."""
    for text in (ended.stdout, ended.stderr):
        assert not any(sign in text for sign in HARMFUL)
        assert "Traceback" not in text


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, world: Path) -> tuple[Path, dict[str, str], list[str]]:
    """A folder whose classes have hostile names, with bad and odd images in one of them."""
    folder = tmp_path_factory.mktemp("hostile")
    for number, name in enumerate(NAMES):
        for split in ("train", "test"):
            (folder / "photos" / split / name).mkdir(parents=True)
            picture(number).save(folder / "photos" / split / name / f"{name[:60]}.png")
    odd = folder / "photos" / "train" / "it's"
    os.mkdir(os.fsencode(folder / "photos" / "train") + b"/bad\xff")
    shutil.copytree(world / MODEL, folder / MODEL)
    return folder, write_bad_images(odd), write_odd_images(odd)


@pytest.mark.promise
@pytest.mark.timeout(120)
@pytest.mark.failure("hostile images and names")
def test_a_hostile_folder_is_used_as_far_as_it_goes(
    commands: Commands, hostile: tuple[Path, dict[str, str], list[str]], tmp_path: Path, case: Case
) -> None:
    folder, bad, odd = hostile
    store = tmp_path / "it's a [store]; *\n\U0001f600"
    flags = [*RUN[1:], "--shots", "1", "--views", "0", "--methods", "zero-shot,tip-adapter"]
    first = commands("run", *flags, cwd=folder, store=store)
    assert first.code == 0, first.stderr
    assert f"8 of {2 * len(NAMES) + len(bad) + len(odd)} images could not be used" in first.stderr, first.stderr
    assert r"1 names that are not UTF-8 were left out: b'train/bad\xff'" in first.stderr
    assert "classes that differ by case alone: 'Case', 'case'" in first.stderr
    rows = query(commands, folder, store, "select sample_id, class_name from samples where split = 'train'")
    found = {row["sample_id"]: row["class_name"] for row in rows}
    for name in NAMES:
        with case():
            plain = unicodedata.normalize("NFC", name)
            assert found[unicodedata.normalize("NFC", f"train/{name}/{name[:60]}.png")] == plain
    for name in odd:
        with case():
            assert found[f"train/it's/{name}"] == "it's"
    assert not any(f"train/it's/{name}" in found for name in bad)
    for argv in (
        ["status", *flags],
        ["verify"],
        ["gc", *flags],
        ["sql", "select * from affinity"],
        ["sql", "from runs", "--format", "csv"],
    ):
        with case():
            ended = commands(*argv, cwd=folder, store=store)
            assert ended.code == 0, ended.stderr
            is_plain(ended)
    is_plain(first)
    assert not (folder / "ran").exists()


@pytest.mark.failure("hostile images and names")
def test_each_bad_image_is_listed_with_its_kind(
    commands: Commands, hostile: tuple[Path, dict[str, str], list[str]], tmp_path: Path, case: Case
) -> None:
    folder, bad, _ = hostile
    assert commands("extract", *RUN[1:], "--views", "0", cwd=folder, store=tmp_path).code == 0
    (images,) = Store(tmp_path).artifacts("images")
    listed = {Path(row.path).name: row.kind for row in read_errors(images.file("errors.parquet"))}
    for name, kind in bad.items():
        with case():
            assert listed.pop(name) == kind
    assert listed == {}


def query(commands: Commands, folder: Path, store: Path, sql: str) -> list[dict[str, Any]]:
    ended = commands("sql", sql, "--json", cwd=folder, store=store)
    assert ended.code == 0, ended.stderr
    rows: list[dict[str, Any]] = json.loads(ended.stdout)
    return rows


# ---- checkpoints


class Bomb:
    """A pickle that runs code: it makes a folder."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


CHECKPOINTS = (
    "open_clip_model.safetensors", "open_clip_pytorch_model.bin", "open_clip_pytorch_model.pth", "model.safetensors", "pytorch_model.bin",
    "model.pth",
)  # fmt: skip


@pytest.mark.promise
@pytest.mark.failure("hostile checkpoint")
def test_a_pickle_that_would_run_code_runs_nothing_under_any_name(commands: Commands, world: Path, tmp_path: Path, case: Case) -> None:
    ran = tmp_path / "ran"
    # As large as the model's weights, so that it is opened.
    torch.save({"state_dict": Bomb(ran), "room": torch.zeros(2_000_000, dtype=torch.uint8)}, tmp_path / "bomb")
    flags = [flag for flag in RUN[1:] if not flag.startswith("local-dir:")]
    place = flags.index("--model")
    for name in CHECKPOINTS:
        folder = tmp_path / name.replace(".", "-")
        folder.mkdir()
        (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": MODEL_CFG}))
        shutil.copy(tmp_path / "bomb", folder / name)
        with case():
            refused(commands("run", *flags[: place + 1], f"local-dir:{folder}", *flags[place + 1 :], cwd=world, store=tmp_path / "s"))
            assert not ran.exists()
    for suffix in (".pt", ".npz"):
        shutil.copy(tmp_path / "bomb", tmp_path / f"weights{suffix}")
        named = ["--pretrained", str(tmp_path / f"weights{suffix}")]
        with case():
            refused(commands("run", *flags[: place + 1], "ViT-S-32-alt", *named, *flags[place + 1 :], cwd=world, store=tmp_path / "s"))
            assert not ran.exists()
    write_layout(tmp_path / "layout")
    for path in sorted((tmp_path / "layout").glob("*.pt")):
        data = path.read_bytes()
        torch.save(Bomb(ran), path)
        with case():
            refused(commands("import", "tip-adapter", str(tmp_path / "layout"), cwd=world, store=tmp_path / "s"))
            assert not ran.exists()
        path.write_bytes(data)


def refused(ended: Ended) -> None:
    assert ended.code == 2, ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("xmap: ")
    is_plain(ended)


# ---- manifests and queries


@pytest.fixture
def secret(control: Control, tmp_path: Path) -> Iterator[Path]:
    """A store beside a file that nobody may read through it."""
    shutil.copytree(control.store, tmp_path / "store")
    (tmp_path / "secret.parquet").write_bytes(next(control.store.glob("images/*/train-00000.parquet")).read_bytes())
    yield tmp_path / "store"
    assert tree(tmp_path / "store")


@pytest.mark.promise
@pytest.mark.failure("hostile manifest")
def test_a_manifest_leads_nowhere_outside_its_folder(commands: Commands, world: Path, secret: Path, case: Case) -> None:
    path = next(secret.glob("images/*/manifest.json"))
    manifest = json.loads(path.read_bytes())
    for name in ("../../../secret.parquet", "/etc/passwd", str(secret.parent / "secret.parquet"), "train-0/../../../../secret.parquet"):
        entry = {**manifest["files"][1], "name": name}
        path.write_bytes(seal_again({**manifest, "files": [*manifest["files"], entry]}))
        for argv, code in (["sql", "select count(*) as n from samples"], 0), (["verify"], 1), (["status"], 0), (["gc", "--yes"], 0):
            with case():
                ended = commands(*argv, cwd=world, store=secret)
                assert ended.code == code, ended.stderr
                assert "it names a file outside its folder" in ended.stdout + ended.stderr
                is_plain(ended)
        assert commands("run", *RUN[1:], cwd=world, store=secret).code == 2
    assert (secret.parent / "secret.parquet").exists()


@pytest.mark.failure("hostile query")
@pytest.mark.parametrize(
    "sql",
    [
        "COPY samples TO 'out.csv'", "SELECT * FROM read_csv('/etc/passwd')", "INSTALL httpfs", "ATTACH 'x.db'",
        "WITH x AS (COPY (SELECT 1) TO 'out.csv') SELECT 1", "SELECT * FROM '../secret.parquet'",
    ],
)  # fmt: skip
def test_a_query_reads_and_writes_nothing_else(commands: Commands, world: Path, secret: Path, sql: str) -> None:
    before = sorted(world.rglob("*"))
    refused(commands("sql", sql, cwd=world, store=secret))
    assert sorted(world.rglob("*")) == before
