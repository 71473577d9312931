"""What the tests of the report share: one store for all of them, and a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.worlds.browser import launched
from tests.worlds.report import make


@pytest.fixture(scope="session")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two runs, beside its images; nobody writes to it."""
    torch.set_num_threads(1)
    return make(tmp_path_factory.mktemp("reported"))


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with launched(tmp_path_factory.mktemp("home")) as browser:
        yield browser
