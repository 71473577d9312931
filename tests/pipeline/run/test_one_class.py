"""A single class is refused wherever it comes from: imported, in the store, in an adapter that was received."""

from __future__ import annotations

from pathlib import Path

import pytest

import tests.worlds.inputs
import xmap
import xmap.stages.fewshot.load
import xmap.stages.imports.tip_adapter
from tests.worlds.inputs import write_layout
from xmap.pipeline.adapters.adapter import Adapter
from xmap.stages.imports.tip_adapter import import_tip_adapter
from xmap.stages.workplace.progress import Silent
from xmap.store.artifacts.artifact import Store
from xmap.store.errors import InputError

REFUSED = r"has one class, 'ant', and with one class every answer is right; give images of several classes"


def brought(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with monkeypatch.context() as one:
        one.setattr(tests.worlds.inputs, "CLASSES", ("ant",))
        return write_layout(folder)


@pytest.mark.failure("wrong layout")
def test_a_single_class_is_neither_imported_nor_trained_nor_predicted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "store")
    layout = brought(tmp_path / "one", monkeypatch)
    with pytest.raises(InputError, match=rf"classnames.json {REFUSED}"):
        import_tip_adapter(store, layout, "ants", 100.0, Silent())
    assert not list(store.artifacts("images"))

    run = {"features": "ants", "methods": ["tip-adapter"], "seeds": [1]}
    with monkeypatch.context() as older:
        # As a version made it that asked for no second class.
        older.setattr(xmap.stages.imports.tip_adapter, "refuse_one_class", lambda *found: None)
        import_tip_adapter(store, layout, "ants", 100.0, Silent())
        with pytest.raises(InputError, match=REFUSED):
            xmap.run(store=store.root, run=run, cache={"shots": 2})
        older.setattr(xmap.stages.fewshot.load, "refuse_one_class", lambda *found: None)
        xmap.run(store=store.root, run=run, cache={"shots": 2})
    (adapter,) = store.artifacts("adapter")
    with pytest.raises(InputError, match=REFUSED):
        Adapter(store, adapter)
    with pytest.raises(InputError, match=REFUSED):
        xmap.load("ants", store=store.root)
