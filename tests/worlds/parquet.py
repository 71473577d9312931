"""Parquet tables with image bytes, as Hugging Face and others write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.worlds.pictures import picture
from tests.worlds.tars import encoded

NESTED = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
PNG = [encoded(picture(number)) for number in range(16)]


def write(path: Path, labels: list[Any], start: int = 0, nested: bool = True, names: list[str] | None = None, **more: Any) -> Path:
    """A table of pictures, two rows a group; with `names` the schema says them as Hugging Face's does."""
    images = PNG[start : start + len(labels)]
    column = pa.array([{"bytes": data, "path": None} for data in images], NESTED) if nested else pa.array(images, pa.binary())
    table = pa.table({"image": column, "label": labels, **more})
    if names is not None:
        features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=2)
    return path


def write_tables(root: Path) -> Path:
    """A folder of tables as the Hugging Face hub has them: five training rows in two files, two rows of each other split."""
    files = {"train-00000-of-00002": [0, 2, 0], "train-00001-of-00002": [2, 0], "validation-0": [0, 2], "test-00000-of-00001": [2, 0]}
    start = 0
    for name, labels in files.items():
        write(root / "data" / f"{name}.parquet", labels, start, names=["cat", "owl", "dog"])
        start += len(labels)
    (root / "README.md").touch()
    return root
