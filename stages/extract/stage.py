"""The stage `extract`: image features in fixed shards, and text features, as two artifacts.

A third holds what the text tower gives before its projection, where a method asks for it.
They are apart so that a changed prompt never encodes an image again. Identities are plain hashing: planning a run imports no torch.
"""

from __future__ import annotations

from xmap.stages.encoder.identity import EncoderIdentity
from xmap.stages.extract.identity import ExtractSpec, parts
from xmap.stages.workplace.place import Workplace
from xmap.store.artifacts.artifact import Artifact
from xmap.store.artifacts.identity import Identity
from xmap.store.errors import InputError


def extract_images(workplace: Workplace, identity: Identity, spec: ExtractSpec) -> Artifact:
    """Encode all images of a data set, or what an earlier run left of them.

    Bad images are listed in errors.parquet. Raises `InputError` where there is no readable image, where files change during the
    work, and for what `Encoder.load` refuses.
    """
    if not len(spec.dataset.samples):
        raise InputError(f"dataset {spec.dataset.name!r} has no images; give some.")
    with workplace.build(identity) as held:
        if isinstance(held, Artifact):
            return held
        from xmap.stages.extract.work import encode_images

        summary, device = encode_images(workplace, held, spec)
        return held.commit({**summary, "parts": parts(identity)}, device)


def extract_texts(workplace: Workplace, identity: Identity, spec: ExtractSpec) -> Artifact:
    """Encode every class name in every template, class by class. Raises `InputError` for what `Encoder.load` refuses."""
    with workplace.build(identity) as held:
        if isinstance(held, Artifact):
            return held
        from xmap.stages.extract.work import encode_texts

        summary, device = encode_texts(workplace, held, spec)
        return held.commit(summary, device)


def extract_projection(workplace: Workplace, identity: Identity, texts: Artifact, encoder: EncoderIdentity) -> Artifact:
    """Encode the prompts of `texts` again, as they are before the projection of the text tower, and keep that beside them.

    Raises `InputError` for a text tower that does not end in a linear projection, and for what `Encoder.load` refuses.
    """
    with workplace.build(identity) as held:
        if isinstance(held, Artifact):
            return held
        from xmap.stages.extract.work import encode_unprojected

        summary, device = encode_unprojected(workplace, held, texts, encoder)
        return held.commit(summary, device)
