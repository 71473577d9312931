"""The stage `build-cache`: the few-shot support, its keys and values, and an index over the keys of each cache.

Row j of `image.faiss` is row j of `values.parquet`: sorted by (label, content), so that the keys of a class are contiguous.
The image keys are Tip-Adapter's: the unit mean of a sample's raw views, the plain one included. `text.faiss` holds one unit
key a class: every image key of a class shares it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import torch

from xmap.stages.build_cache.identity import AUTO
from xmap.stages.build_cache.index_choice import choose_index
from xmap.stages.build_cache.recall import NEAREST, QUERIES, raise_effort
from xmap.stages.config import CacheConfig, read_as
from xmap.stages.datasets.dataset import VAL
from xmap.stages.fewshot.cache import IMAGE_INDEX, TEXT_INDEX
from xmap.stages.fewshot.cached import VALUES, more_texts_file
from xmap.stages.fewshot.class_texts import read_class_texts
from xmap.stages.fewshot.draw import Drawn, draw_support, even_rows, index_split, splits_of, take_parts, take_samples
from xmap.stages.fewshot.load import labelled, load_text, require_same_encoder, support_of
from xmap.stages.fewshot.task import Support, Text
from xmap.stages.workplace.place import Workplace
from xmap.stages.workplace.progress import Progress
from xmap.store.artifacts.artifact import Artifact, Draft
from xmap.store.artifacts.fingerprint import Json
from xmap.store.artifacts.identity import Identity
from xmap.store.disk.files import scratch_file
from xmap.store.errors import InputError
from xmap.store.formats.features import TextFeatures, write_texts
from xmap.store.formats.index import FLAT, VectorIndex
from xmap.store.formats.log import write_values
from xmap.store.formats.sentences import SENTENCES_TABLE, write_sentences
from xmap.store.formats.tables import Array

# Samples whose views are in memory at once; one chunk holds the largest few-shot support in use, 16 of 1,000 classes.
CHUNK = 16_384


def build_cache(
    workplace: Workplace,
    identity: Identity,
    images: Artifact,
    texts: Artifact,
    config: CacheConfig,
    seed: int | None,
    more_texts: Sequence[Artifact | None] = (),
) -> Artifact:
    """Draw the support and store its caches.

    `seed` draws the support; it is None where the features fix it (`stages.fewshot.draw.fixed_shots`). Of joined features `texts` are
    those of the first encoder, `more_texts` those of the others, which the cache keeps: None of one without a text tower. Raises
    `InputError` for a support that cannot be had, for image and text features of two encoders, and for an index faiss refuses.
    """
    progress = workplace.progress
    with workplace.build(identity) as held:
        if isinstance(held, Artifact):
            return held
        progress.start("build-cache", 2)
        text = load_text(texts)
        drawn = draw_support(images, config, text.names, seed)
        for remark in drawn.remarks:
            progress.say(remark)
        with scratch_file(held.path) as scratch:
            keys = _Keys(images, drawn, config.shots, text.classes, scratch)
            require_same_encoder(images, texts, keys.width, text)
            progress.advance(1)
            labels = torch.from_numpy(keys.labels.astype(np.int64))
            chunks = (torch.from_numpy(chunk.copy()) for chunk in keys.chunks())
            text = text.guided(chunks, labels, torch.bincount(labels, minlength=text.classes))
            facts = _index_keys(keys, config, progress, held.path / IMAGE_INDEX, lambda: _queries(images))
        _write_sentences(held, text, texts)
        # One key a class: always exact, whatever the image side needs.
        VectorIndex.build(text.weights.numpy(), FLAT).save(held.path / TEXT_INDEX)
        write_values(held.path / VALUES, keys.sample_ids, keys.labels, text.names, identity.fingerprint)
        more = _keep_texts(held, images, text, more_texts)
        progress.advance(1)
        return held.commit({**_summary(keys, text, drawn, config, seed), **facts, **more, **read_as(images.fields)})


def _keep_texts(draft: Draft, images: Artifact, text: Text, more_texts: Sequence[Artifact | None]) -> dict[str, Json]:
    """Write the class texts of further encoders; what the summary says of these, nothing where there are none."""
    if not more_texts:
        return {}
    others = [None if found is None else load_text(found) for found in more_texts]
    for number, (other, width) in enumerate(zip(others, images.summary["widths"][1:], strict=True), 2):
        if other is not None:
            if other.names != text.names or other.weights.shape[1] != width:
                raise InputError(f"the class texts of encoder {number} are of other classes or another width; extract its features again.")
            rows = TextFeatures(np.arange(other.classes, dtype=np.int32), other.names, ("mean",) * other.classes, other.weights.numpy())
            write_texts(draft.path / more_texts_file(number), rows, draft.identity.fingerprint)
    about = {name: images.summary[name] for name in ("widths", "encoders", "seen")}
    return {**about, "more_scales": [None if other is None else other.logit_scale for other in others]}


class _Keys:
    """The support's keys, sorted by (label, content), a chunk at a time.

    A support of more than a chunk goes to the `scratch` file first, so that each feature file is read once, whatever order its
    samples are in and however often the keys are gone over.
    """

    def __init__(self, images: Artifact, drawn: Drawn, shots: int, classes: int, scratch: IO[bytes]) -> None:
        labels, ids, units = drawn.index.labels.tolist(), drawn.index.sample_ids, drawn.index.units
        rows = sorted(range(len(ids)), key=lambda row: (labels[row], units[row], ids[row]))
        self.sample_ids, self.labels = tuple(ids[row] for row in rows), drawn.index.labels[rows]
        self._scratch, self._whole = scratch, np.empty((0, 0), np.float32)
        if len(self) <= CHUNK:
            support = support_of(take_samples(images, drawn.split, set(ids)), shots, classes)
            self.views, self.width = support.views.shape[1:]
            self._whole = support.keys.numpy()
        else:
            parts = take_parts(images, drawn.split, set(ids))
            self.views, self.width = self._spool(support_of(part, shots, classes) for part in parts if len(part))

    def __len__(self) -> int:
        return len(self.sample_ids)

    def chunks(self) -> Iterator[Array]:
        """The unit keys (m, C), in row order."""
        if len(self) <= CHUNK:
            yield self._whole
            return
        for start in range(0, len(self), CHUNK):
            self._scratch.seek(start * self.width * 4)
            yield np.frombuffer(self._scratch.read(CHUNK * self.width * 4), np.float32).reshape(-1, self.width)

    def _spool(self, parts: Iterator[Support]) -> tuple[int, int]:
        """Write the keys of all parts to their rows of the scratch file: their views and width. Raises `InputError` for mixed views."""
        places, views, width = {sample: row for row, sample in enumerate(self.sample_ids)}, 0, 0
        for part in parts:
            if views and part.views.shape[1] != views:
                raise InputError(f"the support's samples have {views} or {part.views.shape[1]} views; extract them with one --views.")
            views, width = part.views.shape[1:]
            keys, rows = part.keys.numpy(), np.asarray([places[sample] for sample in part.sample_ids])
            # A part is sorted as the rows are; neighbours go in one piece.
            for run in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(rows) != 1) + 1):
                self._scratch.seek(int(rows[run[0]]) * width * 4)
                self._scratch.write(keys[run[0] : run[-1] + 1].tobytes())
        return views, width


def _index_keys(keys: _Keys, config: CacheConfig, progress: Progress, path: Path, queries: Callable[[], Array | None]) -> dict[str, Json]:
    """Build and save the image index, and say what it finds for `queries` of what Flat would; facts for the summary."""
    factory = config.index
    if factory == AUTO:
        choice = choose_index(len(keys), keys.width, config.index_memory, config.recall)
        factory = choice.factory
        progress.say(choice.why)
    index = VectorIndex.build_in_chunks(keys.chunks, len(keys), keys.width, factory)
    facts: dict[str, Json] = {"index": factory}
    if factory != FLAT:
        found = raise_effort(index, keys.chunks, config.recall, queries())
        facts |= {"recall": round(found, 4), "effort": index.effort}
        progress.say(_told(factory, index, found, config.recall))
    index.save(path)
    return facts


def _queries(images: Artifact) -> Array | None:
    """A few validation features at even steps, to measure recall with; None where there are none."""
    if VAL not in splits_of(images):
        return None
    ids = index_split(images, VAL).sample_ids
    chosen = {ids[row] for row in even_rows(len(ids), QUERIES).tolist()}
    return labelled(take_samples(images, VAL, chosen, plain=True).by_content()).features.numpy()


def _told(factory: str, index: VectorIndex, found: float, wanted: float) -> str:
    effort = "" if index.effort is None else f", searching {index.effort} of {index.most_effort}"
    short = "" if found >= wanted else f"; {wanted:g} was wanted: choose an index with finer codes, or Flat"
    return f"index {factory}: recall {found:.3f} of the {NEAREST} nearest keys{effort}{short}."


def _write_sentences(draft: Draft, text: Text, texts: Artifact) -> None:
    """Write how much each sentence counts, where classes are described."""
    if text.sentence_classes is not None and text.sentence_weights is not None:
        prompts = read_class_texts(texts).prompts
        classes, weights = text.sentence_classes.numpy(), text.sentence_weights.numpy()
        write_sentences(draft.path / SENTENCES_TABLE, classes, prompts, weights, draft.identity.fingerprint)


def _summary(keys: _Keys, text: Text, drawn: Drawn, config: CacheConfig, seed: int | None) -> dict[str, Json]:
    counts = np.bincount(keys.labels, minlength=text.classes).tolist()
    return {
        "shots": config.shots,
        "seed": None if drawn.fixed else seed,
        "split": drawn.split,
        "fixed": drawn.fixed,
        "entries": len(keys),
        "views": keys.views,
        "classes": list(text.names),
        "short_classes": {text.names[label]: count for label, count in enumerate(counts) if count < config.shots},
        "logit_scale": text.logit_scale,
        "remarks": list(drawn.remarks),
    }
