"""The images that an adapter was made from, and how they were extracted: so a new image gets the row that it would have among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xmap.pipeline.adapters.adapter import Adapter
from xmap.pipeline.settings.config import XmapConfig, load_config
from xmap.stages.config import read_as
from xmap.stages.names import IMAGES, JOINED
from xmap.store.artifacts.artifact import Artifact
from xmap.store.artifacts.usable import usable
from xmap.store.errors import ArtifactMissing


def images_of(adapter: Adapter) -> Artifact | None:
    """The image features that the adapter's cache was built from; None where its store has them no more, as an exported folder."""
    support = adapter.cache_artifact.inputs.get("support")
    store = adapter.store
    stages = JOINED if adapter.scorer.cache.widths else IMAGES
    found = [images for images in store.artifacts(stages) if support in dict(images.summary.get("parts") or {}).values()]
    if not found:
        return None
    # Of several encoders the first: the images are the same.
    first = found[-1] if found[-1].stage == IMAGES else store.by_fingerprint(found[-1].inputs["images"], (IMAGES,))
    return None if first is None else usable(first)


def require_images(adapter: Adapter) -> Artifact:
    """`images_of`. Raises `ArtifactMissing` where there are none."""
    found = images_of(adapter)
    if found is None:
        command = adapter.cache_artifact.manifest["command"]
        remedy = f"it tells what is labelled already; run `{command}` again, or name an adapter of this store with --adapter."
        raise ArtifactMissing(IMAGES, str(adapter.cache_artifact.inputs.get("support"))[:8], remedy)
    return found


def extracted_as(adapter: Adapter, images: Artifact | None, given: Mapping[str, Any]) -> XmapConfig:
    """Settings under which an image has the row that it would have among `images`; those `given`, as `section.field`, go before.

    Raises `InputError`.
    """
    own = dict(read_as(adapter.cache_artifact.summary))
    if images:
        own |= {"batch_size": images.fields.get("batch_size"), **read_as(images.fields)}
    settings: dict[str, Any] = {f"extract.{name}": value for name, value in own.items()}
    settings |= {name: value for name, value in given.items() if value not in (None, "")}
    return load_config(None, {**{name: value for name, value in settings.items() if value is not None}, "extract.views": 0}, read=False)
