"""The work of `extract`: shards kept, copied or encoded; prompts encoded.

The plan is fixed before work starts and each shard is written whole under a footer that says what it is, so an interrupted
extraction goes on where it was and ends with the bytes it would have had, whatever engine encodes and in whatever order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from xmap.stages.config import read_as
from xmap.stages.datasets.classes.shared_names import sharing, sharing_said
from xmap.stages.datasets.dataset import SPLITS, Dataset
from xmap.stages.encoder.identity import EncoderIdentity
from xmap.stages.encoder.model import Encoder
from xmap.stages.extract.identity import TEXT_BATCH, ExtractSpec
from xmap.stages.extract.prompt_encoder import PromptBatch, PromptEncoder
from xmap.stages.extract.shard_encoder import ShardEncoder, error_row
from xmap.stages.extract.shards import VERSION, Shard, find_rows, missing, plan_shards, shards_elsewhere
from xmap.stages.images.decode import Rules, rules_of
from xmap.stages.images.depths import assumed
from xmap.stages.images.load import OUTSIDE, Planned, load
from xmap.stages.machine.kind import Machine, this_machine
from xmap.stages.workplace.place import Workplace
from xmap.stages.workplace.progress import Progress
from xmap.store.artifacts.artifact import Draft
from xmap.store.artifacts.fingerprint import Fields, Json
from xmap.store.disk.files import write_bytes
from xmap.store.errors import InputError
from xmap.store.formats.features import ErrorRow, TextFeatures, write_errors, write_images, write_texts

ERRORS = "errors.parquet"
# How many bad images are named on the spot.
NAMED = 10
TEXTS = "texts.parquet"

Summary = dict[str, Json]


def encode_images(workplace: Workplace, draft: Draft, spec: ExtractSpec) -> tuple[Summary, str]:
    """Fill `draft` with shards and errors.parquet; returns the artifact's summary and the device that was used."""
    dataset, encoder, config, engine = spec.dataset, spec.encoder, spec.config, workplace.engine
    machine = engine.call(this_machine, workplace.device)
    work = _Extraction(workplace, draft, plan_shards(dataset, spec.hashes, config, _shard_fields(draft, spec, machine)), rules_of(config))
    work.run(partial(ShardEncoder, encoder, config, machine, workplace.workers))
    rows = work.errors()
    _report(rows, dataset, workplace.progress)
    if work.depths:
        workplace.progress.say(assumed(work.depths))
    write_errors(draft.path / ERRORS, rows, draft.identity.fingerprint)
    work.clear()
    lost = Counter(row.split for row in rows)
    scale = engine.call(_logit_scale, encoder, machine.device) if work.logit_scale is None else work.logit_scale
    return {
        **_about(spec, scale),
        "counts": {split: len(dataset.split(split)) - lost[split] for split in SPLITS if dataset.split(split)},
        "bad": len(rows),
        "bad_kinds": _kinds(rows),
        "views": config.views,
        "remarks": list(dataset.remarks),
    }, machine.device


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
    """One extraction at work: its shards, and the bad images of those that are done, by shard name."""

    workplace: Workplace
    draft: Draft
    shards: Sequence[Shard]
    rules: Rules
    depths: Counter[int] = field(default_factory=Counter)
    bad: dict[str, Sequence[ErrorRow]] = field(default_factory=dict)
    logit_scale: float | None = None

    def run(self, make: Callable[[], ShardEncoder]) -> None:
        """Keep or copy the shards that exist, have the others encoded."""
        progress = self.workplace.progress
        pending = self._copy([shard for shard in self.shards if not self._adopt(shard, self.draft.path / shard.name)])
        total = sum(len(shard.samples) for shard in self.shards)
        done = total - sum(len(shard.samples) for shard in pending)
        if not pending:
            progress.start("encode images", total, done)
            return
        with closing(self.workplace.engine.spread(make, pending, progress.advance)) as answers:
            progress.start("encode images", total, done)
            for encoded in answers:
                shard = encoded.shard
                write_images(self.draft.path / shard.name, encoded.rows, shard.split, shard.fingerprint)
                self.bad[shard.name], self.logit_scale = encoded.bad, encoded.logit_scale
                self.depths.update(encoded.depths)

    def errors(self) -> list[ErrorRow]:
        """All bad images, in the order of the plan."""
        return [row for shard in self.shards for row in self.bad[shard.name]]

    def clear(self) -> None:
        """Remove files that are no part of the artifact; an interrupted run may have left some of another plan."""
        planned = {shard.name for shard in self.shards} | {ERRORS}
        for path in self.draft.path.iterdir():
            if path.is_file() and path.name not in planned:
                path.unlink()

    def _copy(self, shards: Sequence[Shard]) -> list[Shard]:
        """Copy what other extractions of the store have; the shards that remain to be encoded."""
        elsewhere = shards_elsewhere(self.workplace.store, self.draft.path) if shards else {}
        remaining = []
        for shard in shards:
            path = elsewhere.get(shard.fingerprint)
            if path is not None and self._adopt(shard, path):
                write_bytes(self.draft.path / shard.name, path.read_bytes())
            else:
                remaining.append(shard)
        copied = len(shards) - len(remaining)
        if copied:
            self.workplace.progress.say(f"{copied} of {len(self.shards)} shards are taken over from other extractions in this store")
        return remaining

    def _adopt(self, shard: Shard, path: Path) -> bool:
        """Whether the file at `path` is this shard. Its bad images are looked at again, for they left no trace in it."""
        rows = find_rows(path, shard)
        if rows is None:
            return False
        bad = []
        for sample, content in missing(shard, rows):
            found = load(sample.place, lambda image: None, self.rules, Planned(content))
            if found is None or found.kind in OUTSIDE:
                return False
            bad.append(error_row(sample, found))
        self.bad[shard.name] = bad
        return True


def _shard_fields(draft: Draft, spec: ExtractSpec, machine: Machine) -> Fields:
    """What determines a shard's bytes beside its samples and views.

    With the libraries and the kind of device: an extraction is not finished with another machine's arithmetic, its shards are
    made anew.
    """
    return {
        "version": VERSION,
        "encoder": spec.encoder.fields,
        "view_seed": spec.config.view_seed,
        "batch_size": spec.config.batch_size,
        "made_by": machine.made_by,
        **read_as(draft.identity.fields),
    }


def _logit_scale(encoder: EncoderIdentity, device: str) -> float:
    return Encoder.load(encoder, device).logit_scale


def _about(spec: ExtractSpec, logit_scale: float) -> Summary:
    return {
        "dataset": spec.dataset.name,
        "model": spec.encoder.name,
        "classes": list(spec.dataset.classes),
        "width": spec.encoder.width,
        "logit_scale": logit_scale,
    }


def _report(rows: Sequence[ErrorRow], dataset: Dataset, progress: Progress) -> None:
    """Say how many images were bad, and name the first. Raises `InputError` where all were, or all of a class."""
    images = len(dataset.samples)
    if len(rows) == images:
        raise InputError(f"none of the {images} images can be used: {_why(rows[0])}; check --data.")
    bad = {row.sample_id: row for row in rows}
    for label, name in _without_images(dataset, bad):
        lost = [bad[sample.sample_id] for sample in dataset.samples if sample.label == label]
        raise InputError(
            f"none of the {len(lost)} images of class {name!r} can be used: {_why(lost[0])}; put sound ones there, or remove the class."
        )
    if rows:
        listed = ", ".join(f"{count} {kind}" for kind, count in _kinds(rows).items())
        progress.say(f"{len(rows)} of {images} images could not be used: {listed}")
        for row in rows[:NAMED]:
            progress.say(f"  {row.path}: {row.kind}, {row.message}")
        more = f"{len(rows) - NAMED:,} more are" if len(rows) > NAMED else "they are"
        progress.say(f"{more} in `xmap sql 'from errors'`")


def _without_images(dataset: Dataset, bad: Mapping[str, ErrorRow]) -> list[tuple[int, str]]:
    """The classes that have samples, all of them bad."""
    labels = {sample.label for sample in dataset.samples}
    labels -= {sample.label for sample in dataset.samples if sample.sample_id not in bad}
    return [(label, dataset.classes[label]) for label in sorted(labels)]


def _why(row: ErrorRow) -> str:
    return f"{row.path!r} is {row.kind} ({row.message})"


def _kinds(rows: Sequence[ErrorRow]) -> dict[str, int]:
    return dict(sorted(Counter(row.kind for row in rows).items()))
