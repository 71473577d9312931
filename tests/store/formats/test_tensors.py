"""Tensor files: equal bytes for equal contents, no pickle, damage named."""

from __future__ import annotations

import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xmap.store.errors import ArtifactDamaged, StoreFull, XmapError
from xmap.store.formats.tensors import read_tensors, write_tensors

TENSORS: dict[str, Any] = {
    "b": np.arange(12, dtype=np.float32).reshape(3, 4),
    "a": np.ones((2, 2), np.float16),
    "empty": np.zeros((0, 3), np.int64),
}
METADATA: dict[str, Any] = {"method": "xmadapter", "alpha": 1.5, "classes": ["a", "\u00e9"], "none": None}


def test_tensors_come_back_as_they_were(tmp_path: Path) -> None:
    write_tensors(tmp_path / "a", TENSORS, METADATA)
    tensors, metadata = read_tensors(tmp_path / "a")
    assert metadata == METADATA
    assert set(tensors) == set(TENSORS)
    for name, tensor in tensors.items():
        assert tensor.dtype == TENSORS[name].dtype
        np.testing.assert_array_equal(tensor, TENSORS[name])


def test_equal_contents_give_equal_bytes(tmp_path: Path) -> None:
    for number in range(10):
        order = reversed(list(TENSORS)) if number % 2 else list(TENSORS)
        write_tensors(
            tmp_path / str(number), {name: TENSORS[name] for name in order}, dict(sorted(METADATA.items(), reverse=bool(number % 2)))
        )
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_a_strided_array_is_written_as_it_reads(tmp_path: Path) -> None:
    strided = TENSORS["b"].T[::2]
    write_tensors(tmp_path / "a", {"x": strided}, {})
    np.testing.assert_array_equal(read_tensors(tmp_path / "a")[0]["x"], strided)


@pytest.mark.parametrize("cut", [0, 4, 40, -1])
def test_a_cut_file_is_damage(tmp_path: Path, cut: int) -> None:
    write_tensors(tmp_path / "a", TENSORS, METADATA)
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes()[:cut])
    with pytest.raises(ArtifactDamaged):
        read_tensors(tmp_path / "a")
    with pytest.raises(ArtifactDamaged):
        read_tensors(tmp_path / "absent")


def test_no_flip_makes_anything_but_our_errors(tmp_path: Path) -> None:
    write_tensors(tmp_path / "a", TENSORS, METADATA)
    data, draw = (tmp_path / "a").read_bytes(), random.Random(3)  # noqa: S311
    for position in range(len(data)):
        altered = bytearray(data)
        altered[position] ^= 1 << draw.randrange(8)
        (tmp_path / "a").write_bytes(altered)
        try:
            read_tensors(tmp_path / "a")
        except XmapError as error:
            assert "\n" not in str(error)  # noqa: PT017


class Bomb:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return Path.touch, (self.mark,)


def test_a_pickle_under_our_name_runs_nothing(tmp_path: Path) -> None:
    bomb = pickle.dumps(Bomb(tmp_path / "mark"))
    for name in ("adapter.safetensors", "adapter.pt"):
        (tmp_path / name).write_bytes(bomb)
        with pytest.raises(ArtifactDamaged):
            read_tensors(tmp_path / name)
    assert not (tmp_path / "mark").exists()


def test_a_full_disk_leaves_nothing(tmp_path: Path, disk_with_room) -> None:
    with disk_with_room(100), pytest.raises(StoreFull):
        write_tensors(tmp_path / "a", TENSORS, METADATA)
    assert list(tmp_path.iterdir()) == []
