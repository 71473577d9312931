"""Methods that nobody named one by one: those that take what the run has."""

from __future__ import annotations

import pytest

from xmap.pipeline.settings.config import RunConfig, XmapConfig
from xmap.pipeline.settings.usual import FOUR, left_out
from xmap.stages.methods.registry import all_names, method_entry

ALONE, SEVERAL, POOL = {}, {"also_features": "b16"}, {"pool": "loose"}


@pytest.mark.parametrize(
    ("given", "methods"),
    [
        (ALONE, FOUR),
        (SEVERAL, FOUR),
        ({"also_model": "timm:test_vit"}, FOUR),
        (POOL, ("xmadapter",)),
        ({**SEVERAL, "methods": "all"}, tuple(name for name in all_names() if method_entry(name).several)),
        ({**SEVERAL, "methods": "taskres,gda"}, ("taskres", "gda")),
    ],
)
def test_the_methods_of_a_run_take_what_it_has_unless_they_are_named(given: dict[str, str], methods: tuple[str, ...]) -> None:
    run = RunConfig.model_validate(given)
    assert run.methods == methods
    assert XmapConfig().override({f"run.{name}": value for name, value in given.items()}).run.methods == methods


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (ALONE, ()),
        ({**SEVERAL, "methods": "gda"}, ()),
        ({**SEVERAL, "methods": "all"}, ("methods left out, which take one encoder: 'xmadapter-paper', 'clip-adapter', 'taskres', ",)),
        ({**POOL, "methods": "xmadapter"}, ()),
    ],
)
def test_what_is_left_out_is_said(given: dict[str, str], said: tuple[str, ...]) -> None:
    found = left_out(RunConfig.model_validate(given))
    assert len(found) == len(said)
    assert all(line.startswith(begin) for line, begin in zip(found, said, strict=True))
