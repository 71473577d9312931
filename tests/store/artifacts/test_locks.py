"""Who works in a store is seen, and nobody has it for himself meanwhile."""

from __future__ import annotations

import errno
import os
import signal
import threading
from pathlib import Path

import filelock
import pytest

from tests.worlds.faults import in_child
from xmap.store.artifacts.artifact import Draft, Store
from xmap.store.artifacts.identity import Identity
from xmap.store.artifacts.locks import LOCKS, alone, at_work, held
from xmap.store.errors import StoreBusy, StoreDenied, StoreFull, XmapError


def take(root: Path) -> None:
    with alone(root):
        return


def test_one_who_works_is_seen_and_several_may(tmp_path: Path) -> None:
    with at_work(tmp_path), at_work(tmp_path):
        assert in_child(lambda: take(tmp_path)) == 1
    assert in_child(lambda: take(tmp_path)) == 0
    assert sorted(path.name for path in (tmp_path / LOCKS).iterdir()) == ["gate.lock"]


def test_building_is_work(tmp_path: Path) -> None:
    with Store(tmp_path).build(Identity("demo", "pets", {})) as draft:
        assert isinstance(draft, Draft)
        with pytest.raises(StoreBusy, match="another xmap is at work in"):
            take(tmp_path)


def test_the_dead_do_not_count(tmp_path: Path) -> None:
    def work() -> None:
        with at_work(tmp_path):
            os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(work) == -signal.SIGKILL
    assert len(list((tmp_path / LOCKS).glob("run-*"))) == 1
    take(tmp_path)
    assert list((tmp_path / LOCKS).glob("run-*")) == []


def test_who_comes_while_another_is_alone_waits(tmp_path: Path) -> None:
    done: list[str] = []

    def come() -> None:
        with at_work(tmp_path):
            done.append("worked")

    with alone(tmp_path):
        thread = threading.Thread(target=come)
        thread.start()
        thread.join(0.5)
        done.append("left")
    thread.join(30)
    assert done == ["left", "worked"]


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, StoreFull), (errno.EACCES, StoreDenied), (errno.EROFS, StoreDenied)])
def test_a_lock_that_cannot_be_written_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[XmapError]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(filelock.FileLock, "_acquire", fail)
    with pytest.raises(kind) as caught, held(tmp_path / LOCKS / "a.lock"):
        pass
    assert "\n" not in str(caught.value)


@pytest.mark.failure("received folder")
@pytest.mark.parametrize("name", ["locks", "locks/gate.lock", "locks/run-1.lock"])
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_locks_that_came_with_a_store_lead_nowhere(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "gate.lock").write_text("precious")
    path = tmp_path / "store" / name
    path.parent.mkdir(parents=True)
    if kind == "link":
        path.symlink_to(tmp_path / "outside" if name == "locks" else tmp_path / "outside" / "gate.lock")
    elif kind == "pipe":
        os.mkfifo(path)
    elif name != "locks":
        path.mkdir()
    if kind == "folder" and name == "locks":
        return
    with pytest.raises(XmapError), alone(tmp_path / "store"):
        raise AssertionError
    assert (tmp_path / "outside" / "gate.lock").read_text() == "precious"
    assert len(list((tmp_path / "outside").iterdir())) == 1
