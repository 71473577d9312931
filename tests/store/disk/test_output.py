"""A place that a user named: links are followed, devices and pipes are written to, and what cannot be written is said at once."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.worlds.faults import Case
from xmap.store.disk.output import Output
from xmap.store.errors import OutputError, StoreFull
from xmap.store.formats.tables import encode_table

NULL = (1, 3)


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Path]:
    """A node of our own that swallows what is written, as the real one does."""
    path = tmp_path / "null"
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(*NULL))
        os.close(os.open(path, os.O_WRONLY))
    except OSError:
        pytest.skip("no device may be made or opened here")
    yield path
    path.unlink()


@pytest.mark.parametrize("before", [None, b"old and longer"])
def test_a_file_has_its_bytes_and_no_temporary_stays(tmp_path: Path, before: bytes | None) -> None:
    if before:
        (tmp_path / "out").write_bytes(before)
    Output(tmp_path / "out").write(b"new")
    assert (tmp_path / "out").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["out"]


def test_an_error_in_the_block_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"old")

    def fail() -> None:
        with Output(tmp_path / "out").open() as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert (tmp_path / "out").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.failure("odd output")
def test_a_disk_full_at_any_byte_leaves_the_old_file(tmp_path: Path, disk_with_room: Callable[..., object], case: Case) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    for name in ("real", "link"):
        for room in (0, 1, 20, 39):
            with case(), disk_with_room(room):  # type: ignore[attr-defined]
                with pytest.raises(StoreFull):
                    Output(tmp_path / name).write(bytes(40))
                assert (tmp_path / "link").read_bytes() == b"old"
                assert sorted(os.listdir(tmp_path)) == ["link", "real"]


@pytest.mark.parametrize("chain", [("link",), ("far", "link"), ("far", "farther", "link")])
@pytest.mark.parametrize("there", [True, False])
def test_links_stay_and_what_they_lead_to_is_written(tmp_path: Path, chain: tuple[str, ...], there: bool) -> None:
    (tmp_path / "below").mkdir()
    target = tmp_path / "below" / "real"
    if there:
        target.write_bytes(b"old")
    for name, leads in zip(chain, (*chain[1:], "below/real"), strict=True):
        (tmp_path / name).symlink_to(leads)
    Output(tmp_path / chain[0]).write(b"new")
    assert target.read_bytes() == b"new"
    assert all((tmp_path / name).is_symlink() for name in chain)
    assert not target.is_symlink()


def test_a_file_keeps_who_may_read_it(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"old")
    (tmp_path / "out").chmod(0o600)
    Output(tmp_path / "out").write(b"new")
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o600


@pytest.mark.failure("odd output")
def test_a_device_is_written_to_and_stays(device: Path, tmp_path: Path, case: Case) -> None:
    (tmp_path / "link").symlink_to(device)
    (tmp_path / "longer").symlink_to("link")
    for path in (device, tmp_path / "link", tmp_path / "longer"):
        with case():
            before = device.stat()
            output = Output(path)
            assert not output.is_file
            output.write(b"swallowed")
            with output.open() as file:
                encode_table(file, pa.table({"n": [1, 2]}), "")
            after = device.stat()
            assert (after.st_ino, after.st_mode, after.st_rdev) == (before.st_ino, before.st_mode, before.st_rdev)
    assert sorted(os.listdir(tmp_path)) == ["link", "longer", "null"]


def test_a_fifo_is_written_to_and_stays(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    table, read = pa.table({"n": [1, 2, 3]}), []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "fifo").read_bytes()))
    reader.start()
    with Output(tmp_path / "fifo").open() as file:
        encode_table(file, table, "")
    reader.join(10)
    assert pq.read_table(pa.BufferReader(read[0])).equals(table)
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)


CHILD = """
import sys
from xmap.store.disk.output import Output
print("before")
Output(sys.argv[1]).write(b"data\\n")
print("after")
"""


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "/proc/thread-self/fd/1", "-", "link"])
def test_stdout_by_any_name_is_added_to(tmp_path: Path, name: str) -> None:
    """A redirected stdout is a regular file: it is neither replaced nor started anew."""
    (tmp_path / "link").symlink_to("/dev/stdout")
    kept = tmp_path / "kept"
    kept.write_bytes(b"kept\n")
    with kept.open("ab") as file:
        root = Path(__file__).resolve().parents[3]
        command = [sys.executable, "-c", CHILD, name]
        subprocess.run(command, stdout=file, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(root)}, check=True)
    assert kept.read_bytes() == b"kept\nbefore\ndata\nafter\n"
    assert sorted(os.listdir(tmp_path)) == ["kept", "link"]


def test_a_pipe_that_another_process_has_open_is_written_to(tmp_path: Path) -> None:
    """`/proc/1/fd/1`, as people name the log of a container."""
    ours, theirs = os.pipe()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=theirs) as other:
        Output(f"/proc/{other.pid}/fd/1").write(b"data")
        other.kill()
    os.close(theirs)
    assert os.read(ours, 100) == b"data"
    os.close(ours)


def a_loop(folder: Path) -> str:
    (folder / "one").symlink_to("two")
    (folder / "two").symlink_to("one")
    return "one"


def a_link_to_a_folder(folder: Path) -> str:
    (folder / "below").mkdir()
    (folder / "link").symlink_to("below")
    return "link"


def below_a_file(folder: Path) -> str:
    (folder / "file").write_bytes(b"")
    return "file/out"


def a_link_into_nothing(folder: Path) -> str:
    (folder / "link").symlink_to("no/such/file")
    return "link"


def a_closed_descriptor(folder: Path) -> str:
    return "/dev/fd/987"


WRONG: dict[str, tuple[Callable[[Path], str], str]] = {
    "no folder": (lambda folder: "no/out.csv", "there is no folder"),
    "the folder itself": (lambda folder: ".", "a folder has that name"),
    "a name of a folder": (lambda folder: "new/", "a folder has that name"),
    "a link to a folder": (a_link_to_a_folder, "a folder has that name"),
    "a link into nothing": (a_link_into_nothing, "there is no folder"),
    "below a file": (below_a_file, "is no folder"),
    "a loop of links": (a_loop, "Too many levels"),
    "a long name": (lambda folder: "x" * 300, "File name too long"),
    "a long path": (lambda folder: "x/" * 3000, "File name too long"),
    "a null character": (lambda folder: "a\0b", "null character"),
    "a place where nothing can be made": (lambda folder: "/proc/out.csv", "cannot be written"),
    "a closed descriptor": (a_closed_descriptor, "Bad file descriptor"),
}


@pytest.mark.failure("odd output")
def test_what_cannot_be_written_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    for number, (make, said) in enumerate(WRONG.values()):
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.chdir(folder)
        name = make(folder)
        before = sorted(os.listdir(folder))
        with case():
            with pytest.raises(OutputError) as caught:
                Output(name, "--out FILE").write(b"new")
            assert said in str(caught.value)
            assert str(caught.value).endswith("name another with --out FILE.")
            assert sorted(os.listdir(folder)) == before


def test_the_longest_name_that_there_is_can_be_written(tmp_path: Path) -> None:
    for name in ("x" * 255, "é" * 127):
        Output(tmp_path / name).write(b"new")
        assert (tmp_path / name).read_bytes() == b"new"


def test_what_a_killed_writer_left_is_cleared_and_a_living_ones_file_is_not(tmp_path: Path) -> None:
    (tmp_path / ".out.123.partial").write_bytes(b"left")
    (tmp_path / ".other.123.partial").write_bytes(b"another's")
    with Output(tmp_path / "out").open():
        assert len(list(tmp_path.glob(".out.*.partial"))) == 1
        Output(tmp_path / "out")
        assert len(list(tmp_path.glob(".out.*.partial"))) == 1
    assert sorted(os.listdir(tmp_path)) == [".other.123.partial", "out"]
