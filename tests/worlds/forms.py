"""The same images in every form that a data set comes in: folders, tables, tars, Parquet, a bucket."""

from __future__ import annotations

import csv
import io
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.worlds.s3 import Bucket


@dataclass(frozen=True)
class Photo:
    """One image of a data set: its name without a suffix, its class, the bytes of its file, and in folders the split it lies in."""

    name: str
    label: str
    data: bytes
    split: str = ""


Photos = tuple[Photo, ...]


def write_folder(folder: Path, photos: Photos) -> str:
    for photo in photos:
        path = folder / photo.split / photo.label / f"{photo.name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photo.data)
    return str(folder)


def write_csv(folder: Path, photos: Photos) -> str:
    (folder / "files").mkdir(parents=True)
    with (folder / f"{folder.name}.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label"])
        for photo in photos:
            (folder / "files" / f"{photo.label}-{photo.name}.jpg").write_bytes(photo.data)
            rows.writerow([f"files/{photo.label}-{photo.name}.jpg", photo.label])
    return str(folder / f"{folder.name}.csv")


def write_tar(folder: Path, photos: Photos) -> str:
    """Two tars, as WebDataset has them: a key, an image and a class each."""
    folder.mkdir(parents=True)
    for number in range(2):
        with tarfile.open(folder / f"{folder.name}-{number}.tar", "w") as tar:
            for photo in photos[number::2]:
                for suffix, data in (("jpg", photo.data), ("cls", photo.label.encode())):
                    entry = tarfile.TarInfo(f"{photo.label}-{photo.name}.{suffix}")
                    entry.size = len(data)
                    tar.addfile(entry, io.BytesIO(data))
    return str(folder)


def write_parquet(folder: Path, photos: Photos) -> str:
    folder.mkdir(parents=True)
    cells = [{"bytes": photo.data, "path": f"{photo.label}-{photo.name}.jpg"} for photo in photos]
    pq.write_table(pa.table({"image": cells, "label": [photo.label for photo in photos]}), folder / f"{folder.name}.parquet")
    return str(folder)


def write_bucket(folder: Path, photos: Photos) -> str:
    return Bucket().put(Path(write_folder(folder, photos)))


FORMS: Mapping[str, Callable[[Path, Photos], str]] = {
    "folder": write_folder,
    "table": write_csv,
    "tars": write_tar,
    "Parquet": write_parquet,
    "bucket": write_bucket,
}
