"""A pool labelled: the same answers whatever form it has, killed at any moment and gone on with, and from kept features."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from tests.promises.conftest import ROOT, Commands, Control, Ended
from tests.worlds.faults import Case
from tests.worlds.pools import Images, made_images, photographed, write_forms
from tests.worlds.runs import MODEL
from tests.worlds.s3 import Bucket
from xmap.store.artifacts.artifact import Store
from xmap.store.formats.packs import all_packs

FEW, MANY = 60, 20_000
COMMAND = [sys.executable, "-c", "from xmap.cli.main import main; main()"]
ENCODER = ["--model", f"local-dir:{MODEL}", "--workers", "0"]
# What is called otherwise, or has columns of its own.
OTHERWISE = ("Parquet",)


class Labelling:
    """`xmap predict` over pools, in stores that begin as the one of a run."""

    def __init__(self, commands: Commands, world: Path, control: Control, folder: Path) -> None:
        self.commands, self.world, self.control, self.folder = commands, world, control, folder

    def store(self, name: str) -> Path:
        """A store of its own, which knows no image of any pool."""
        return Path(shutil.copytree(self.control.store, self.folder / name))

    def words(self, data: str, target: Path, *more: str) -> list[str]:
        return ["predict", "--data", data, "-o", str(target), *ENCODER, *more]

    def __call__(self, data: str, store: Path, *more: str) -> tuple[bytes, Ended]:
        """The answers as CSV."""
        target = self.folder / f"{store.name}.csv"
        ended = self.commands(*self.words(data, target, *more), cwd=self.world, store=store)
        assert ended.code == 0, ended.stderr
        return target.read_bytes(), ended


def without_names(answers: bytes) -> list[bytes]:
    """The columns of answers that are no name, and no column of a table."""
    return [b",".join(line.split(b",")[1:8]) for line in answers.splitlines()[1:]]


@pytest.fixture(scope="module")
def pools(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    return write_forms(tmp_path_factory.mktemp("pools"), made_images(FEW))


@pytest.fixture
def labelling(commands: Commands, world: Path, control: Control, tmp_path: Path) -> Labelling:
    return Labelling(commands, world, control, tmp_path)


def same_in_every_form(labelling: Labelling, forms: Mapping[str, str]) -> bytes:
    """The answers, each form encoded anew."""
    found = {form: labelling(place, labelling.store(form.replace(" ", "-")))[0] for form, place in forms.items()}
    expected = found["folder"]
    for form, answers in found.items():
        same = without_names(answers) == without_names(expected) if form in OTHERWISE else answers == expected
        assert same, form
    return expected


@pytest.mark.promise
def test_a_pool_has_the_same_answers_in_every_form(labelling: Labelling, pools: Mapping[str, str]) -> None:
    answers = same_in_every_form(labelling, pools).decode("utf-8-sig").splitlines()
    assert len(answers) == 1 + FEW
    assert [line.split(",")[0] for line in answers[1:]] == list(made_images(FEW))
    (bad,) = (line for line in answers if "not-an-image" in line)
    assert bad.startswith(f"b.tar/{FEW // 2:06d}.jpg,")


@pytest.mark.promise
@pytest.mark.failure("killed")
def test_labelling_killed_at_a_write_point_goes_on_and_ends_the_same(
    labelling: Labelling, pools: Mapping[str, str], tmp_path: Path, case: Case
) -> None:
    expected, _ = labelling(pools["tars"], labelling.store("whole"))
    counted = labelling.commands(
        *labelling.words(pools["tars"], tmp_path / "x.csv"), cwd=labelling.world, store=labelling.store("counted"), fault=("count", 0)
    )
    points = int(counted.stderr.splitlines()[-1])
    for point in range(2, points, max(1, points // 2)):
        with case():
            store = labelling.store(str(point))
            words = labelling.words(pools["tars"], tmp_path / f"{point}.csv")
            assert labelling.commands(*words, cwd=labelling.world, store=store, fault=("kill", point)).code == -signal.SIGKILL
            assert not (tmp_path / f"{point}.csv").exists()
            assert labelling(pools["tars"], store)[0] == expected


def bytes_kept(store: Path) -> int:
    """How much the store has of feature rows."""
    return sum(path.stat().st_size for packs in all_packs(Store(store)) for path in packs.paths())


# ---- twenty thousand images


@pytest.fixture(scope="module")
def many(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Images, Mapping[str, str]]:
    images = photographed(shared_data / "photos", MANY)
    return images, write_forms(tmp_path_factory.mktemp("many"), images)


@pytest.mark.thorough
@pytest.mark.timeout(2400)
def test_twenty_thousand_images_have_the_same_answers_in_every_form(
    labelling: Labelling, many: tuple[Images, Mapping[str, str]], bucket: Bucket
) -> None:
    images, forms = many
    expected = same_in_every_form(labelling, forms)
    for name, data in images.items():
        bucket.files.pipe_file(f"{bucket.name}/pool/{name}", data)
    target, store = labelling.folder / "bucket.csv", labelling.store("bucket")
    # The server of commands was started before there was a bucket.
    words = labelling.words(f"s3://{bucket.name}/pool", target, "--store", str(store))
    subprocess.run([*COMMAND, *words], cwd=labelling.world, env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}, check=True)
    assert target.read_bytes() == expected


@pytest.mark.thorough
@pytest.mark.timeout(2400)
@pytest.mark.failure("killed")
def test_twenty_thousand_images_killed_ten_times_end_the_same(
    labelling: Labelling, many: tuple[Images, Mapping[str, str]], case: Case
) -> None:
    _, forms = many
    started = time.monotonic()
    expected, _ = labelling(forms["folder"], labelling.store("whole"))
    whole = time.monotonic() - started
    store, draw, killed = labelling.store("killed"), np.random.default_rng(5), 0
    words = labelling.words(forms["folder"], labelling.folder / "killed.csv")
    for _ in range(10):
        with case():
            before = bytes_kept(store)
            (group,) = labelling.commands.start(1, *words, cwd=labelling.world, store=store)
            time.sleep(draw.uniform(0.01, 0.15) * whole)
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
            (ended,) = labelling.commands.wait()
            killed += ended.code == -signal.SIGKILL
            assert bytes_kept(store) >= before
    assert killed >= 5, "most were killed before they were done"
    assert labelling(forms["folder"], store)[0] == expected
