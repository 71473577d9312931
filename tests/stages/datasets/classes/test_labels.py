"""Labels: what is a class in one kind of data is one in all."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.worlds.pictures import picture
from tests.worlds.tars import encoded, samples, write_tar
from xmap.stages.config import DataConfig
from xmap.stages.datasets.classes.order import said_alike
from xmap.stages.datasets.open import open_dataset


@pytest.mark.parametrize("labels", [("-1", "1"), ("-1", "0", "1"), ("-10", "-9"), ("0", "1")])
def test_a_negative_number_is_a_class_wherever_it_is_written(tmp_path: Path, labels: tuple[str, ...]) -> None:
    for label in labels:
        (tmp_path / "folder" / label).mkdir(parents=True)
        (tmp_path / "folder" / label / "a.png").write_bytes(encoded(picture(0)))
    rows = "".join(f"folder/{label}/a.png,{label}\n" for label in labels)
    (tmp_path / "t.csv").write_text(f"path,label\n{rows}", encoding="utf-8")
    write_tar(tmp_path / "t.tar", samples({f"k{number}": label for number, label in enumerate(labels)}))
    images = pa.array([encoded(picture(number)) for number in range(len(labels))], pa.binary())
    pq.write_table(pa.table({"image": images, "label": [int(label) for label in labels]}), tmp_path / "t.parquet")
    found = [open_dataset(DataConfig(data=str(tmp_path / name))) for name in ("folder", "t.csv", "t.tar", "t.parquet")]
    assert {dataset.classes for dataset in found} == {labels}
    hidden = ["the label '-1'" in " ".join(dataset.remarks) for dataset in found]
    assert hidden == [{"-1", "0"} <= set(labels)] * 4


def test_only_where_classes_count_from_zero_minus_one_may_mean_none() -> None:
    assert [len(said_alike(keys)) for keys in (["-1", "1"], ["-1", "cat"], ["-1", "0", "1"], ["0", "1"])] == [0, 0, 1, 0]
