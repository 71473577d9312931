"""docs/onnx.md names what a file holds, and its ten lines run where nothing of xmap or torch is imported."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.worlds.commands import call
from tests.worlds.pictures import picture
from xmap.stages.onnx.form import OUTPUTS, About

PAGE = Path(__file__).resolve().parents[1] / "docs" / "onnx.md"


def test_it_names_all_outputs_and_metadata() -> None:
    named = set(re.findall(r"`(\w+)`", PAGE.read_text("utf-8")))
    assert set(OUTPUTS) <= named
    assert set(About("", "", (), 1.0, {}, "").metadata()) <= named


@pytest.mark.thorough
def test_its_lines_say_what_xmap_says(tmp_path: Path) -> None:
    data, store, folder = tmp_path / "photos", tmp_path / "store", tmp_path / "birds-classifier"
    for number in range(12):
        path = data / ("a", "b", "c")[number % 3] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(number, (60, 40)).save(path)
    photo = tmp_path / "photo.jpg"
    picture(50, (97, 64)).save(photo, quality=95)
    run = ("run", "--data", data, "--model", "xmap-tiny", "--views", "0", "--shots", "1", "--seeds", "1", "--methods", "tip-adapter")
    for words in ((*run, "--store", store), ("export", folder, "--onnx", "--store", store)):
        done = call(*words)
        assert done.exit_code == 0, done.output
    [code] = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    script = code + "import sys\nassert not {'xmap', 'torch'} & set(sys.modules)\n"
    plain = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert plain.returncode == 0, plain.stderr
    told = json.loads(call("predict", photo, "--adapter", folder, "--json").stdout)
    name, chance = plain.stdout.rsplit(maxsplit=1)
    assert name == told["class"]
    assert float(chance) == pytest.approx(told["probability"], abs=1e-5)
