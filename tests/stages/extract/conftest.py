"""Photos of which some are bad, each in a way of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.worlds.pictures import picture


@pytest.fixture
def bad_photos(photos: Path) -> Path:
    """The photos with one bad image of each kind in train/dog."""
    dog = photos / "train" / "dog"
    data = (dog / "0.jpg").read_bytes()
    (dog / "cut.jpg").write_bytes(data[: len(data) // 2])
    (dog / "web.png").write_text("<html>404</html>")
    (dog / "empty.gif").touch()
    os.mkfifo(dog / "pipe.jpg")
    (dog / "gone.jpg").symlink_to("nowhere")
    (dog / "round.jpg").symlink_to("round.jpg")
    picture(77).save(dog / "it's \U0001f600 [a] *.jpg")
    return photos
