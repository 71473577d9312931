"""Work that hangs is left behind, and nothing else is."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import xmap.stages.predict.loader
from xmap.stages.images.decode import RULES, BadImage
from xmap.stages.images.in_time import in_time
from xmap.stages.predict.loader import ImageLoader

SIZES = {"size": [8, 8], "mode": "RGB", "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "shortest"}


@given(st.lists(st.integers(), max_size=30), st.integers(0, 5))
def test_answers_are_in_order(items: list[int], threads: int) -> None:
    assert in_time(lambda item: item * 2, items, threads, 60) == [item * 2 for item in items]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("hanging", [{0}, {4}, {0, 1, 2}])
def test_what_hangs_is_none_and_the_others_go_on(threads: int, hanging: set[int]) -> None:
    free = threading.Event()

    def work(item: int) -> int:
        if item in hanging:
            free.wait(30)
        return item

    assert in_time(work, range(5), threads, 0.2) == [None if item in hanging else item for item in range(5)]
    free.set()


def test_what_work_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        in_time(lambda item: 1 // item, [1, 0, 1], 2, 60)


def test_a_hung_image_is_one_bad_image_of_a_prediction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / name for name in ("a.png", "hung.png", "b.png")]
    for path in paths:
        Image.new("RGB", (9, 9)).save(path)
    read = xmap.stages.predict.loader.read_image
    monkeypatch.setattr(xmap.stages.predict.loader, "TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(xmap.stages.predict.loader, "read_image", lambda path: time.sleep(20) if path.name == "hung.png" else read(path))
    found = ImageLoader(SIZES, RULES, 2).load(paths)
    assert [image.kind if isinstance(image, BadImage) else tuple(image.shape) for image in found] == [(3, 8, 8), "too-slow", (3, 8, 8)]


def test_the_process_ends_although_a_thread_hangs() -> None:
    script = "import time\nfrom xmap.stages.images.in_time import in_time\n"
    script += "print(in_time(lambda item: time.sleep(item) or item, [0, 600], 1, 0.2))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[3])
    assert run.stdout.strip() == "[0, None]"
    assert run.returncode == 0
