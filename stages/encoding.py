"""The work of `extract`: shards kept, copied or encoded; prompts encoded.

The plan is fixed before work starts and each shard is written whole under a footer that says what it is, so an interrupted
extraction goes on where it was and ends with the bytes it would have had.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stages.config import ExtractConfig
from stages.datasets.dataset import SPLITS, Dataset, Sample
from stages.decode import BadImage, decode_image
from stages.device import resolve_device
from stages.encoder import Encoder, plain_transform
from stages.loading import Changed, Loaded, Request, load_views, read_planned, worker_failures
from stages.progress import Progress
from stages.resolve import EncoderIdentity
from stages.shards import VERSION, Hashes, Shard, find_rows, missing, plan_shards, shards_elsewhere
from stages.views import ViewMaker
from store.artifact import Draft, Store
from store.errors import InputError
from store.features import ErrorRow, ImageFeatures, TextFeatures, write_errors, write_images, write_texts
from store.files import write_bytes
from store.fingerprint import Fields, Json
from store.manifest import versions
from store.tables import Array

ERRORS = "errors.parquet"
TEXTS = "texts.parquet"

Summary = dict[str, Json]


def encode_images(
    store: Store,
    draft: Draft,
    dataset: Dataset,
    hashes: Hashes,
    encoder: EncoderIdentity,
    extract: ExtractConfig,
    device: str,
    workers: int,
    progress: Progress,
) -> tuple[Summary, str]:
    """Fill `draft` with shards and errors.parquet; returns the artifact's summary and the device that was used."""
    place = resolve_device(device)
    shards = plan_shards(dataset, hashes, extract, _shard_fields(encoder, extract, place))
    work = _Extraction(store, draft, shards, Encoder.load(encoder, place), extract, progress)
    with worker_failures():
        work.run(workers)
    rows = work.errors()
    _report(rows, len(dataset.samples), draft.path / ERRORS, progress)
    write_errors(draft.path / ERRORS, rows, draft.identity.fingerprint)
    work.clear()
    lost = Counter(row.split for row in rows)
    return {
        **_about(dataset, work.model),
        "counts": {split: len(dataset.split(split)) - lost[split] for split in SPLITS if dataset.split(split)},
        "bad": len(rows),
        "bad_kinds": _kinds(rows),
        "views": extract.views,
        "remarks": list(dataset.remarks),
    }, place


def encode_texts(
    draft: Draft, dataset: Dataset, encoder: EncoderIdentity, device: str, batch: int, progress: Progress
) -> tuple[Summary, str]:
    """Fill `draft` with texts.parquet, in batches of one size; returns the artifact's summary and the device that was used."""
    place = resolve_device(device)
    model = Encoder.load(encoder, place)
    pairs = [(label, template) for label in range(len(dataset.classes)) for template in dataset.templates]
    prompts = [template.replace("{}", dataset.classes[label]) for label, template in pairs]
    cut = model.too_long(prompts)
    if cut:
        progress.say(f"{len(cut)} prompts are longer than the encoder reads and were cut, such as {cut[0]!r}")
    progress.start("encode prompts", len(prompts))
    encoded = []
    for start in range(0, len(prompts), batch):
        part = prompts[start : start + batch]
        encoded.append(model.encode_texts([*part, *[""] * (batch - len(part))])[: len(part)])
        progress.advance(len(part))
    features = np.concatenate(encoded)
    _require_finite(features, encoder)
    ids = np.asarray([label for label, _ in pairs], dtype=np.int32)
    names, templates = tuple(dataset.classes[label] for label, _ in pairs), tuple(template for _, template in pairs)
    write_texts(draft.path / TEXTS, TextFeatures(ids, names, templates, features), draft.identity.fingerprint)
    return {**_about(dataset, model), "templates": list(dataset.templates), "cut_prompts": len(cut)}, place


@dataclass
class _Extraction:
    """One extraction at work: its shards, and the bad images of those that are done, by shard name."""

    store: Store
    draft: Draft
    shards: Sequence[Shard]
    model: Encoder
    extract: ExtractConfig
    progress: Progress
    bad: dict[str, list[ErrorRow]] = field(default_factory=dict)

    def run(self, workers: int) -> None:
        """Keep or copy the shards that exist, encode the others, in order."""
        pending = self._copy([shard for shard in self.shards if not self._adopt(shard, self.draft.path / shard.name)])
        total = sum(len(shard.samples) for shard in self.shards)
        self.progress.start("encode images", total, total - sum(len(shard.samples) for shard in pending))
        with closing(self._answers(pending, workers)) as answers:
            for shard in pending:
                self._encode(shard, answers)

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
        elsewhere = shards_elsewhere(self.store, self.draft.path) if shards else {}
        remaining = []
        for shard in shards:
            path = elsewhere.get(shard.fingerprint)
            if path is not None and self._adopt(shard, path):
                write_bytes(self.draft.path / shard.name, path.read_bytes())
            else:
                remaining.append(shard)
        copied = len(shards) - len(remaining)
        if copied:
            self.progress.say(f"{copied} of {len(self.shards)} shards are taken over from other extractions in this store")
        return remaining

    def _adopt(self, shard: Shard, path: Path) -> bool:
        """Whether the file at `path` is this shard. Its bad images are looked at again, for they left no trace in it."""
        rows = find_rows(path, shard)
        if rows is None:
            return False
        bad = []
        for sample, content in missing(shard, rows):
            data = read_planned(Request(sample, content, shard.views))
            image = decode_image(data) if isinstance(data, bytes) else data
            if not isinstance(image, BadImage):
                return False
            bad.append(_error(sample, image))
        self.bad[shard.name] = bad
        return True

    def _answers(self, shards: Sequence[Shard], workers: int) -> Generator[Loaded]:
        requests = [
            Request(sample, content, shard.views) for shard in shards for sample, content in zip(shard.samples, shard.contents, strict=True)
        ]
        preprocess = self.model.identity.preprocess
        maker = ViewMaker(plain_transform(preprocess), preprocess, self.extract.view_seed)
        return load_views(requests, maker, workers, self.extract.batch_size)

    def _encode(self, shard: Shard, answers: Iterator[Loaded]) -> None:
        """Encode one shard, whose answers come next, and write it."""
        self.bad[shard.name] = []
        size, views = self.model.identity.preprocess["size"], 1 + shard.views
        batches = _batches(self._images(shard, answers), views, size, self.extract.batch_size)
        features = np.concatenate([self.model.encode_images(batch) for batch in batches])
        lost = {row.sample_id for row in self.bad[shard.name]}
        good = np.repeat([sample.sample_id not in lost for sample in shard.samples], views)
        kept = features[: len(good)][good]
        _require_finite(kept, self.model.identity)
        samples = [sample for sample in shard.samples if sample.sample_id not in lost]
        rows = ImageFeatures(
            tuple(sample.sample_id for sample in samples for _ in range(views)),
            np.repeat(np.asarray([sample.label for sample in samples], dtype=np.int32), views),
            np.tile(np.arange(views, dtype=np.int16), len(samples)),
            kept,
        )
        write_images(self.draft.path / shard.name, rows, shard.split, shard.fingerprint)

    def _images(self, shard: Shard, answers: Iterator[Loaded]) -> Iterator[Tensor | None]:
        """The views of each sample of `shard`, None for a bad image, which is noted. Raises `InputError` for a changed file."""
        for sample in shard.samples:
            answer = next(answers)
            if isinstance(answer, Changed):
                raise InputError(f"{sample.place} {answer.why}; run the same command again.")
            self.progress.advance(1)
            if isinstance(answer, BadImage):
                self.bad[shard.name].append(_error(sample, answer))
                yield None
            else:
                yield answer


def _batches(images: Iterable[Tensor | None], views: int, size: Sequence[int], batch_size: int) -> Iterator[Tensor]:
    """All batches (batch_size, 3, H, W), each of full size: matrix products at other sizes differ in the last bits.

    The `views` places of a bad image, and those after the last image, are zero.
    """
    batch, filled = torch.zeros(batch_size, 3, *size), 0
    for image in images:
        done = 0
        while done < views:
            count = min(views - done, batch_size - filled)
            if image is not None:
                batch[filled : filled + count] = image[done : done + count]
            done, filled = done + count, filled + count
            if filled == batch_size:
                yield batch
                batch, filled = torch.zeros(batch_size, 3, *size), 0
    if filled:
        yield batch


def _shard_fields(encoder: EncoderIdentity, extract: ExtractConfig, device: str) -> Fields:
    """What determines a shard's bytes beside its samples and views.

    With the libraries and the kind of device: an extraction is not finished with another machine's arithmetic, its shards are
    made anew.
    """
    names = ("platform", "torch", "open_clip_torch", "pillow", "numpy")
    made_by = {name: found for name, found in versions().items() if name in names}
    made_by["device"] = torch.cuda.get_device_name() if device == "cuda" else device
    return {
        "version": VERSION,
        "encoder": encoder.fields,
        "view_seed": extract.view_seed,
        "batch_size": extract.batch_size,
        "made_by": made_by,
    }


def _about(dataset: Dataset, model: Encoder) -> Summary:
    return {
        "dataset": dataset.name,
        "model": model.identity.name,
        "classes": list(dataset.classes),
        "width": model.identity.width,
        "logit_scale": model.logit_scale,
    }


def _report(rows: Sequence[ErrorRow], images: int, listed_in: Path, progress: Progress) -> None:
    """Say how many images were bad. Raises `InputError` where all were."""
    if len(rows) == images:
        first = rows[0]
        raise InputError(f"none of the {images} images can be used: {first.path!r} is {first.kind} ({first.message}); check --data.")
    if rows:
        listed = ", ".join(f"{count} {kind}" for kind, count in _kinds(rows).items())
        progress.say(f"{len(rows)} of {images} images could not be used: {listed}; they are listed in {listed_in}")


def _kinds(rows: Sequence[ErrorRow]) -> dict[str, int]:
    return dict(sorted(Counter(row.kind for row in rows).items()))


def _error(sample: Sample, bad: BadImage) -> ErrorRow:
    # The id's last parts as they are on disk: the id is normalised, and a normalised name may not open the file.
    written = "/".join(str(sample.place).split("/")[-len(sample.sample_id.split("/")) :])
    return ErrorRow(sample.sample_id, sample.split, written, bad.kind, bad.message)


def _require_finite(features: Array, encoder: EncoderIdentity) -> None:
    if not np.isfinite(features).all():
        raise InputError(f"encoder {encoder.name!r} gives features that are not finite at --precision {encoder.precision}; use fp32.")
