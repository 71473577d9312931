"""What is computed depends on no order that the machine chooses: of listings, of workers, of shards."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.promises.conftest import Commands, Control
from tests.worlds.faults import Case
from tests.worlds.runs import RUN, TIMES, tree
from xmap.store.artifacts.artifact import Store
from xmap.store.formats.features import read_images
from xmap.store.formats.tables import read_table


@pytest.mark.promise
@pytest.mark.failure("other order")
def test_listing_order_worker_count_and_place_change_no_byte(
    commands: Commands, world: Path, control: Control, tmp_path: Path, case: Case
) -> None:
    shutil.copytree(world, tmp_path / "moved")
    for number, (flags, place) in enumerate([([], world), (["--workers", "1"], world), (["--workers", "3"], tmp_path / "moved")]):
        with case():
            ended = commands(*RUN, *flags, cwd=place, store=tmp_path / str(number), fault=("shuffle", number))
            assert ended.code == 0, ended.stderr
            assert tree(tmp_path / str(number)) == control.tree


def results(store: Path) -> tuple[np.ndarray[Any, Any], Any, Any]:
    """Features, predictions and numbers of a run, without the times."""
    (images,), (result,) = Store(store).artifacts("images"), Store(store).artifacts("eval")
    features = np.concatenate([read_images(images.files(f"{split}-")).features for split in ("train", "val", "test")])
    predictions = read_table(result.file("predictions.parquet")).drop_columns(["run"])
    numbers = [{name: value for name, value in row.items() if name not in TIMES} for row in result.summary["results"]]
    return features, predictions, json.dumps(numbers)


@pytest.mark.promise
@pytest.mark.failure("other order")
def test_the_number_of_shards_changes_no_result(commands: Commands, world: Path, control: Control, tmp_path: Path, case: Case) -> None:
    features, predictions, numbers = results(control.store)
    for count in (2, 16):
        with case():
            store = tmp_path / str(count)
            assert commands(*RUN, "--shard-batches", str(count), cwd=world, store=store).code == 0
            assert len(list(store.glob("features/*/*"))) < len(list(control.store.glob("features/*/*")))
            found = results(store)
            np.testing.assert_array_equal(found[0], features)
            assert found[1:] == (predictions, numbers)
