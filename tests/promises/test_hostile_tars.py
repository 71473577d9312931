"""Hostile tars through the command line: one sentence that names tar and member, and not a byte written outside the store."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from tests.promises.conftest import Commands
from tests.promises.test_hostile import is_plain, refused
from tests.stages.datasets.sources.test_tar import HOSTILE
from tests.stages.datasets.sources.test_tar_samples import UNFIT
from tests.worlds.faults import Case
from tests.worlds.runs import FEATURES
from tests.worlds.tars import END, header, padded, write_tar

# Where hostile names would lead from the working directory.
OUTSIDE = ("evil.png", "made-by-tar/evil.png")


def surroundings(folder: Path) -> dict[str, bytes | None]:
    """All that lies in and around the working directory, but for the store."""
    found = (path for path in folder.rglob("*") if "store" not in path.relative_to(folder).parts)
    return {str(path): path.read_bytes() if path.is_file() else None for path in found}


@pytest.mark.promise
@pytest.mark.timeout(120)
@pytest.mark.failure("hostile tar")
def test_a_hostile_tar_writes_nothing_outside_the_store(commands: Commands, world: Path, tmp_path: Path, case: Case) -> None:
    flags = [flag.replace("local-dir:model", f"local-dir:{world / 'model'}") for flag in FEATURES[2:]]
    work = tmp_path / "a" / "b"
    (work / "tars").mkdir(parents=True)
    tars = {name: data + END for name, (data, _) in HOSTILE.items()}
    evil = [f"../../{OUTSIDE[0]}", f"../../{OUTSIDE[1]}", f"{tmp_path}/{OUTSIDE[0]}", f"./..//../{OUTSIDE[0]}"]
    tars |= {f"evil {number}": header(name, size=3) + padded(b"abc") + END for number, name in enumerate(evil)}
    link = header("out", tarfile.SYMTYPE, linkname=str(tmp_path)) + header("out/evil.png", size=3) + padded(b"abc")
    tars["through a link"] = link + END
    for name, data in tars.items():
        path = work / "tars" / "x.tar"
        path.write_bytes(data)
        before = surroundings(tmp_path)
        with case():
            ended = commands("extract", "--data", "tars", *flags, cwd=work, store=work / "store")
            refused(ended)
            assert "tars/x.tar" in ended.stderr, name
            assert surroundings(tmp_path) == before
    for members, _ in UNFIT.values():
        write_tar(work / "tars" / "x.tar", members)
        with case():
            refused(commands("extract", "--data", "tars", *flags, cwd=work, store=work / "store"))


@pytest.mark.failure("hostile tar")
def test_names_that_drive_a_terminal_are_shown_harmless(commands: Commands, world: Path, tmp_path: Path) -> None:
    for name in ("\x1b[2J.png", "\u202egnp.exe", "a\nb.png", "<script>.png"):
        write_tar(tmp_path / "x.tar", [(name, b"x"), (name, b"y")])
        ended = commands("extract", "--data", "x.tar", cwd=tmp_path, store=tmp_path / "store")
        assert ended.code == 2
        assert "is there twice" in ended.stderr
        is_plain(ended)
