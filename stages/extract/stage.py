"""The stage `extract`: image features in fixed shards, and text features, as two artifacts.

They are two so that a changed prompt never encodes an image again. Identities are plain hashing: planning a run imports no torch.
"""

from __future__ import annotations

from xmap.stages.config import ExtractConfig
from xmap.stages.datasets.dataset import Dataset
from xmap.stages.encoder.identity import EncoderIdentity
from xmap.stages.engine import LOCAL, Engine
from xmap.stages.extract.identity import TEXT_BATCH, parts
from xmap.stages.extract.shards import Hashes
from xmap.stages.progress import Progress
from xmap.store.artifacts.artifact import Artifact, Identity, Store
from xmap.store.errors import InputError


def extract_images(
    store: Store,
    identity: Identity,
    dataset: Dataset,
    hashes: Hashes,
    encoder: EncoderIdentity,
    extract: ExtractConfig,
    device: str,
    workers: int,
    progress: Progress,
    engine: Engine = LOCAL,
) -> Artifact:
    """Encode all images of `dataset`, or what an earlier run left of them.

    `device` is auto, cpu or cuda; neither it nor `workers` nor the engine enters the identity. Bad images are listed in
    errors.parquet. Raises `InputError` where there is no readable image, where files change during the work, and for what
    `Encoder.load` refuses.
    """
    if not dataset.samples:
        raise InputError(f"dataset {dataset.name!r} has no images; point --data at a folder of class folders.")
    with store.build(identity, on_wait=progress.say) as held:
        if isinstance(held, Artifact):
            return held
        from xmap.stages.extract.work import encode_images

        summary, place = encode_images(store, held, dataset, hashes, encoder, extract, device, workers, progress, engine)
        return held.commit({**summary, "parts": parts(identity)}, place)


def extract_texts(
    store: Store, identity: Identity, dataset: Dataset, encoder: EncoderIdentity, device: str, progress: Progress, engine: Engine = LOCAL
) -> Artifact:
    """Encode every class name in every template, class by class. Raises `InputError` for what `Encoder.load` refuses."""
    with store.build(identity, on_wait=progress.say) as held:
        if isinstance(held, Artifact):
            return held
        from xmap.stages.extract.work import encode_texts

        summary, place = encode_texts(held, dataset, encoder, device, TEXT_BATCH, progress, engine)
        return held.commit(summary, place)
