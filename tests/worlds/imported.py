"""Vectors as others write them: three classes around three centres, in every layout, and what imports them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq

from xmap.stages.imports.layouts import import_features
from xmap.stages.imports.request import ImportRequest
from xmap.stages.workplace.progress import Silent
from xmap.store.artifacts.artifact import Artifact, Store

CLASSES = ("ant", "bee", "cat")
WIDTH = 8


@dataclass
class Told(Silent):
    """Remembers what was said, and how many units of how many were done."""

    lines: list[str] = field(default_factory=list)
    total: int = 0
    done: int = 0

    def start(self, what: str, total: int, done: int = 0) -> None:
        self.total, self.done = total, done

    def advance(self, units: int) -> None:
        self.done += units

    def say(self, line: str) -> None:
        self.lines.append(line)


def vectors(rows: int = 60, width: int = WIDTH, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors (R, C) float32, their labels (R,), and a text of each class (3, C)."""
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(len(CLASSES), width))
    labels = np.arange(rows) % len(CLASSES)
    found = centres[labels] + 0.5 * draw.normal(size=(rows, width))
    return found.astype(np.float32), labels, centres.astype(np.float32)


def column(values: np.ndarray) -> pa.Array:
    """A column of vectors of one width."""
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


def table(rows: int = 60, **columns: Any) -> pa.Table:
    """A table as others write it: an id, a vector and a class name a row; more columns, or others in their place."""
    found, labels, _ = vectors(rows)
    usual = {"id": [f"img/{row}.jpg" for row in range(rows)], "embedding": column(found), "label": [CLASSES[label] for label in labels]}
    return pa.table({name: values for name, values in {**usual, **columns}.items() if values is not None})


def write_table(path: Path, content: pa.Table) -> Path:
    """In the format that the name says: Parquet, Feather, an Arrow file or an Arrow stream (`.stream.arrow`)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(content, path)
    elif path.suffix == ".feather":
        feather.write_feather(content, path)
    else:
        new = pa.ipc.new_stream if ".stream" in path.name else pa.ipc.new_file
        with new(path, content.schema) as writer:
            writer.write_table(content, max_chunksize=17)
    return path


def write_texts(folder: Path) -> tuple[Path, Path]:
    """The class texts as a `.npy` in label order and as a table in another order, with one class more."""
    texts = vectors()[2]
    np.save(folder / "texts.npy", texts)
    named = pa.table({"class": ["dog", "cat", "ant", "bee"], "text": column(np.stack([texts[0] + texts[1], texts[2], texts[0], texts[1]]))})
    return folder / "texts.npy", write_table(folder / "texts.parquet", named)


def write_arrays(folder: Path, **arrays: np.ndarray | Sequence[str]) -> Path:
    """A folder of `.npy` files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)
    return folder


def write_clip_retrieval(folder: Path, parts: int = 2, rows: int = 30) -> Path:
    """The folders of clip-retrieval, whose vectors are float16."""
    found, _, _ = vectors(parts * rows)
    (folder / "img_emb").mkdir(parents=True)
    for part in range(parts):
        np.save(folder / "img_emb" / f"img_emb_{part}.npy", found[part * rows : (part + 1) * rows].astype(np.float16))
        names = [f"img/{row}.jpg" for row in range(part * rows, (part + 1) * rows)]
        told = pa.table({"image_path": names, "caption": ["a photo"] * rows, "class": [CLASSES[row % 3] for row in range(rows)]})
        write_table(folder / "metadata" / f"metadata_{part}.parquet", told)
    return folder


def write_img2dataset(folder: Path) -> Path:
    """The tables of two shards of img2dataset, with a column of vectors kept from its input; two images each could not be had."""
    found, labels, _ = vectors(60)
    for shard in range(2):
        rows = range(shard * 30, shard * 30 + 30)
        told = {
            "url": [f"http://example.org/{row}.jpg" for row in rows],
            "embedding": column(found[list(rows)]),
            "label": [CLASSES[labels[row]] for row in rows],
            "key": [f"{shard:05}{row % 30:04}" for row in rows],
            "status": ["failed_to_download" if row % 30 in (3, 8) else "success" for row in rows],
            "error_message": [None] * 30,
        }
        write_table(folder / f"{shard:05}.parquet", pa.table(told))
        (folder / f"{shard:05}_stats.json").write_text("{}")
    return folder


def take(store: Store, layout: str, path: Path, told: Told | None = None, **given: str) -> list[Artifact]:
    """Import a layout as `mine`, with flags."""
    name, classes, texts = (given.pop(flag, usual) for flag, usual in (("name", "mine"), ("classes", ""), ("texts", "")))
    return list(import_features(store, ImportRequest(layout, path, name, given, classes, texts), told or Told()))
