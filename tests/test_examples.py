"""What docstrings and pages show of Python runs as it stands there."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import pytest
import torch

import xmap
from tests.worlds.pets import write_pets

ROOT = Path(__file__).resolve().parents[1]
PUBLIC = {
    "xmap": {"xmap.run", "xmap.load", "xmap.connect"},
    "xmap.sklearn": {"xmap.sklearn.FewShotClassifier"},
    "xmap.store.errors": {"xmap.store.errors.XmapError"},
    "xmap.pipeline.adapters.adapter": {"xmap.pipeline.adapters.adapter.Adapter", "xmap.pipeline.adapters.adapter.Adapter.predict"},
    "xmap.pipeline.adapters.predictions": {"xmap.pipeline.adapters.predictions.Predictions"},
    "xmap.stages.predict.prediction": {"xmap.stages.predict.prediction.Prediction"},
    "xmap.pipeline.run.execute": {"xmap.pipeline.run.execute.RunResult"},
    "xmap.pipeline.run.rows": {"xmap.pipeline.run.rows.Rows"},
}
PAGES = ("README.md", "docs/guide.md", "docs/python.md")
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return write_pets(tmp_path_factory.mktemp("pets"))


@pytest.fixture(autouse=True)
def here(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pets)
    monkeypatch.delenv("XMAP_STORE")
    xmap.run("pets", shots=4)


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_have_examples_and_these_run(name: str) -> None:
    if name == "xmap.sklearn":
        pytest.importorskip("sklearn", reason="scikit-learn comes with the extra demo")
    module = importlib.import_module(name)
    found = doctest.DocTestFinder(exclude_empty=True).find(module, name, extraglobs={"xmap": xmap})
    assert {test.name for test in found if test.examples} >= PUBLIC[name]
    runner, said = doctest.DocTestRunner(), list[str]()
    for test in found:
        runner.run(test, out=said.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(said)


@pytest.mark.parametrize("page", PAGES)
def test_the_python_of_a_page_runs(page: str) -> None:
    blocks = PYTHON.findall((ROOT / page).read_text("utf-8"))
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, page, "exec"), names)  # noqa: S102
