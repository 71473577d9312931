"""A million stored features, and an adapter of 100 classes and 16 shots that knows what they are of: nothing is encoded."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from xmap.stages.names import IMAGES
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.artifacts.identity import Identity
from xmap.store.formats.feature_rows import Rows
from xmap.store.formats.packs import Packs
from xmap.store.formats.samples import Samples, write_samples

CLASSES, SHOTS, WIDTH = 100, 16, 512
# As extractions leave them: rows in a pack, samples in a table.
PACK, TABLE = 1024, 16_384
NAME = "million"
SPREAD = 0.8


def write_layout(folder: Path) -> np.ndarray:
    """Features of classes around random centres (100, 512), in Tip-Adapter's layout."""
    draw = torch.Generator().manual_seed(1)
    centres = torch.nn.functional.normalize(torch.randn(CLASSES, WIDTH, generator=draw), dim=1)

    def around(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        labels = torch.arange(CLASSES).repeat_interleave(count)
        noise = SPREAD * torch.nn.functional.normalize(torch.randn(len(labels), WIDTH, generator=draw), dim=1)
        return torch.nn.functional.normalize(centres[labels] + noise, dim=1).half(), labels

    folder.mkdir()
    keys, labels = around(SHOTS)
    saved = {f"keys_{SHOTS}shots": keys.T.contiguous(), f"values_{SHOTS}shots": torch.nn.functional.one_hot(labels, CLASSES).half()}
    for split in ("val", "test"):
        saved[f"{split}_f"], saved[f"{split}_l"] = around(20)
    texts = centres + SPREAD * torch.nn.functional.normalize(torch.randn(CLASSES, WIDTH, generator=draw), dim=1)
    saved["text_weights"] = torch.nn.functional.normalize(texts, dim=1).half().T.contiguous()
    for name, tensor in saved.items():
        torch.save(tensor, folder / f"{name}.pt")
    (folder / "classnames.json").write_text(json.dumps([f"class {number}" for number in range(CLASSES)]))
    return centres.numpy()


def write_million(store: Store, centres: np.ndarray, images: int) -> Artifact:
    """Image features that are called `million`: samples, and their rows in packs."""
    draw = np.random.default_rng(2)
    packs = Packs.of(store.root, "made", {"made": NAME})
    with store.build(Identity(IMAGES, NAME, {"made": NAME, "content": {"test": str(images)}}, command="xmap extract")) as held:
        if isinstance(held, Artifact):
            return held
        for start in range(0, images, TABLE):
            count = min(TABLE, images - start)
            contents = [f"{number:064x}" for number in range(start, start + count)]
            labels = draw.integers(0, CLASSES, count).astype(np.int32)
            noise = draw.standard_normal((count, WIDTH), np.float32) * np.float32(SPREAD / np.sqrt(WIDTH))
            for first in range(0, count, PACK):
                part = slice(first, first + PACK)
                rows = contents[part]
                packs.write(Rows(rows, np.zeros(len(rows), np.int16), centres[labels[part]] + noise[part]))
            ids = [f"{number:07d}.jpg" for number in range(start, start + count)]
            table = Samples(ids, labels, np.zeros(count, np.int16), contents, [""] * count, ids)
            write_samples(
                held.path / f"test-{start // TABLE:05d}.parquet", table, "test", held.identity.fingerprint, (packs.name, packs.name)
            )
        about = {"dataset": NAME, "model": "made", "classes": [f"class {number}" for number in range(CLASSES)], "logit_scale": 100.0}
        made = {
            "counts": {"test": images},
            "parts": {"test": packs.name[-16:] * 4},
            "bad": 0,
            "bad_kinds": {},
            "views": 0,
            "features": [packs.name],
            "remarks": [],
        }
        return held.commit({**about, **made, "width": WIDTH})
