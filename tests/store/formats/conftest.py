"""Indexes, mapped and read at once."""

from __future__ import annotations

import pytest

import xmap.store.formats.index
import xmap.store.formats.index_file


@pytest.fixture(params=[False, True])
def mapped(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether even the smallest index is mapped."""
    if request.param:
        monkeypatch.setattr(xmap.store.formats.index_file, "MAPPED_FROM", 0)
    return bool(request.param)
