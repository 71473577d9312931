"""Images that load while an encoder works: any number of threads gives the same, and one that hangs is told."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from blake3 import blake3

import xmap.stages.extract.loading
import xmap.stages.images.in_time
import xmap.stages.images.load
from tests.worlds.loading import started
from tests.worlds.pictures import picture
from xmap.stages.datasets.dataset import Sample
from xmap.stages.encoder.identity import PREPROCESS
from xmap.stages.extract.loading import load_views
from xmap.stages.extract.wanted import Wanted
from xmap.stages.images.apart import Load, apart
from xmap.stages.images.crop import plain_crop
from xmap.stages.images.decode import BadImage
from xmap.stages.images.read import Held
from xmap.stages.images.views import Loaded, ViewMaker
from xmap.store.errors import XmapError

SIZES = {**PREPROCESS, "size": [16, 16]}


def requests_of(folder: Path, count: int) -> tuple[list[Wanted], ViewMaker]:
    requests = []
    for number in range(count):
        path = folder / f"{number}.png"
        picture(number).save(path)
        if number == 4:
            path.write_bytes(b"no image")
        content = blake3(path.read_bytes()).hexdigest()
        requests.append(Wanted(Sample(path.name, path, 0, "train"), content, ((0,), (0, 1), (2, 1))[number % 3]))
    return requests, ViewMaker(plain_crop(SIZES), SIZES, 1)


@pytest.mark.parametrize(("threads", "ahead", "processes"), [(0, 1, 0), (2, 3, 0), (3, 100, 0), (3, 100, 2), (1, 1, 3)])
def test_any_number_of_threads_and_processes_loads_the_same(
    tmp_path: Path, threads: int, ahead: int, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xmap.stages.extract.loading, "apart", started)
    requests, maker = requests_of(tmp_path, 7)
    expected = [maker.load(request.sample.place, str(request.content), request.views) for request in requests]
    asked, found = zip(*load_views([requests[:2], [], requests[2:]], maker, ahead, threads, processes), strict=True)
    assert list(asked) == requests
    assert len(found) == len(expected) == 7
    assert all(same(one, other) for one, other in zip(found, expected, strict=True))
    assert isinstance(found[4], BadImage)


def same(one: Loaded, other: Loaded) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return bool(np.array_equal(one, other))
    return one == other


def test_an_image_that_hangs_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(xmap.stages.images.load, "read_place", lambda place: released.wait(20) and b"")
    monkeypatch.setattr(xmap.stages.images.in_time, "TIMEOUT_SECONDS", 0.1)
    requests, maker = requests_of(tmp_path, 1)
    with pytest.raises(XmapError, match=r"0\.png took more than \d+ s to load: a disk, mount or server hangs"):
        list(load_views([requests], maker, 1, 1))
    released.set()


def test_no_process_starts_for_what_lies_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[int]()

    def noted(maker: ViewMaker, count: int) -> AbstractContextManager[Load]:
        asked.append(count)
        return apart(maker, 0)

    monkeypatch.setattr(xmap.stages.extract.loading, "apart", noted)
    requests, maker = requests_of(tmp_path, 1)
    elsewhere = replace(requests[0], sample=replace(requests[0].sample, place=Held("held", b"")))  # type: ignore[arg-type]
    for request in (requests[0], elsewhere):
        views = load_views([[request]], maker, 1, 1, 2)
        next(views)
        views.close()
    assert asked == [2, 0]
