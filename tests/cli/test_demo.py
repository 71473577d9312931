"""The demo, as a user starts it: real digits, the tiny CLIP, no network, no choice made by what comes out."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from xmap.stages.datasets import digits
from xmap.store.errors import InputError

pytest.importorskip("sklearn", reason="the digits come with scikit-learn: pip install 'xmap[demo]'")
SECONDS = 300


def demo(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = "from xmap.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "demo", *arguments], cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("demo")
    return folder, demo(folder, "--json", "here")


@pytest.fixture(scope="module")
def results(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> dict[str, dict[str, Any]]:
    done = finished[1]
    assert done.returncode == 0, done.stderr
    return {row["method"]: row for row in json.loads(done.stdout)["results"]}


@pytest.mark.thorough
@pytest.mark.timeout(SECONDS + 60)
def test_stdout_is_one_object_with_the_results(results: dict[str, dict[str, Any]]) -> None:
    assert list(results) == ["zero-shot", "tip-adapter", "tip-adapter-f", "xmadapter"]
    for row in results.values():
        low, high = row["accuracy_ci95"]
        assert (row["shots"], row["seeds"]) == (16, [1, 2, 3])
        assert low <= row["accuracy_mean"] <= high


@pytest.mark.thorough
def test_it_speaks_before_it_imports_what_takes_long(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    first = finished[1].stderr.splitlines()[0]
    assert first.startswith("Writes handwritten digits as images")


@pytest.mark.thorough
def test_zero_shot_knows_digits_better_than_chance(results: dict[str, dict[str, Any]]) -> None:
    assert results["zero-shot"]["accuracy_ci95"][0] > 100.0 / len(digits.CLASSES)


@pytest.mark.thorough
@pytest.mark.parametrize("method", ["tip-adapter", "tip-adapter-f", "xmadapter"])
def test_a_few_images_bring_each_method_above_zero_shot(finished: tuple[Path, subprocess.CompletedProcess[str]], method: str) -> None:
    """By more than the test images and the luck of the support explain. How far above is no pass mark: these are test images."""
    (gap,) = (row for row in json.loads(finished[1].stdout)["differences"] if (row["method"], row["against"]) == (method, "zero-shot"))
    assert gap["ci95"][0] > 0.0
    assert not gap["tie"]


@pytest.mark.thorough
def test_the_second_time_everything_is_reused(finished: tuple[Path, subprocess.CompletedProcess[str]], results: dict[str, Any]) -> None:
    folder, _ = finished
    again = demo(folder, "here")
    assert again.returncode == 0, again.stderr
    assert "built" not in again.stderr
    assert again.stderr.count("reused") >= len(results)
    commands = [line for line in again.stderr.splitlines() if line.startswith("$ xmap ")]
    assert [line.split()[2] for line in commands] == ["run", "sql", "report"]
    assert "zero-shot" in again.stdout
    assert "nearest_cached" in again.stdout
    assert again.stderr.splitlines()[-1] == "Open in a browser: here/report.html"
    assert again.stdout.splitlines()[-1] == "here/report.html"
    assert (folder / "here/report.html").stat().st_size > 100_000, "with the digits as pictures"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits. Left as they are by each test."""
    folder = tmp_path_factory.mktemp("digits")
    assert digits.write_digits(folder) == 1797
    return folder


def test_the_digits_are_files_of_the_same_bytes_each_time(written: Path, tmp_path: Path) -> None:
    assert digits.write_digits(tmp_path) == 1797
    assert fingerprints(tmp_path) == fingerprints(written)
    assert {len(list((written / name).iterdir())) > 150 for name in digits.CLASSES} == {True}


def test_files_that_are_there_are_not_written_again(written: Path) -> None:
    path = written / "0" / "0000.png"
    before = path.stat().st_mtime_ns
    digits.write_digits(written)
    assert path.stat().st_mtime_ns == before


def test_a_damaged_digit_is_written_again(written: Path) -> None:
    path = written / "0" / "0000.png"
    whole = path.read_bytes()
    path.write_bytes(whole[:20])
    digits.write_digits(written)
    assert path.read_bytes() == whole


def test_a_png_holds_the_grey_values() -> None:
    image = np.arange(64).reshape(8, 8) % (digits.LEVELS + 1)
    back = np.asarray(Image.open(io.BytesIO(digits.png(image))))
    assert back.dtype == np.uint8
    assert np.array_equal(np.rint(back / 255 * digits.LEVELS), image)


def test_a_folder_with_other_classes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    with pytest.raises(InputError, match="another folder"):
        digits.write_digits(tmp_path)


def test_without_scikit_learn_the_remedy_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(InputError, match=r"pip install 'xmap\[demo\]'"):
        digits.write_digits(tmp_path)


def test_a_config_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "xmap.toml").write_text("[cache]\nshots = 1\n")
    done = demo(tmp_path)
    assert done.returncode == 2
    assert "another folder" in done.stderr
    assert not (tmp_path / "demo").exists()


def fingerprints(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): hashlib.blake2b(path.read_bytes()).hexdigest() for path in root.rglob("*.png")}
