"""Extractions of a folder, all inputs resolved as a run would, and what they leave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from tests.worlds.contents import hashes_of
from xmap.stages.config import DataConfig, Device, EncoderConfig, ExtractConfig
from xmap.stages.datasets.content.hashing import hash_places, with_contents
from xmap.stages.datasets.dataset import SPLITS, Dataset
from xmap.stages.datasets.open import open_dataset
from xmap.stages.datasets.places.place import Place
from xmap.stages.encoder.identity import EncoderIdentity
from xmap.stages.encoder.model import resolve
from xmap.stages.extract.identity import ExtractSpec, image_identity, text_identity
from xmap.stages.extract.stage import extract_images, extract_texts
from xmap.stages.workplace.place import Workplace
from xmap.stages.workplace.progress import Silent
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.artifacts.identity import Identity
from xmap.store.formats.features import read_images
from xmap.store.formats.packs import all_packs
from xmap.store.memory.notes import Notes

SMALL = ExtractConfig(views=2, batch_size=4, shard_batches=2)
ONE = ExtractConfig(views=1, batch_size=2, shard_batches=1)


class Told(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.starts: list[tuple[str, int, int]] = []
        self.advanced = 0

    @property
    def encoded(self) -> int:
        """How many images were not there and were given to the encoder, those that proved bad too."""
        return sum(total - done for _, total, done in self.starts)

    def start(self, what: str, total: int, done: int = 0) -> None:
        self.starts.append((what, total, done))

    def advance(self, units: int) -> None:
        self.advanced += units

    def say(self, line: str) -> None:
        self.lines.append(line)


@dataclass(frozen=True)
class Job:
    """One extraction of a folder, all inputs resolved as a run would."""

    store: Store
    dataset: Dataset
    encoder: EncoderIdentity
    config: ExtractConfig

    @property
    def spec(self) -> ExtractSpec:
        return ExtractSpec(self.dataset, self.encoder, self.config)

    @property
    def hashes(self) -> dict[Place, str]:
        return hashes_of(self.dataset)

    @property
    def identity(self) -> Identity:
        return image_identity(self.spec)

    def run(self, workers: int = 0, progress: Silent | None = None, device: Device = "cpu") -> Artifact:
        return extract_images(Workplace(self.store, progress or Silent(), device, workers), self.identity, self.spec)

    def texts(self, progress: Silent | None = None) -> Artifact:
        return extract_texts(Workplace(self.store, progress or Silent(), "cpu"), text_identity(self.spec), self.spec)


Plan = Callable[..., Job]


def plan_job(root: Path, model: Path | str, store: Path, config: ExtractConfig = SMALL, **data: object) -> Job:
    made = Store(store)
    notes = Notes(store / "hashes.sqlite")
    dataset = open_dataset(DataConfig(data=str(root), **data))
    encoder = resolve(EncoderConfig(model=f"local-dir:{model}"), notes, store / "encoders")
    return Job(made, with_contents(dataset, partial(hash_places, notes=notes)), encoder, config)


def planner(root: Path, model: Path | str, folder: Path, config: ExtractConfig = SMALL) -> Plan:
    """`plan(config=, store=, root=, **data)`: the extraction of `root` into a store in `folder`, not yet run."""

    def plan(config: ExtractConfig = config, store: str = "store", root: Path = root, **data: object) -> Job:
        return plan_job(root, model, folder / store, config, **data)

    return plan


def tree(artifact: Artifact | Path) -> dict[str, bytes]:
    """The bytes of an artifact's tables, and for each split of images those of the features that its rows stand for."""
    folder = artifact if isinstance(artifact, Path) else artifact.path
    files = {path.name: path.read_bytes() for path in sorted(folder.glob("*.parquet"))}
    splits = {split: sorted(folder.glob(f"{split}-*.parquet")) for split in SPLITS}
    return files | {split: read_images(paths).features.tobytes() for split, paths in splits.items() if paths}


Row = tuple[str, int]


def stored_rows(store: Store) -> dict[str, dict[Row, bytes]]:
    """The bytes of every feature row in a store's packs, by maker, content and view. None is twice in packs that none replaces."""
    found: dict[str, dict[Row, bytes]] = {}
    for packs in all_packs(store):
        rows = found.setdefault(packs.name, {})
        for path in packs.sound()[0]:
            table = pq.read_table(path)
            for content, view, feature in zip(*(table[name].to_pylist() for name in ("content", "view", "feature")), strict=True):
                row = content.hex(), view
                assert row not in rows, row
                rows[row] = np.asarray(feature, np.float32).tobytes()
    return found
