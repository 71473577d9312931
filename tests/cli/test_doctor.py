"""`xmap doctor` on this machine, driven as a user drives it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import xmap.cli.doctor
import xmap.pipeline.upkeep.doctor
from tests.worlds.commands import call
from xmap.pipeline.upkeep.doctor import CHECKS, Finding


def test_every_part_has_its_line_and_what_is_wrong_its_remedy(own_store: Path) -> None:
    folder = own_store / "images" / "cut-00000000"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{")
    result = call("doctor")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    parts = [line[9:].partition(":")[0] for line in lines]
    assert list(dict.fromkeys(parts)) == [
        "Python",
        "packages",
        "faiss",
        "torch with faiss",
        "FAISS's kernel",
        "GPU",
        "model",
        "disk",
        "store",
    ]
    assert "ok       torch with faiss: they work in one process and agree" in lines
    assert "ok       model: xmap-tiny loads and encodes, width 128" in lines
    # Nothing is downloaded.
    assert any(line.startswith("note     model: the weights of ViT-B-32-quickgelu are not on this machine; ") for line in lines)
    assert lines[-1].startswith("problem  store: ")
    assert "it is not JSON; delete" in lines[-1]
    # Nothing is written.
    assert [path.name for path in own_store.rglob("*")] == ["images", "cut-00000000", "manifest.json"]


@pytest.mark.thorough
@pytest.mark.usefixtures("own_store")
def test_the_batch_law_is_tried_on_the_model_the_device_and_the_batch_size_that_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xmap.pipeline.upkeep.doctor, "CHECKS", {"the model": CHECKS["the model"]})
    result = call("doctor", "--model", "xmap-tiny", "--device", "cpu", "--batch-size", "8")
    assert result.exit_code == 0
    (line,) = (line for line in result.stdout.splitlines() if " batches: " in line)
    assert re.match(
        r"ok       batches: a row of xmap-tiny in batches of 8 on cpu with \d+ threads? does not depend on its neighbours", line
    )


@pytest.mark.parametrize(("state", "code"), [("ok", 0), ("note", 0), ("problem", 1)])
def test_as_json_with_its_exit_code(monkeypatch: pytest.MonkeyPatch, state: str, code: int) -> None:
    finding: dict[str, Any] = {"part": "disk", "state": state, "found": "full", "remedy": "free some"}
    monkeypatch.setattr(xmap.cli.doctor, "checks", lambda *_: iter([("one", lambda: [Finding(**finding)])]))
    result = call("doctor", "--json")
    assert (json.loads(result.stdout), result.exit_code) == ([finding], code)
