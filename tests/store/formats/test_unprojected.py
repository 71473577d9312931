"""What a text tower gives before its projection, on the disk: what does not fit is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.worlds.faults import Case
from xmap.store.errors import ArtifactDamaged
from xmap.store.formats.tensors import write_tensors
from xmap.store.formats.unprojected import Unprojected, read_unprojected, write_unprojected

ROWS = Unprojected(np.asarray([0, 0, 1], np.int32), np.ones((3, 4), np.float32), np.eye(4, 2, dtype=np.float32))


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_unprojected(tmp_path / "x.safetensors", ROWS)
    found = read_unprojected(tmp_path / "x.safetensors")
    assert all(np.array_equal(getattr(found, name), value) for name, value in vars(ROWS).items())


@pytest.mark.failure("received folder")
def test_what_does_not_fit_is_named(tmp_path: Path, case: Case) -> None:
    odd: dict[str, dict[str, Any]] = {
        "tensors are": {"more": np.ones(1, np.float32)},
        "other shapes or types": {"projection": np.ones((4, 0), np.float32)},
        "do not fit": {"features": np.ones((3, 5), np.float32)},
        "not finite": {"features": np.full((3, 4), np.nan, np.float32)},
    }
    odd |= {"types than": {"class_ids": ROWS.class_ids.astype(np.int64)}, "its rows": {"class_ids": ROWS.class_ids[:2]}}
    for said, change in odd.items():
        with case():
            write_tensors(tmp_path / "x.safetensors", {**vars(ROWS), **change}, {})
            with pytest.raises(ArtifactDamaged, match=said):
                read_unprojected(tmp_path / "x.safetensors")
