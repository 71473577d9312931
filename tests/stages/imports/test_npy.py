"""`.npy` files: every kind of plain array in any order of bytes and axes, and no pickle."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xmap.stages.imports.npy import Npy
from xmap.store.errors import InputError, NotPlain


def opened(path: Path) -> Npy:
    return Npy.open(path, 2, "f", "a matrix")


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_rows_are_those_of_numpy_whatever_the_order(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    rows, width, at_once = (data.draw(st.integers(low, high)) for low, high in ((0, 9), (1, 5), (1, 11)))
    kind = data.draw(st.sampled_from(["<f2", ">f2", "<f4", ">f4", "<f8", ">f8"]))
    values = np.arange(rows * width, dtype=kind).reshape(rows, width, order=data.draw(st.sampled_from("CF")))
    path = tmp_path_factory.mktemp("npy") / "a.npy"
    np.save(path, np.asfortranarray(values) if data.draw(st.booleans()) else values)
    found = opened(path)
    parts = list(found.chunks(at_once))
    assert all(part.dtype.isnative and part.itemsize == values.itemsize for part in parts)
    assert np.array_equal(np.concatenate([np.empty((0, width), kind), *parts]), values)
    assert len(found) == rows


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.path,)


def header(text: bytes, version: bytes = b"\x01\x00") -> bytes:
    return b"\x93NUMPY" + version + len(text).to_bytes(2 if version[0] == 1 else 4, "little") + text


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "absent": (lambda at: None, "name a .npy file"),
    "empty": (lambda at: at.write_bytes(b""), "is not a .npy file of one plain array"),
    "an archive": (lambda at: (np.savez(at.with_suffix(".npz"), a=np.ones(3)), at.with_suffix(".npz").rename(at)), "is not a .npy file"),
    "objects": (lambda at: np.save(at, np.asarray([Trap(at.with_name("sprung"))], object), allow_pickle=True), "xmap runs no code"),
    "fields": (lambda at: np.save(at, np.zeros(3, [("a", "f4"), ("b", "f4")])), "is not a .npy file of one plain array"),
    "no columns": (lambda at: np.save(at, np.zeros((3, 0), np.float32)), "is 3 x 0 of float32; it should be a matrix"),
    "a mark that is not closed": (lambda at: at.write_bytes(header(b"{'descr': '<f4', 'shape': (3, \n")), "is not a .npy file"),
    "one axis": (lambda at: np.save(at, np.zeros(3, np.float32)), "is 3 of float32; it should be a matrix"),
    "whole numbers": (lambda at: np.save(at, np.zeros((3, 2), int)), "is 3 x 2 of int64; it should be a matrix"),
    "cut": (lambda at: (np.save(at, np.ones((9, 9))), at.write_bytes(at.read_bytes()[:-8])), "holds fewer bytes than that"),
    "a bomb": (
        lambda at: at.write_bytes(header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000, 1000000)}\n")),
        "holds fewer bytes than that",
    ),
    "code": (lambda at: at.write_bytes(header(b"__import__('os').system('touch sprung')\n")), "is not a .npy file"),
    "fewer than none": (
        lambda at: at.write_bytes(header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (-3, 2)}\n")),
        "is not a .npy file",
    ),
    "a long header": (lambda at: at.write_bytes(header(b"(" * 70_000, b"\x02\x00")), "is not a .npy file"),
    "a later version": (lambda at: at.write_bytes(header(b"{}", b"\x03\x00")), "is not a .npy file"),
}


@pytest.mark.failure("odd label")
@pytest.mark.parametrize("fault", BROKEN)
def test_what_is_no_plain_matrix_is_one_sentence(tmp_path: Path, fault: str) -> None:
    write, said = BROKEN[fault]
    write(tmp_path / "a.npy")
    with pytest.raises(InputError) as caught:
        opened(tmp_path / "a.npy")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("sprung"))


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.npy")
    with pytest.raises((InputError, NotPlain)):
        opened(tmp_path / "a.npy")


def test_a_file_that_is_cut_meanwhile_is_said(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((50_000, 4)))
    chunks = opened(tmp_path / "a.npy").chunks(1000)
    next(chunks)
    with open(tmp_path / "a.npy", "r+b") as file:
        file.truncate(4000)
    with pytest.raises(InputError, match="became shorter while it was read"):
        list(chunks)
