"""The stage `build-cache`: the few-shot support, its keys and values, and an index over the keys of each cache.

Row j of `image.faiss` is row j of `values.parquet`: sorted by (label, sample id), so that the keys of a class are contiguous.
The image keys are Tip-Adapter's: the unit mean of a sample's raw views, the plain one included. `text.faiss` holds one unit
key a class: every image key of a class shares it.
"""

from __future__ import annotations

from stages.config import CacheConfig
from stages.inputs import IMAGE_INDEX, TEXT_INDEX, VALUES, load_text, require_same_encoder, support_of
from stages.progress import Progress
from stages.support import Drawn, draw_support, take_samples
from stages.task import Support, Text
from store.artifact import Artifact, Identity, Store
from store.fingerprint import Json
from store.index import FLAT, VectorIndex
from store.log import write_values


def build_cache(
    store: Store, identity: Identity, images: Artifact, texts: Artifact, config: CacheConfig, seed: int | None, progress: Progress
) -> Artifact:
    """Draw the support and store its caches.

    `seed` draws the support; it is None where the features fix it (`stages.support.fixed_shots`). Raises `InputError` for a
    support that cannot be had, for features of two encoders, and for an index faiss refuses.
    """
    with store.build(identity, on_wait=progress.say) as held:
        if isinstance(held, Artifact):
            return held
        progress.start("build-cache", 2)
        text = load_text(texts)
        drawn = draw_support(images, config, text.names, seed)
        for remark in drawn.remarks:
            progress.say(remark)
        support = support_of(take_samples(images, drawn.split, set(drawn.index.sample_ids)), config.shots, text.classes)
        require_same_encoder(images, texts, support.views.shape[2], text)
        progress.advance(1)
        VectorIndex.build(support.keys.numpy(), config.index).save(held.path / IMAGE_INDEX)
        # One key a class: always exact, whatever the image side needs.
        VectorIndex.build(text.weights.numpy(), FLAT).save(held.path / TEXT_INDEX)
        write_values(held.path / VALUES, support.sample_ids, support.labels.numpy(), text.names, identity.fingerprint)
        progress.advance(1)
        return held.commit(_summary(support, text, drawn, config, seed))


def _summary(support: Support, text: Text, drawn: Drawn, config: CacheConfig, seed: int | None) -> dict[str, Json]:
    counts = support.segments.counts.int().tolist()
    return {
        "shots": config.shots,
        "seed": None if drawn.fixed else seed,
        "split": drawn.split,
        "fixed": drawn.fixed,
        "entries": len(support),
        "views": support.views.shape[1],
        "classes": list(text.names),
        "short_classes": {text.names[label]: count for label, count in enumerate(counts) if count < config.shots},
        "index": config.index,
        "logit_scale": text.logit_scale,
        "remarks": list(drawn.remarks),
    }
