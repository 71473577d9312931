"""Where the images of a report are: where the user says, else where this store took them from on this machine, as notes outside it tell.

What a store itself says of places is never followed: it may have been received, and would open its reader's own files or addresses.
"""

from __future__ import annotations

import numpy as np
from pydantic import ValidationError

from xmap.pipeline.run.source import stated
from xmap.stages.config import DataConfig, ExtractConfig, read_as
from xmap.stages.datasets.open import open_dataset
from xmap.stages.datasets.places.place import shown
from xmap.stages.images.decode import RULES, Rules, rules_of
from xmap.stages.pages.thumbnails import Pictures
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.errors import XmapError
from xmap.store.memory.hashes import DIGEST
from xmap.store.memory.notes import HASHES, Notes
from xmap.store.memory.sources import recall_source

REMEDY = "Name their place with --data DIR."


def pictures_of(store: Store, images: Artifact | None, data: str = "", max_pixels: int | None = None) -> Pictures:
    """The images behind features, at `data` where it is given; those larger than `max_pixels` are left out."""
    if images is None or (not data and "content" not in images.fields):
        return Pictures(remarks=("the features were imported, so there are no images to show",) if images else ())
    noted = _noted(store, images)
    if not data and noted is None:
        return Pictures(remarks=(f"the images are not shown: this store did not extract them here on this machine. {REMEDY}",))
    try:
        config = noted or _harmless(images)
        config = config.model_copy(update={"data": data}) if data else config
        # What a received store remembers of files is not believed either.
        # Only ids and places are asked for: no label is corrected and no rule followed, which may be a stranger's that never ends.
        config = config.model_copy(update={"labels": (), "train_per_class": None, "group_by": "", "descriptions": ""})
        dataset = open_dataset(config, Notes(store.root / HASHES) if noted else Notes(), lambda places: np.zeros(len(places), DIGEST))
    except XmapError as error:
        return Pictures(remarks=(f"the images are not shown: {error} {REMEDY}",))
    return Pictures({sample.sample_id: sample.place for sample in dataset.samples}, shown(config.data), _rules(images, max_pixels))


def _noted(store: Store, images: Artifact) -> DataConfig | None:
    try:
        return DataConfig.model_validate(recall_source(store.root, images.fingerprint))
    except ValidationError:
        return None


def _harmless(images: Artifact) -> DataConfig:
    """How splits are drawn, as the manifest states it. The files that it names are nobody's to open."""
    return stated(images, DataConfig).model_copy(update={"data": "", "classes": "", "root": "", "labels": ()})


def _rules(images: Artifact, max_pixels: int | None) -> Rules:
    """How pixels were read when they were extracted."""
    try:
        return rules_of(
            ExtractConfig.model_validate({**read_as(images.fields)} | ({} if max_pixels is None else {"max_pixels": max_pixels}))
        )
    except ValidationError:
        return RULES
