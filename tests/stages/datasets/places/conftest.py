"""Extractions of data at any place, planned as a run plans them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.worlds.extraction import SMALL, Job, Plan
from xmap.stages.config import DataConfig, EncoderConfig, ExtractConfig
from xmap.stages.datasets.content.hashing import hash_places, with_contents
from xmap.stages.datasets.open import open_dataset
from xmap.stages.encoder.model import resolve
from xmap.store.artifacts.artifact import Store
from xmap.store.memory.notes import Notes


@pytest.fixture
def plan(tiny_model_dir: Path, tmp_path: Path) -> Plan:
    """`plan(data, store)`: an extraction, all inputs resolved as a run would."""

    def planned(data: str | Path, store: str, config: ExtractConfig = SMALL) -> Job:
        made, notes = Store(tmp_path / store), Notes(tmp_path / store / "hashes.sqlite")
        dataset = open_dataset(DataConfig(data=str(data)), notes=notes)
        encoder = resolve(EncoderConfig(model=f"local-dir:{tiny_model_dir}"), notes, tmp_path / store / "encoders")
        return Job(made, with_contents(dataset, partial(hash_places, notes=notes)), encoder, config)

    return planned
