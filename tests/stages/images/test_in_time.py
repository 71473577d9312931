"""Work that hangs is left behind, and nothing else is."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import xmap.stages.images.in_time
import xmap.stages.images.load
from xmap.stages.images.decode import RULES
from xmap.stages.images.in_time import in_time
from xmap.stages.images.quiet import QUIET
from xmap.stages.predict.loader import ImageLoader

SIZES = {"size": [8, 8], "mode": "RGB", "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "shortest"}


@given(st.lists(st.integers(), max_size=30), st.integers(0, 5), st.integers(0, 40))
def test_answers_are_in_order(items: list[int], threads: int, ahead: int) -> None:
    assert list(in_time(lambda item: item * 2, items, threads, ahead)) == [item * 2 for item in items]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("hanging", [{0}, {4}, {0, 1, 2}])
@pytest.mark.parametrize("ahead", [1, 5])
def test_what_hangs_is_none_and_the_others_go_on(threads: int, hanging: set[int], ahead: int, monkeypatch: pytest.MonkeyPatch) -> None:
    free = threading.Event()
    monkeypatch.setattr(xmap.stages.images.in_time, "TIMEOUT_SECONDS", 0.2)

    def work(item: int) -> int:
        if item in hanging:
            free.wait(30)
        return item

    assert list(in_time(work, range(5), threads, ahead)) == [None if item in hanging else item for item in range(5)]
    free.set()


def test_what_work_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        list(in_time(lambda item: 1 // item, [1, 0, 1], 2, 3))


@pytest.mark.parametrize(("threads", "ahead"), [(1, 1), (3, 1), (2, 4), (4, 2)])
def test_no_more_are_begun_than_are_wanted_ahead_and_none_once_left(threads: int, ahead: int) -> None:
    begun: list[int] = []
    answers = in_time(lambda item: begun.append(item) or item, range(50), threads, ahead)
    for asked in range(3):
        assert next(answers) == asked
        assert sorted(begun) == list(range(len(begun)))
        assert len(begun) <= asked + 1 + ahead
    answers.close()
    count = len(begun)
    assert list(answers) == []
    time.sleep(0.05)
    assert len(begun) == count


def test_a_hung_image_is_one_bad_image_of_a_prediction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / name for name in ("a.png", "hung.png", "b.png")]
    for path in paths:
        Image.new("RGB", (9, 9)).save(path)
    read = xmap.stages.images.load.read_place
    monkeypatch.setattr(xmap.stages.images.in_time, "TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(xmap.stages.images.load, "read_place", lambda path: time.sleep(20) if path.name == "hung.png" else read(path))
    encoder: Any = SimpleNamespace(identity=SimpleNamespace(preprocess=SIZES), device="cpu")
    (batch,) = ImageLoader(encoder, RULES, 2).batches(paths, 3)
    assert [image.shape for image in batch.pixels] == [(1, 8, 8, 3)] * 2
    assert {row: image.kind for row, image in batch.bad.items()} == {1: "too-slow"}
    assert batch.names == [str(path) for path in paths]


@pytest.mark.filterwarnings("error")
def test_decoders_warn_in_no_thread_and_others_can_again_afterwards() -> None:
    inside, left = threading.Barrier(2), threading.Event()

    def work(item: int) -> None:
        with QUIET:
            inside.wait(10)
            # One leaves while the other is at work still.
            if item:
                left.wait(10)
                warnings.warn("odd metadata", stacklevel=1)
        left.set()

    assert list(in_time(work, [0, 1], 2, 2)) == [None, None]
    with pytest.raises(UserWarning):
        warnings.warn("of others", stacklevel=1)


def test_the_process_ends_although_a_thread_hangs() -> None:
    script = "import time\nfrom xmap.stages.images.in_time import in_time\n"
    script += "import xmap.stages.images.in_time as module\nmodule.TIMEOUT_SECONDS = 0.2\n"
    script += "print(list(in_time(lambda item: time.sleep(item) or item, [0, 600], 1, 2)))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[3])
    assert run.stdout.strip() == "[0, None]"
    assert run.returncode == 0
