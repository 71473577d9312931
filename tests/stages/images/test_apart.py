"""Processes that load images give the pixels that a thread does, and none of them is needed or left behind."""

from __future__ import annotations

import os
import signal
import socket
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
                # A thread loads what a process does not: the bad, and what lies in memory.
                assert helped == (not isinstance(found, BadImage) and not isinstance(place, Held))
        assert idle(load) == 2


def test_a_file_that_changed_is_told_as_by_a_thread(places: list[Given]) -> None:
    maker = maker_of()
    with started(maker, 1) as load:
        found = load(places[0], "", (0,), Planned("other"))
    assert isinstance(found, BadImage)
    assert found == maker.load(places[0], "", (0,), Planned("other"))


@pytest.mark.parametrize(("picture_has", "loaded"), [(1_000, ["over.png"]), (24_000_000, [])])
def test_large_images_are_left_to_the_threads(
    picture_has: int, loaded: list[str], tmp_path: Path, by_thread: list[Given], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All processes together hold no more pixels than one image may have, or each those of a camera's picture."""
    monkeypatch.setattr(xmap.stages.images.apart, "PICTURE", picture_has)
    sizes = {"under.png": (40, 50), "over.png": (40, 51)}
    for name, size in sizes.items():
        Image.new("RGB", size).save(tmp_path / name)
    with started(maker_of(rules=Rules(max_pixels=6_000)), 3) as load:
        for name in sizes:
            place = tmp_path / name
            assert isinstance(load(place, "", (0,), planned(place)), np.ndarray)
    assert by_thread == [tmp_path / name for name in loaded]


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


def test_modules_come_from_where_this_process_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version, which the interpreter may find, could make other pixels."""
    folder = tmp_path / "xmap" / "stages" / "images"
    folder.mkdir(parents=True)
    for package in (folder, folder.parent, folder.parents[1]):
        (package / "__init__.py").touch()
    (folder / "apart.py").write_text(f"def serve(terms):\n    open({str(tmp_path / 'seen')!r}, 'w').write(terms)\n")
    monkeypatch.syspath_prepend(tmp_path)
    with apart(maker_of(), 1):
        waited(lambda: (tmp_path / "seen").exists() and '"size": [20, 20]' in (tmp_path / "seen").read_text())


def test_a_time_limit_of_the_program_is_none_of_theirs(places: list[Given], by_thread: list[Given]) -> None:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(0.01)
    try:
        with started(maker_of(), 1) as load:
            time.sleep(0.1)
            assert isinstance(load(places[0], "", tuple(range(50)), planned(places[0])), np.ndarray)
    finally:
        socket.setdefaulttimeout(before)
    assert by_thread == []


def test_signals_in_mid_answer_lose_nothing(places: list[Given], by_thread: list[Given]) -> None:
    maker, views = maker_of(), tuple(range(150))
    expected = maker.load(places[0], "", views, planned(places[0]))
    by_thread.clear()
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    try:
        with started(maker, 2) as load:
            signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
            for _ in range(20):
                assert same(load(places[0], "", views, planned(places[0])), expected)
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert idle(load) == 2
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert by_thread == []


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


BEGUN = """
import time
from tests.stages.images.test_apart import maker_of
from xmap.stages.images.apart import apart
with apart(maker_of(), 3) as load:
    print("begun", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("after", [0.05, 0.3])
def test_ctrl_c_while_they_start_is_told_by_one_process(after: float) -> None:
    """It reaches all processes of a terminal."""
    command = [sys.executable, "-c", BEGUN]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert running.stdout is not None
    assert running.stdout.readline() == "begun\n"
    time.sleep(after)
    os.killpg(running.pid, signal.SIGINT)
    _, said = running.communicate()
    assert (said.count("Traceback"), said.count("KeyboardInterrupt")) == (1, 1)


def test_an_answer_that_nobody_reads_is_no_word(places: list[Given]) -> None:
    """Processes of a program that is killed between question and answer say nothing."""
    asked = xmap.stages.images.apart._request(places[0], "", tuple(range(50)), planned(places[0]))
    ask = "load.__self__._all[0]._ours.sendall(sys.argv[1].encode() + b'\\n')"
    script = "import sys\n" + SCRIPT.replace("    time.sleep(600)", f"    {ask}\n    time.sleep(600)")
    command = [sys.executable, "-c", script, asked]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stdout is not None
    pids = [int(word) for word in running.stdout.readline().split()]
    time.sleep(0.3)
    running.kill()
    waited(lambda: all(map(gone, pids)))
    assert running.communicate()[1] == ""
