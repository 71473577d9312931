"""What a process that loads images says of its own accord."""

from __future__ import annotations

import threading
import time
from multiprocessing import AuthenticationError
from pathlib import Path

import numpy as np
import pytest
from blake3 import blake3

import xmap.stages.extract.loading
from tests.worlds.pictures import picture
from xmap.stages.datasets.dataset import Sample
from xmap.stages.encoder.identity import PREPROCESS
from xmap.stages.encoder.model import plain_crop
from xmap.stages.extract.loading import Loaded, Request, _but_for_hung_up, load_ahead, load_views
from xmap.stages.images.decode import BadImage
from xmap.stages.images.views import ViewMaker
from xmap.store.errors import XmapError


@pytest.mark.parametrize("error", [EOFError(), ConnectionResetError(104, "reset"), AuthenticationError("digest received was wrong")])
def test_an_interrupted_main_process_that_hangs_up_is_not_told_again(error: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C in mid-handshake once left the traceback of a worker's thread before the one sentence."""
    _but_for_hung_up(type(error), error, None)
    assert capsys.readouterr().err == ""


def test_any_other_error_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    _but_for_hung_up(ValueError, ValueError("a bug"), None)
    assert "ValueError: a bug" in capsys.readouterr().err


@pytest.mark.parametrize(("workers", "ahead"), [(0, 1), (2, 3), (3, 100)])
def test_threads_load_what_processes_load(tmp_path: Path, workers: int, ahead: int) -> None:
    requests = []
    for number in range(7):
        path = tmp_path / f"{number}.png"
        picture(number).save(path)
        if number == 4:
            path.write_bytes(b"no image")
        requests.append(Request(Sample(path.name, path, 0, "train"), blake3(path.read_bytes()).hexdigest(), number % 3))
    preprocess = {**PREPROCESS, "size": [16, 16]}
    maker = ViewMaker(plain_crop(preprocess), preprocess, 1)
    expected = list(load_views(requests, maker, ahead, 0))
    found = list(load_ahead(requests, maker, ahead, workers))
    assert len(found) == len(expected) == 7
    assert all(same(one, other) for one, other in zip(found, expected, strict=True))
    assert isinstance(found[4], BadImage)


def same(one: Loaded, other: Loaded) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return bool(np.array_equal(one, other))
    return one == other


def test_threads_that_are_left_early_load_no_more(tmp_path: Path) -> None:
    requests, maker = requests_of(tmp_path, 50)
    answers = load_ahead(requests, maker, 2, 1)
    assert isinstance(next(answers), np.ndarray)
    answers.close()
    assert list(answers) == []


def requests_of(folder: Path, count: int) -> tuple[list[Request], ViewMaker]:
    picture(1).save(folder / "1.png")
    preprocess = {**PREPROCESS, "size": [16, 16]}
    request = Request(Sample("1.png", folder / "1.png", 0, "train"), blake3((folder / "1.png").read_bytes()).hexdigest(), 0)
    return [request] * count, ViewMaker(plain_crop(preprocess), preprocess, 1)


@pytest.mark.timeout(30)
def test_processes_that_are_left_early_are_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that receives had its queue full, waited for room twice, and was waited for in vain in between."""
    monkeypatch.setattr(xmap.stages.extract.loading, "PATIENCE", 60.0)
    requests, maker = requests_of(tmp_path, 200)
    answers = load_views(requests, maker, 2, 1)
    assert isinstance(next(answers), np.ndarray)
    time.sleep(0.5)
    answers.close()
    assert list(answers) == []


def test_an_image_that_hangs_in_a_thread_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(xmap.stages.extract.loading, "read_planned", lambda request: released.wait(20) and b"")
    monkeypatch.setattr(xmap.stages.extract.loading, "TIMEOUT_SECONDS", 0.1)
    requests, maker = requests_of(tmp_path, 1)
    with pytest.raises(XmapError, match=r"more than 0\.1 s to load: a disk, mount or server hangs"):
        list(load_ahead(requests, maker, 1, 1))
    released.set()
