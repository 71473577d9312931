"""A file is whole or absent, whatever happens while it is written."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

import xmap.store.disk.files
from xmap.store.disk.files import (
    atomic_file,
    clear_temporaries,
    free_bytes,
    hash_file,
    make_folder,
    open_plain,
    read_plain,
    require_plain,
    require_space,
    write_bytes,
)
from xmap.store.errors import InputError, NotPlain, StoreDenied, StoreFull, XmapError


def test_a_written_file_holds_its_bytes_and_no_temporary_stays(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"first")
    write_bytes(tmp_path / "a", b"second")
    assert (tmp_path / "a").read_bytes() == b"second"
    assert os.listdir(tmp_path) == ["a"]


def test_an_error_in_the_block_leaves_the_old_file(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"old")

    def fail() -> None:
        with atomic_file(tmp_path / "a") as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("before", [None, b"old"])
def test_a_disk_full_at_any_byte_leaves_old_or_nothing(tmp_path: Path, disk_with_room, before: bytes | None) -> None:
    path, data = tmp_path / "a", bytes(range(40))
    if before is not None:
        write_bytes(path, before)
    for room in range(len(data)):
        with disk_with_room(room), pytest.raises(StoreFull) as caught:
            write_bytes(path, data)
        assert caught.value.needed == len(data)
        assert caught.value.free > 0
        assert str(caught.value).startswith("the disk is full: ")
        assert (path.read_bytes() if path.exists() else None) == before
        assert os.listdir(tmp_path) == (["a"] if before else [])
    with disk_with_room(len(data)):
        write_bytes(path, data)
    assert path.read_bytes() == data


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, StoreFull), (errno.EDQUOT, StoreFull), (errno.EACCES, StoreDenied), (errno.EROFS, StoreDenied)]
)
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failing_system_call_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, kind: type[XmapError]
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(xmap.store.disk.files.os, call, fail)
    with pytest.raises(kind) as caught:
        write_bytes(tmp_path / "a", b"data")
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "a") in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_another_system_error_is_not_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(xmap.store.disk.files.os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output") as caught:
        write_bytes(tmp_path / "a", b"data")
    assert not isinstance(caught.value, XmapError)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("before", [None, b"old"])
def test_what_is_not_known_to_stand_is_taken_away_and_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bytes | None
) -> None:
    """The system may drop what it could not write, and say of a second sync that all is well."""
    path, answers = tmp_path / "a", iter([None, OSError(errno.EIO, "Input/output error")])
    if before is not None:
        write_bytes(path, before)

    def answer(descriptor: int) -> None:
        if error := next(answers, None):
            raise error

    monkeypatch.setattr(xmap.store.disk.files.os, "fsync", answer)
    with pytest.raises(OSError, match="Input/output"):
        write_bytes(path, b"data")
    assert os.listdir(tmp_path) == ([] if before is None else ["a"])
    write_bytes(path, b"data")
    assert path.read_bytes() == b"data"


def test_a_new_folder_is_synced_with_all_above_it_that_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(xmap.store.disk.files.os, "fsync", lambda number: synced.append(os.readlink(f"/proc/self/fd/{number}")))
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert sorted(synced) == [str(tmp_path), str(tmp_path / "a")]


def test_space_is_checked_before_work(tmp_path: Path) -> None:
    with pytest.raises(StoreFull) as caught:
        require_space(tmp_path, 1 << 60)
    assert caught.value.needed == 1 << 60
    require_space(tmp_path, 1)
    assert free_bytes(tmp_path / "not" / "there") == pytest.approx(free_bytes(tmp_path), rel=0.1)


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOSPC])
def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "mkdir", fail)
    with pytest.raises(StoreDenied if number == errno.EACCES else StoreFull):
        make_folder(tmp_path / "a" / "b")


def test_a_file_in_place_of_a_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match="a file is where the folder"):
            make_folder(folder)


def test_temporaries_are_cleared_at_any_depth(tmp_path: Path) -> None:
    make_folder(tmp_path / "affinity")
    for path in (tmp_path / ".a.1.partial", tmp_path / "affinity" / ".b.2.partial", tmp_path / "kept.partial"):
        path.write_bytes(b"x")
    clear_temporaries(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["affinity", "kept.partial"]


def test_the_hash_is_blake3(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"")
    assert hash_file(tmp_path / "a") == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    data = os.urandom((1 << 20) + 7)
    write_bytes(tmp_path / "b", data)
    first = hash_file(tmp_path / "b")
    write_bytes(tmp_path / "b", data[:-1] + bytes([data[-1] ^ 1]))
    assert hash_file(tmp_path / "b") != first


# ---- reading


def put_socket(path: Path) -> None:
    # A socket's name may have 100 bytes, a test's folder has more.
    here = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"/proc/self/fd/{here}/{path.name}")
    os.close(here)


PLACED: dict[str, Callable[[Path], object]] = {
    "a FIFO": os.mkfifo,
    "a folder": os.mkdir,
    "a socket": put_socket,
    "a device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.failure("received folder")
@pytest.mark.parametrize("kind", PLACED)
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    PLACED[kind](tmp_path / "x")
    for read in (open_plain, read_plain, hash_file):
        with pytest.raises(NotPlain, match=f"x is not read: it is {kind}, not a file; ") as caught:
            read(tmp_path / "x")
        assert caught.value.strerror == f"it is {kind}, not a file"


@pytest.mark.failure("received folder")
def test_links_are_followed_where_the_user_put_them_and_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    write_bytes(tmp_path / "outside" / "secret", b"secret")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "file").symlink_to(tmp_path / "outside" / "secret")
    (tmp_path / "in" / "folder").symlink_to(tmp_path / "outside")
    (tmp_path / "in" / "lost").symlink_to("nowhere")
    (tmp_path / "in" / "loop").symlink_to("loop")
    assert read_plain(tmp_path / "in" / "file") == b"secret"
    for name in ("file", "folder", "lost", "loop", "folder/secret"):
        path = tmp_path / "in" / name
        for refuse in (read_plain, require_plain):
            with pytest.raises(NotPlain, match="link"):
                refuse(path, below=tmp_path / "in")
    assert read_plain(tmp_path / "in" / "folder" / "secret", below=tmp_path / "in" / "folder") == b"secret"


def test_a_plain_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    write_bytes(tmp_path / "x", b"12345")
    assert read_plain(tmp_path / "x", 5, below=tmp_path) == b"12345"
    assert require_plain(tmp_path / "x", tmp_path) == 5
    with pytest.raises(NotPlain, match="it has more than 4 bytes"):
        read_plain(tmp_path / "x", 4)
    with pytest.raises(FileNotFoundError):
        read_plain(tmp_path / "y")
    # Some files of the system have no size and much to say.
    with pytest.raises(NotPlain, match="it has more than 10 bytes"):
        read_plain("/proc/self/status", 10)


def test_a_temporary_name_cannot_be_foreseen_and_no_link_of_it_is_followed(tmp_path: Path) -> None:
    names = []
    for _ in range(2):
        with atomic_file(tmp_path / "a") as file:
            names += [path.name for path in tmp_path.iterdir() if path.name != "a"]
            file.write(b"x")
    assert len(set(names)) == 2
