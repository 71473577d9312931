"""`xmap enough`: the digits from images to verdict, imported features with the test split closed, and inputs that cannot do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.worlds.commands import call
from tests.worlds.inputs import write_layout, write_photos
from xmap.cli.enough import _print
from xmap.stages.datasets.digits import png
from xmap.stages.enough.study import Doubled, Point, Study, verdict_of
from xmap.store.artifacts.artifact import Store

TINY = ("--model", "xmap-tiny", "--views", "0", "--device", "cpu", "--quiet")
PER_CLASS = 20


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first of the bundled digits."""
    datasets = pytest.importorskip("sklearn.datasets")
    folder, found = tmp_path_factory.mktemp("digits"), datasets.load_digits()
    for label in range(10):
        (folder / str(label)).mkdir()
        for number, image in enumerate(found.images[found.target == label][:PER_CLASS]):
            (folder / str(label) / f"{number}.png").write_bytes(png(image))
    return folder


def test_the_digits_from_images_to_a_verdict(digits: Path, own_store: Path) -> None:
    words = ("enough", "--data", digits, *TINY, "--method", "tip-adapter", "--seeds", "1,2", "--most", "4")
    result = call(*words, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [(point["shots"], point["labels"]) for point in found["points"]] == [(1, 10), (2, 20), (4, 40)]
    assert all(point["low"] <= point["accuracy"] <= point["high"] for point in found["points"])
    # Half of the validation images under each seed; none of the other half.
    assert 20 <= found["points"][0]["samples"] <= 40
    doubled = found["doubled"]
    assert doubled["labels"] == 80
    assert 0 <= doubled["gain_low"] <= doubled["gain"] <= doubled["gain_high"]
    assert found["curve"][0][0] == pytest.approx(10)
    assert found["curve"][-1][0] == pytest.approx(80)
    assert {row["name"] for row in found["classes"]} == set("0123456789")
    assert "twice the labels (80)" in found["verdict"]

    before = {artifact.fingerprint for artifact in Store(own_store).artifacts()}
    again = call(*words)
    assert again.exit_code == 0, again.output
    assert found["verdict"] in again.stdout
    assert "foretold" in again.stdout
    assert {artifact.fingerprint for artifact in Store(own_store).artifacts()} == before


@pytest.mark.parametrize(("measured", "said"), [(98.3, True), (96.0, False)])
def test_a_value_foretold_below_a_measured_one_is_explained(measured: float, said: bool, capsys: pytest.CaptureFixture[str]) -> None:
    points = tuple(Point(shots, 10 * shots, 3, 40, accuracy, 90.0, 99.0) for shots, accuracy in ((2, 90.0), (4, measured)))
    doubled = Doubled(80, 97.5, 95.0, 99.0, 0.8, 0.1, 1.5)
    _print(Study("xmadapter", points, (), doubled, (), verdict_of(doubled, ())))
    assert ("above the curve, by chance; gains count from the curve, which is at 96.7 there" in capsys.readouterr().out) == said


def test_supports_that_others_chose_and_the_test_split_stays_closed(tmp_path: Path, own_store: Path) -> None:
    write_layout(tmp_path / "layout", shots=(1, 2, 4), per_class=12)
    assert call("import", "tip-adapter", tmp_path / "layout", "--name", "layout", "--quiet").exit_code == 0
    images = next(artifact for artifact in Store(own_store).artifacts() if artifact.stage == "images")
    for path in images.path.glob("test-*.parquet"):
        # Whoever opens it finds no table.
        path.chmod(0o600)
        path.write_bytes(b"closed" + bytes(path.stat().st_size - 6))
    result = call("enough", "--features", "layout", "--method", "tip-adapter", "--device", "cpu", "--quiet", "--json")
    assert result.exit_code == 0, result.output
    assert [point["labels"] for point in json.loads(result.stdout)["points"]] == [3, 6, 12]
    refused = call("enough", "--features", "layout", "--most", "1")
    assert refused.exit_code == 2
    refused = call("enough", "--features", "layout", "--most", "2", "--method", "tip-adaptr")
    assert refused.exit_code == 2
    assert "zero-shot takes no labels" in refusal("--features", "layout", "--method", "zero-shot")
    assert "tip-adapter" in refused.output


def refusal(*words: object) -> str:
    result = call("enough", *words, *TINY)
    assert result.exit_code == 2, result.output
    return " ".join(result.output.split())


def test_too_few_images_and_too_few_classes_are_told_with_what_to_do(tmp_path: Path) -> None:
    one = write_photos(tmp_path / "one", train=1)
    assert "1 training images of a class at most" in (said := refusal("--data", one))
    assert "label at least 2 images a class" in said
    # Nothing is set aside for validation: what the support leaves is measured on.
    bare = write_photos(tmp_path / "bare", train=3, val=0)
    assert "of which half are left to measure on" in refusal("--data", bare)
    alone = write_photos(tmp_path / "alone")
    for path in alone.glob("*/[bc]*"):
        for image in path.iterdir():
            image.unlink()
        path.rmdir()
    assert "class" in refusal("--data", alone)


def test_without_a_validation_split_the_rest_of_training_is_measured_on(tmp_path: Path) -> None:
    data = write_photos(tmp_path / "data", train=8, val=0)
    result = call("enough", "--data", data, *TINY, "--method", "tip-adapter", "--seeds", "1", "--json")
    assert result.exit_code == 0, result.output
    points = json.loads(result.stdout)["points"]
    # All on what the largest support leaves.
    assert [(point["shots"], point["samples"]) for point in points] == [(1, 6), (2, 6), (4, 6)]
