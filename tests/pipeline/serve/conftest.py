"""One adapter for all that is served."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.worlds.commands import call
from tests.worlds.inputs import write_photos
from tests.worlds.serving import RUN


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `photos` and the `store` of a run on them."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("world")
    photos = write_photos(folder / "photos", test=4)
    done = call(*RUN, "--data", photos, "--methods", "zero-shot,tip-adapter", "--store", folder / "store")
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture(scope="session")
def photos(world: Path) -> list[Path]:
    """Its test images."""
    return sorted((world / "photos/test").rglob("*.png"))
