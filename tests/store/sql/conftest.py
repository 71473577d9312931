"""A store that the tests of SQL only read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.worlds.questions import UNREAD, fill_store
from xmap.store.artifacts.artifact import Artifact
from xmap.store.formats.feature_rows import Rows
from xmap.store.formats.packs import Packs
from xmap.store.sql.connection import Connection, connect


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Artifact]]:
    root = tmp_path_factory.mktemp("filled") / "store"
    artifacts = fill_store(root)
    Packs.of(root, "model", {}).write(Rows(["ab" * 32], np.zeros(1, np.int16), np.ones((1, 4), np.float32)))
    (root / "secret.csv").write_text(UNREAD)
    return root, artifacts


@pytest.fixture
def open_store(filled: tuple[Path, dict[str, Artifact]]) -> Iterator[Connection]:
    with connect(filled[0]) as connection:
        yield connection
