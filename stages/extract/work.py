"""The work of `extract`: images encoded that the store lacks, samples written that refer to their rows; prompts encoded.

What is to be encoded is fixed before work starts and each shard's rows are kept at once, so an interrupted extraction goes on where it was,
and ends with the rows it would have had, whatever engine encodes and in whatever order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from xmap.stages.datasets.classes.shared_names import sharing, sharing_said
from xmap.stages.datasets.dataset import SPLITS, TRAIN, Dataset, known_contents
from xmap.stages.datasets.places.columns import Array
from xmap.stages.encoder.identity import EncoderIdentity
from xmap.stages.encoder.model import Encoder
from xmap.stages.extract.identity import TEXT_BATCH, ExtractSpec
from xmap.stages.extract.prompt_encoder import PromptBatch, PromptEncoder
from xmap.stages.extract.reuse import library_of, remember_made, take_over
from xmap.stages.extract.shard_encoder import Encoded, ShardEncoder, error_row
from xmap.stages.extract.wanted import Library, Shard, bad_of, key_of, lacking, readable, shards_of, wanted, whole_shards
from xmap.stages.images.depths import assumed
from xmap.stages.machine.kind import Machine, this_machine
from xmap.stages.names import IMAGES
from xmap.stages.workplace.place import Workplace
from xmap.stages.workplace.progress import Progress
from xmap.store.artifacts.artifact import Draft, Store
from xmap.store.artifacts.fingerprint import Json
from xmap.store.errors import InputError
from xmap.store.formats.feature_rows import Rows
from xmap.store.formats.features import ErrorRow, TextFeatures, write_errors, write_texts
from xmap.store.formats.packs import Reason
from xmap.store.formats.samples import BAD_TABLE, Samples, write_samples
from xmap.store.formats.shelf import Shelf
from xmap.store.memory.hashes import hexes

# How many bad images are named on the spot.
NAMED = 10
TEXTS = "texts.parquet"
# Why bytes give no image, whatever machine reads them and however much memory it has: not asked again.
LASTING = ("empty", "not-an-image", "truncated", "damaged")
# Samples in one table.
TABLE = 16_384

Summary = dict[str, Json]


def encode_images(workplace: Workplace, draft: Draft, spec: ExtractSpec) -> tuple[Summary, str]:
    """Fill `draft` with a table of samples a split and errors.parquet, and have the store's packs hold every row they refer to.

    Returns the artifact's summary and the device that was used.
    """
    kept = keep_rows(workplace, spec)
    rows, library = list(kept.bad.values()), kept.library
    _require_classes(rows, spec.dataset, np.asarray(list(kept.bad), np.int64))
    say_bad(rows, spec.dataset, workplace.progress)
    if rows:
        more = f"{len(rows) - NAMED:,} more are" if len(rows) > NAMED else "they are"
        workplace.progress.say(f"{more} in `xmap sql 'from errors'`")
    write_errors(draft.path / BAD_TABLE, rows, draft.identity.fingerprint)
    counts = write_splits(draft, spec, library, kept.bad)
    scale = kept.logit_scale or _told_scale(workplace.store, spec.encoder)
    if scale is None:
        scale = workplace.engine.call(_logit_scale, spec.encoder, kept.device)
    return {
        **_about(spec, scale),
        "counts": counts,
        "bad": len(rows),
        "bad_kinds": _kinds(rows),
        "views": spec.config.views,
        "features": [library.plain.name, library.augmented.name],
        "remarks": list(spec.dataset.remarks),
    }, kept.device


@dataclass(frozen=True)
class KeptRows:
    """What an extraction left in the store: where the rows lie, and which samples, by row, are bad; `logit_scale` if a model was asked."""

    library: Library
    bad: Mapping[int, ErrorRow]
    logit_scale: float | None
    device: str


def keep_rows(workplace: Workplace, spec: ExtractSpec) -> KeptRows:
    """Have the store hold the rows of all images, of which it encodes those that it lacks, and say what is bad.

    Raises `InputError` where all images are bad, and what encoding raises.
    """
    dataset = spec.dataset
    machine = workplace.engine.call(this_machine, workplace.device)
    library = library_of(workplace, spec, machine)
    work = _Extraction(workplace, spec, library)
    work.run(machine, partial(ShardEncoder, spec.encoder, spec.config, machine, workplace.workers))
    if work.whole:
        remember_made(workplace.store, spec, library, machine)
    bad = {row: error_row(dataset.samples[row], *reason) for row, reason in bad_of(readable(dataset.samples), work.bad).items()}
    if len(bad) == len(dataset.samples):
        raise InputError(f"none of the {len(bad)} images can be used: {_why(next(iter(bad.values())))}; check --data.")
    if depths := work.depths():
        workplace.progress.say(assumed(depths))
    return KeptRows(library, bad, work.logit_scale, machine.device)


def encode_texts(workplace: Workplace, draft: Draft, spec: ExtractSpec) -> tuple[Summary, str]:
    """Fill `draft` with texts.parquet, in batches of one size; returns the artifact's summary and the device that was used."""
    dataset, progress = spec.dataset, workplace.progress
    machine = workplace.engine.call(this_machine, workplace.device)
    pairs = [(label, template) for label in range(len(dataset.classes)) for template in dataset.templates]
    prompts = [template.replace("{}", dataset.classes[label]) for label, template in pairs]
    items = [PromptBatch(start, tuple(prompts[start : start + TEXT_BATCH])) for start in range(0, len(prompts), TEXT_BATCH)]
    make = partial(PromptEncoder, spec.encoder, machine, TEXT_BATCH)
    with closing(workplace.engine.spread(make, items, progress.advance)) as answers:
        progress.start("encode prompts", len(prompts))
        encoded = sorted(answers, key=lambda answer: answer.start)
    cut = [prompt for answer in encoded for prompt in answer.cut]
    if cut:
        progress.say(f"{len(cut)} prompts are longer than the encoder reads and were cut, such as {cut[0]!r}")
    features = np.concatenate([answer.features for answer in encoded])
    # By the first prompt of each: positions in a batch may differ in the last bits, and zero has two signs.
    for line in sharing_said(sharing(dataset.classes, features[:: len(dataset.templates)].round(4) + 0.0)):
        progress.say(line)
    ids = np.asarray([label for label, _ in pairs], dtype=np.int32)
    names, templates = tuple(dataset.classes[label] for label, _ in pairs), tuple(template for _, template in pairs)
    write_texts(draft.path / TEXTS, TextFeatures(ids, names, templates, features), draft.identity.fingerprint)
    about = _about(spec, encoded[0].logit_scale)
    return {**about, "templates": list(dataset.templates), "cut_prompts": len(cut)}, machine.device


@dataclass
class _Extraction:
    """One extraction at work: why contents, and samples that could not even be hashed, gave no image."""

    workplace: Workplace
    spec: ExtractSpec
    library: Library
    bad: dict[str, Reason] = field(default_factory=dict)
    logit_scale: float | None = None
    waiting: list[Rows] = field(default_factory=list)
    # Whether every row was made here: none was in the store.
    whole: bool = False

    def __post_init__(self) -> None:
        store, library = self.workplace.store, self.library
        self.plain, self.augmented = (Shelf(store, packs, library.plain.name) for packs in (library.plain, library.augmented))

    def run(self, machine: Machine, make: Callable[[], ShardEncoder]) -> None:
        """Have encoded what the store lacks; what is done stays, whatever ends the work."""
        progress = self.workplace.progress
        images, shards = wanted(self.spec), self.planned(machine)
        done = len(images) - sum(len(shard.images) for shard in shards)
        if not shards:
            progress.start("encode images", len(images), done)
            return
        with closing(self.workplace.engine.spread(make, shards, progress.advance)) as answers:
            progress.start("encode images", len(images), done)
            try:
                for encoded in answers:
                    self._keep(encoded)
            finally:
                self._write_plain()
        self.whole = sum(len(image.views) for shard in shards for image in shard.images) == int(images.views.sum())

    def planned(self, machine: Machine) -> list[Shard]:
        """What the store lacks now. Others may plan the same: what both make is kept once."""
        config, images = self.spec.config, wanted(self.spec)
        rows = config.batch_size * config.shard_batches
        with self.plain.lock(self.workplace.progress.say):
            self.plain.open()
            self.augmented.open()
            self.bad.update(self.library.plain.reasons())
            pending = lacking(images, self.library, self.bad)
            if self.library.by_batch:
                return list(whole_shards(images, pending, rows))
            if len(pending):
                take_over(self.workplace, self.spec, self.library, machine)
                pending = lacking(images, self.library, self.bad)
            return list(shards_of(pending, rows))

    def depths(self) -> Counter[int]:
        """How many images were taken to have values of so many bits, now or when their rows were made."""
        known = self.library.plain.depths()
        contents = hexes(wanted(self.spec).contents) if known else ()
        return Counter(known[content] for content in contents if content in known)

    def _keep(self, encoded: Encoded) -> None:
        plain, config = encoded.rows.views == 0, self.spec.config
        if encoded.depths:
            # Before the rows: once these are there, nobody looks at the image again.
            self.plain.add_depths(encoded.depths)
        if not plain.all():
            self.augmented.add(encoded.rows.take(np.flatnonzero(~plain)))
        # Of a shard with augmented views the plain ones are few: they wait for others, so that packs are not many and small.
        self.waiting.append(encoded.rows.take(np.flatnonzero(plain)))
        if self.library.by_batch or sum(map(len, self.waiting)) >= config.batch_size * config.shard_batches:
            self._write_plain()
        reasons = {key_of(image.sample, image.content): (bad.kind, bad.message) for image, bad in encoded.bad}
        self.bad.update(reasons)
        lasting = {image.content: reasons[image.content] for image, bad in encoded.bad if image.content and bad.kind in LASTING}
        if lasting:
            self.plain.add_reasons(lasting)
        self.logit_scale = encoded.logit_scale

    def _write_plain(self) -> None:
        waiting, self.waiting = [rows for rows in self.waiting if len(rows)], []
        if waiting:
            self.plain.add(Rows.joined(waiting))


def write_splits(draft: Draft, spec: ExtractSpec, library: Library, lost: Collection[int]) -> dict[str, Json]:
    """Write the table of each split's samples but those in `lost` rows; how many each has.

    The tables hold so many samples each that reading one with its features takes little memory.
    """
    counts: dict[str, Json] = {}
    for path in draft.path.glob("*-*.parquet"):
        path.unlink()
    for split in SPLITS:
        rows = spec.dataset.samples.split(split)
        good = np.setdiff1d(rows, np.asarray(list(lost), np.int64))
        if not len(rows):
            continue
        counts[split] = len(good)
        views = 1 + (spec.config.views if split == TRAIN else 0)
        for number, start in enumerate(range(0, max(1, len(good)), TABLE)):
            part = good[start : start + TABLE]
            every = spec.dataset.samples.take(part.repeat(views))
            numbers = np.tile(np.arange(views, dtype=np.int16), len(part))
            sources = [sample.source for sample in every]
            contents = list(hexes(known_contents(every)))
            table = Samples(every.ids.tolist(), every.labels, numbers, contents, every.groups.tolist(), sources)
            path = draft.path / f"{split}-{number:05d}.parquet"
            write_samples(path, table, split, draft.identity.fingerprint, library.plain, library.augmented)
    return counts


def _logit_scale(encoder: EncoderIdentity, device: str) -> float:
    return Encoder.load(encoder, device).logit_scale


def _told_scale(store: Store, encoder: EncoderIdentity) -> float | None:
    """The encoder's own logit scale as features of this store have it: reading it from the model takes seconds."""
    told = (found.summary.get("logit_scale") for found in store.artifacts(IMAGES) if found.fields.get("encoder") == encoder.fields)
    return next((float(scale) for scale in told if scale is not None), None)


def _about(spec: ExtractSpec, logit_scale: float) -> Summary:
    return {
        "dataset": spec.dataset.name,
        "model": spec.encoder.name,
        "classes": list(spec.dataset.classes),
        "width": spec.encoder.width,
        "logit_scale": logit_scale,
    }


def _require_classes(rows: Sequence[ErrorRow], dataset: Dataset, places: Array) -> None:
    """Raise `InputError` where all images of a class are among the bad ones, at `places`."""
    labels = dataset.samples.labels
    for label in np.setdiff1d(labels[places], np.delete(labels, places)).tolist():
        lost = np.flatnonzero(labels[places] == label)
        raise InputError(
            f"none of the {len(lost)} images of class {dataset.classes[label]!r} can be used: {_why(rows[lost[0]])}; put sound ones there, "
            "or remove the class."
        )


def say_bad(rows: Sequence[ErrorRow], dataset: Dataset, progress: Progress) -> None:
    """Say how many images are bad, and name the first."""
    if rows:
        listed = ", ".join(f"{count} {kind}" for kind, count in _kinds(rows).items())
        progress.say(f"{len(rows)} of {len(dataset.samples)} images could not be used: {listed}")
        for row in rows[:NAMED]:
            progress.say(f"  {row.path}: {row.kind}, {row.message}")


def _why(row: ErrorRow) -> str:
    return f"{row.path!r} is {row.kind} ({row.message})"


def _kinds(rows: Sequence[ErrorRow]) -> dict[str, int]:
    return dict(sorted(Counter(row.kind for row in rows).items()))
