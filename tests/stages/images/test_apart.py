"""Processes that load images give the pixels that a thread does, and none of them is needed or left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from blake3 import blake3
from PIL import Image

import xmap.stages.images.apart
from tests.worlds.loading import gone, idle, processes_of, started, waited
from tests.worlds.pictures import picture
from tests.worlds.tars import encoded, write_tar
from xmap.stages.datasets.places.place import Container, Member
from xmap.stages.encoder.identity import PREPROCESS
from xmap.stages.images.apart import apart
from xmap.stages.images.crop import plain_crop
from xmap.stages.images.decode import BadImage, Rules
from xmap.stages.images.load import Planned
from xmap.stages.images.read import Given, Held, read_place
from xmap.stages.images.views import Deep, Loaded, ViewMaker

CROPS = {"square": {"size": [20, 20]}, "wide": {"size": [8, 20]}, "longest": {"size": [20, 20], "resize_mode": "longest"}}
VIEWS = ((0,), (2,), (0, 1, 3))


def maker_of(crop: str = "square", rules: Rules | None = None) -> ViewMaker:
    preprocess = {**PREPROCESS, **CROPS[crop]}
    return ViewMaker(plain_crop(preprocess), preprocess, 7, rules or Rules())


@pytest.fixture
def places(tmp_path: Path) -> list[Given]:
    """Images of each kind: files and members of a tar, one in memory, and what has no pixels, or pixels of another depth."""
    for number in range(6):
        picture(number).save(tmp_path / f"{number}.jpg")
    (tmp_path / "bad.png").write_bytes(b"no image")
    deep = tmp_path / "deep.png"
    Image.fromarray(np.arange(900, dtype=np.uint16).reshape(30, 30)).save(deep)
    data = encoded(picture(9))
    odd = tmp_path / os.fsdecode(b"name \xff\n.jpg")
    odd.write_bytes(data)
    write_tar(tmp_path / "some.tar", [("a.jpg", data)])
    offset = (tmp_path / "some.tar").read_bytes().index(data)
    member = Member(Container(tmp_path / "some.tar"), "a.jpg", offset, len(data), blake3(data).hexdigest())
    return [*sorted(tmp_path.glob("?.jpg")), tmp_path / "bad.png", deep, odd, tmp_path / "gone.jpg", member, Held("held", data)]


def planned(place: Given) -> Planned:
    data = read_place(place)
    return Planned(blake3(data).hexdigest() if isinstance(data, bytes) else None)


def same(one: Loaded, other: Loaded) -> bool:
    if isinstance(one, Deep) and isinstance(other, Deep):
        return one.depth == other.depth and np.array_equal(one.pixels, other.pixels)
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.shape == other.shape and np.array_equal(one, other)
    return isinstance(one, BadImage) and one == other


@pytest.fixture
def by_thread(monkeypatch: pytest.MonkeyPatch) -> list[Given]:
    """The places that this process loads itself."""
    seen, load = list[Given](), ViewMaker.load

    def watched(self: ViewMaker, place: Given, *rest: object) -> Loaded:
        seen.append(place)
        return load(self, place, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(ViewMaker, "load", watched)
    return seen


@pytest.mark.parametrize("crop", CROPS)
def test_a_process_gives_the_pixels_that_a_thread_does(crop: str, places: list[Given], by_thread: list[Given]) -> None:
    maker = maker_of(crop)
    with started(maker, 2) as load:
        for place in places:
            content = planned(place)
            for views in VIEWS:
                by_thread.clear()
                found = load(place, "content", views, content)
                helped = not by_thread
                assert same(found, maker.load(place, "content", views, content))
                # A thread loads what a process does not: the bad, the deep, and what lies in memory.
                assert helped == (isinstance(found, np.ndarray) and not isinstance(place, Held))
        assert idle(load) == 2


def test_a_file_that_changed_is_told_as_by_a_thread(places: list[Given]) -> None:
    maker = maker_of()
    with started(maker, 1) as load:
        found = load(places[0], "", (0,), Planned("other"))
    assert isinstance(found, BadImage)
    assert found == maker.load(places[0], "", (0,), Planned("other"))


def test_large_images_are_left_to_the_threads(tmp_path: Path, by_thread: list[Given]) -> None:
    """All processes together hold no more pixels than one image may have."""
    sizes = {"under.png": (40, 50), "over.png": (40, 51)}
    for name, size in sizes.items():
        Image.new("RGB", size).save(tmp_path / name)
    with started(maker_of(rules=Rules(max_pixels=6_000)), 3) as load:
        for name in sizes:
            place = tmp_path / name
            assert isinstance(load(place, "", (0,), planned(place)), np.ndarray)
    assert by_thread == [tmp_path / "over.png"]


def test_threads_load_until_processes_have_started(places: list[Given], by_thread: list[Given]) -> None:
    with apart(maker_of(), 1) as load:
        load(places[0], "", (0,), planned(places[0]))
        assert by_thread == [places[0]]


@pytest.mark.parametrize("command", [["/nowhere/python"], [sys.executable, "-c", ""], [sys.executable, "-c", "input()"]])
def test_threads_load_where_no_process_starts(command: list[str], places: list[Given], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xmap.stages.images.apart, "COMMAND", command)
    maker = maker_of()
    with apart(maker, 2) as load:
        time.sleep(0.3)
        for place in places:
            assert same(load(place, "", (0,), planned(place)), maker.load(place, "", (0,), planned(place)))


def test_threads_load_on_when_processes_are_killed(places: list[Given], by_thread: list[Given]) -> None:
    maker = maker_of()
    expected = {place: maker.load(place, "", (0,), planned(place)) for place in places}
    with started(maker, 3) as load:
        for turn in range(30):
            if turn in (5, 11, 17):
                os.kill(processes_of(load)[turn // 6], signal.SIGKILL)
            place = places[turn % len(places)]
            assert same(load(place, "", (0,), planned(place)), expected[place])
        by_thread.clear()
        load(places[0], "", (0,), planned(places[0]))
        assert by_thread == [places[0]]


def test_no_process_outlives_the_block() -> None:
    with started(maker_of(), 2) as load:
        pids = processes_of(load)
    assert len(pids) == 2
    assert all(map(gone, pids))


SCRIPT = """
import time
from tests.stages.images.test_apart import maker_of
from tests.worlds.loading import processes_of, started
with started(maker_of(), 2) as load:
    print(*processes_of(load), flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_process_outlives_one_that_is_killed(number: signal.Signals) -> None:
    running = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert running.stdout is not None
    pids = [int(word) for word in running.stdout.readline().split()]
    assert len(pids) == 2
    running.send_signal(number)
    running.wait()
    waited(lambda: all(map(gone, pids)))
