"""What a process that loads images says of its own accord."""

from __future__ import annotations

from multiprocessing import AuthenticationError
from pathlib import Path

import numpy as np
import pytest
from blake3 import blake3

from stages.datasets.dataset import Sample
from stages.decode import BadImage
from stages.encoder import plain_crop
from stages.loading import Loaded, Request, _but_for_hung_up, load_ahead, load_views
from stages.resolve import PREPROCESS
from stages.views import ViewMaker
from tests.stages.conftest import picture


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
    picture(1).save(tmp_path / "1.png")
    preprocess = {**PREPROCESS, "size": [16, 16]}
    request = Request(Sample("1.png", tmp_path / "1.png", 0, "train"), blake3((tmp_path / "1.png").read_bytes()).hexdigest(), 0)
    answers = load_ahead([request] * 50, ViewMaker(plain_crop(preprocess), preprocess, 1), 2, 1)
    assert isinstance(next(answers), np.ndarray)
    answers.close()
    assert list(answers) == []
