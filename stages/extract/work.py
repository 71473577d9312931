"""The work of `extract`: images encoded that the store lacks, samples written that refer to their rows; prompts encoded."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import closing
from functools import partial

import numpy as np

from xmap.stages.datasets.classes.shared_names import sharing, sharing_said
from xmap.stages.datasets.dataset import TRAIN, Dataset, known_contents
from xmap.stages.datasets.places.columns import Array
from xmap.stages.encoder.identity import EncoderIdentity
from xmap.stages.encoder.model import Encoder
from xmap.stages.extract.extraction import NAMED, Extraction, kinds_of, say_bad, why
from xmap.stages.extract.identity import TABLES_OF, TEXT_BATCH, ExtractSpec
from xmap.stages.extract.prompt_encoder import EncodedPrompts, PromptBatch, PromptEncoder
from xmap.stages.extract.wanted import Library
from xmap.stages.machine.kind import this_machine
from xmap.stages.names import IMAGES
from xmap.stages.workplace.place import Workplace
from xmap.store.artifacts.artifact import Artifact, Draft, Store
from xmap.store.artifacts.fingerprint import Json
from xmap.store.errors import InputError
from xmap.store.formats.features import ErrorRow, TextFeatures, read_texts, write_errors, write_texts
from xmap.store.formats.samples import BAD_TABLE, Samples, write_samples
from xmap.store.formats.unprojected import UNPROJECTED, Unprojected, write_unprojected
from xmap.store.memory.hashes import hexes

TEXTS = "texts.parquet"
# Samples in one table.
TABLE = 16_384

Summary = dict[str, Json]


def encode_images(workplace: Workplace, draft: Draft, spec: ExtractSpec) -> tuple[Summary, str]:
    """Fill `draft` with a table of samples a split and errors.parquet, and have the store's packs hold every row they refer to.

    Returns the artifact's summary and the device that was used.
    """
    work = Extraction(workplace, spec)
    for _ in work.run():
        pass
    lost, library = work.lost(), work.library
    rows = list(lost.values())
    _require_classes(rows, spec.dataset, np.asarray(list(lost), np.int64))
    say_bad(rows, spec.dataset, workplace.progress)
    if rows:
        more = f"{len(rows) - NAMED:,} more are" if len(rows) > NAMED else "they are"
        workplace.progress.say(f"{more} in `xmap sql 'from errors'`")
    write_errors(draft.path / BAD_TABLE, rows, draft.identity.fingerprint)
    counts = write_splits(draft, spec, library, lost)
    scale = work.logit_scale or _told_scale(workplace.store, spec.encoder)
    if scale is None and spec.encoder.has_texts:
        scale = workplace.engine.call(_logit_scale, spec.encoder, work.machine.device)
    return {
        **_about(spec, scale),
        "counts": counts,
        "bad": len(rows),
        "bad_kinds": kinds_of(rows),
        "views": spec.config.views,
        "features": [library.plain.name, library.augmented.name],
        "remarks": list(spec.dataset.remarks),
    }, work.machine.device


def encode_texts(workplace: Workplace, draft: Draft, spec: ExtractSpec) -> tuple[Summary, str]:
    """Fill `draft` with texts.parquet, in batches of one size; returns the artifact's summary and the device that was used."""
    dataset, progress = spec.dataset, workplace.progress
    labels, templates, prompts = zip(*dataset.prompts(), strict=True)
    encoded, device = _encoded(workplace, spec.encoder, prompts)
    cut = [prompt for answer in encoded for prompt in answer.cut]
    if cut:
        progress.say(f"{len(cut)} prompts are longer than the encoder reads and were cut, such as {cut[0]!r}")
    features = np.concatenate([answer.features for answer in encoded])
    ids = np.asarray(labels, dtype=np.int32)
    # By the first prompt of each: positions in a batch may differ in the last bits, and zero has two signs.
    firsts = np.searchsorted(ids, np.arange(len(dataset.classes)))
    for line in sharing_said(sharing(dataset.classes, features[firsts].round(4) + 0.0)):
        progress.say(line)
    names = tuple(dataset.classes[label] for label in labels)
    write_texts(draft.path / TEXTS, TextFeatures(ids, names, templates, features), draft.identity.fingerprint)
    summary: Summary = {**_about(spec, encoded[0].logit_scale), "templates": list(dataset.templates), "cut_prompts": len(cut)}
    described = {"sentences": len(prompts) - len(dataset.classes) * len(dataset.templates)} if dataset.sentences else {}
    return {**summary, **described}, device


def encode_unprojected(workplace: Workplace, draft: Draft, texts: Artifact, encoder: EncoderIdentity) -> tuple[Summary, str]:
    """Fill `draft` with what the tower of `encoder` gives before its projection for the prompts of `texts`; the summary and the device."""
    rows = read_texts(texts.file(TEXTS))
    encoded, device = _encoded(workplace, encoder, rows.prompts, projected=False)
    projection = workplace.engine.call(_projection, encoder, device)
    features = np.concatenate([answer.features for answer in encoded])
    write_unprojected(draft.path / UNPROJECTED, Unprojected(rows.class_ids, features, projection))
    return {name: texts.summary[name] for name in ("dataset", "model", "classes") if name in texts.summary}, device


def _encoded(
    workplace: Workplace, encoder: EncoderIdentity, prompts: Sequence[str], projected: bool = True
) -> tuple[list[EncodedPrompts], str]:
    """Prompts in batches of one size, in order, with or without the projection of the tower; and the device that was used."""
    machine = workplace.engine.call(this_machine, workplace.device)
    items = [PromptBatch(start, tuple(prompts[start : start + TEXT_BATCH])) for start in range(0, len(prompts), TEXT_BATCH)]
    make = partial(PromptEncoder, encoder, machine, TEXT_BATCH, projected)
    with closing(workplace.engine.spread(make, items, workplace.progress.advance)) as answers:
        workplace.progress.start("encode prompts", len(prompts))
        return sorted(answers, key=lambda answer: answer.start), machine.device


def write_splits(draft: Draft, spec: ExtractSpec, library: Library, lost: Collection[int]) -> dict[str, Json]:
    """Write the table of each split's samples but those in `lost` rows; how many each has.

    The tables hold so many samples each that reading one with its features takes little memory.
    """
    counts: dict[str, Json] = {}
    for path in draft.path.glob("*-*.parquet"):
        path.unlink()
    for name, split in TABLES_OF.items():
        rows = spec.dataset.samples.split(split)
        good = np.setdiff1d(rows, np.asarray(list(lost), np.int64))
        if not len(rows):
            continue
        counts[name] = len(good)
        views = 1 + (spec.config.views if split == TRAIN else 0)
        for number, start in enumerate(range(0, max(1, len(good)), TABLE)):
            part = good[start : start + TABLE]
            every = spec.dataset.samples.take(part.repeat(views))
            numbers = np.tile(np.arange(views, dtype=np.int16), len(part))
            contents = list(hexes(known_contents(every)))
            table = Samples(every.ids.tolist(), every.labels, numbers, contents, every.groups.tolist(), every.sources())
            path = draft.path / f"{name}-{number:05d}.parquet"
            write_samples(path, table, name, draft.identity.fingerprint, (library.plain.name, library.augmented.name))
    return counts


def _logit_scale(encoder: EncoderIdentity, device: str) -> float | None:
    return Encoder.load(encoder, device).logit_scale


def _projection(encoder: EncoderIdentity, device: str) -> Array:
    return Encoder.load(encoder, device).text_projection()


def _told_scale(store: Store, encoder: EncoderIdentity) -> float | None:
    """The encoder's own logit scale as features of this store have it: reading it from the model takes seconds."""
    told = (found.summary.get("logit_scale") for found in store.artifacts(IMAGES) if found.fields.get("encoder") == encoder.fields)
    return next((float(scale) for scale in told if scale is not None), None)


def _about(spec: ExtractSpec, logit_scale: float | None) -> Summary:
    return {
        "dataset": spec.dataset.name,
        "model": spec.encoder.name,
        **({"classes": list(spec.dataset.classes)} if spec.dataset.classes else {}),
        "width": spec.encoder.width,
        **({} if logit_scale is None else {"logit_scale": logit_scale}),
    }


def _require_classes(rows: Sequence[ErrorRow], dataset: Dataset, places: Array) -> None:
    """Raise `InputError` where all images of a class are among the bad ones, at `places`."""
    labels = dataset.samples.labels
    missing = np.setdiff1d(labels[places], np.delete(labels, places)).tolist() if dataset.classes else ()
    for label in missing:
        lost = np.flatnonzero(labels[places] == label)
        raise InputError(
            f"none of the {len(lost)} images of class {dataset.classes[label]!r} can be used: {why(rows[lost[0]])}; put sound ones there, "
            "or remove the class."
        )
