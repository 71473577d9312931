"""Inputs that change in place: nothing that they reach is reused, and a run ends as one from scratch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.promises.conftest import Commands
from tests.promises.test_stale import ADAPTER, ALL, CACHE, EVAL, FEATURES, IMAGES, LATER, PAIRS, TEXTS
from tests.worlds.faults import Case
from tests.worlds.inputs import repaint
from tests.worlds.models import write_model
from tests.worlds.runs import DATA, MODEL, RUN, tree, write_world


def keep_times(path: Path, change: Callable[[], object]) -> None:
    """Change a file and put its time back, as a careless copy does."""
    before = path.stat()
    change()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def other_weights(world: Path) -> None:
    path = world / MODEL / "open_clip_model.safetensors"
    size = path.stat().st_size
    write_model(world / "drawn-again", seed=7)
    keep_times(path, lambda: path.write_bytes((world / "drawn-again" / path.name).read_bytes()))
    assert path.stat().st_size == size


def other_pixels(world: Path) -> None:
    """The same name, the same number of bytes, the same time."""
    path = world / DATA / "train" / "ant" / "0.png"
    size = path.stat().st_size

    def change() -> None:
        repaint(path)
        data = path.read_bytes()
        assert len(data) <= size + 40
        # PNG readers stop at the end mark: what follows it only makes up the size.
        path.write_bytes(data + b"\0" * (size - len(data)))

    keep_times(path, change)


def other_preprocessing(world: Path) -> None:
    path = world / MODEL / "open_clip_config.json"
    keep_times(path, lambda: path.write_text(path.read_text().replace("0.25", "0.26", 1)))


def other_name(world: Path) -> None:
    for split in ("train", "val", "test"):
        (world / DATA / split / "bee").rename(world / DATA / split / "owl")


CHANGES: dict[str, tuple[Callable[[Path], object], set[str]]] = {
    "weight file changed in place": (other_weights, ALL),
    "image replaced with the same name, size and time": (other_pixels, FEATURES),
    "preprocessing edited": (other_preprocessing, ALL),
    "class renamed": (other_name, ALL),
    "prompt edited": (lambda world: None, {TEXTS, *LATER}),
}


def rebuilt(stderr: str) -> Iterator[str]:
    words = {"image": IMAGES, "text": TEXTS, "build-cache,": CACHE, "train": ADAPTER, "compare": PAIRS, "eval": EVAL}
    return (words[line.split()[1]] for line in stderr.splitlines() if line.startswith("built "))


@pytest.mark.promise
@pytest.mark.failure("changed input")
def test_after_each_change_a_run_ends_as_from_scratch(commands: Commands, tmp_path: Path, case: Case) -> None:
    world, store = write_world(tmp_path / "world"), tmp_path / "store"
    assert commands(*RUN, cwd=world, store=store).code == 0
    argv = RUN
    for name, (change, stages) in CHANGES.items():
        with case():
            change(world)
            argv = [*RUN, "--template", "a drawing of a {}."] if name == "prompt edited" else RUN
            ended = commands(*argv, cwd=world, store=store)
            assert ended.code == 0, ended.stderr
            assert set(rebuilt(ended.stderr)) == stages, name
            assert "not built before" not in ended.stderr, name
    with case():
        assert commands(*argv, cwd=world, store=tmp_path / "fresh").code == 0
        found, fresh = tree(store), tree(tmp_path / "fresh")
        for name, content in fresh.items():
            # How to make an artifact again may name settings that it does not depend on.
            # The rows of images and of an encoder that were there before stay.
            if name.startswith("features/"):
                assert content.items() <= found[name].items()
            else:
                assert {**found[name], "command": ""} == {**content, "command": ""} if name.endswith(".json") else found[name] == content
