"""Encoding whole shards with one model, apart from any store: what every engine's workers do, here or on another machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from xmap.stages.config import ExtractConfig
from xmap.stages.datasets.dataset import Sample
from xmap.stages.encoder.identity import EncoderIdentity
from xmap.stages.encoder.model import Encoder, plain_crop, require_finite
from xmap.stages.extract.loading import Request, load_views
from xmap.stages.extract.shards import Shard
from xmap.stages.images.decode import BadImage, rules_of
from xmap.stages.images.load import OUTSIDE, Planned
from xmap.stages.images.views import Deep, Loaded, Pixels, ViewMaker, normalised
from xmap.stages.machine.kind import Machine, require_kind
from xmap.stages.machine.memory import kept_memory
from xmap.stages.workplace.engine import Advance
from xmap.store.errors import InputError
from xmap.store.formats.features import ErrorRow, ImageFeatures


@dataclass(frozen=True)
class Encoded:
    """A shard's rows, its bad images in the order of the plan, the model's own logit scale, and how many images were assumed to have
    values of so many bits.
    """

    shard: Shard
    rows: ImageFeatures
    bad: tuple[ErrorRow, ...]
    logit_scale: float
    depths: Mapping[int, int]

    @property
    def units(self) -> int:
        return len(self.shard.samples)


class ShardEncoder:
    """One model and its preprocessing, at work on shards: a `stages.workplace.engine.Worker`."""

    def __init__(self, encoder: EncoderIdentity, extract: ExtractConfig, machine: Machine, threads: int) -> None:
        """Raises `InputError` where this machine is not of the kind that the extraction was planned on."""
        require_kind(machine)
        self._model, self._extract, self._threads = Encoder.load(encoder, machine.device), extract, threads

    def work(self, shards: Sequence[Shard], advance: Advance) -> Generator[Encoded]:
        """Encode shards in order; the next ones' images load meanwhile. Raises `InputError` for a file that changed."""
        with kept_memory(self._model.device), closing(self._answers(shards)) as answers:
            for shard in shards:
                yield self._encode(shard, answers, advance)

    def _answers(self, shards: Sequence[Shard]) -> Generator[Loaded]:
        requests = [
            Request(sample, Planned(content), shard.views)
            for shard in shards
            for sample, content in zip(shard.samples, shard.contents, strict=True)
        ]
        preprocess = self._model.identity.preprocess
        maker = ViewMaker(plain_crop(preprocess), preprocess, self._extract.view_seed, rules_of(self._extract))
        return load_views(requests, maker, self._extract.batch_size, self._threads)

    def _encode(self, shard: Shard, answers: Iterator[Loaded], advance: Advance) -> Encoded:
        """Encode one shard, whose answers come next."""
        bad: list[ErrorRow] = []
        depths: Counter[int] = Counter()
        preprocess, views = self._model.identity.preprocess, 1 + shard.views
        batches = full_batches(_images(shard, answers, bad, depths, advance), views, preprocess["size"], self._extract.batch_size)
        features = np.concatenate([self._model.encode_images(normalised(batch, preprocess)) for batch in batches])
        lost = {row.sample_id for row in bad}
        good = np.repeat([sample.sample_id not in lost for sample in shard.samples], views)
        kept = features[: len(good)][good]
        require_finite(kept, self._model.identity)
        samples = [sample for sample in shard.samples if sample.sample_id not in lost]
        rows = ImageFeatures(
            tuple(sample.sample_id for sample in samples for _ in range(views)),
            np.repeat(np.asarray([sample.label for sample in samples], dtype=np.int32), views),
            np.tile(np.arange(views, dtype=np.int16), len(samples)),
            kept,
        )
        return Encoded(shard, rows, tuple(bad), self._model.logit_scale, dict(depths))


def _images(
    shard: Shard, answers: Iterator[Loaded], bad: list[ErrorRow], depths: Counter[int], advance: Advance
) -> Iterator[Pixels | None]:
    """The views of each sample of `shard`, None for a bad image, which is put into `bad`; assumed depths are counted.

    Raises `InputError` for a changed file.
    """
    for sample in shard.samples:
        answer = next(answers)
        if isinstance(answer, BadImage) and answer.kind in OUTSIDE:
            raise InputError(f"{sample.place} {answer.message}; run the same command again.")
        advance(1)
        if isinstance(answer, BadImage):
            bad.append(error_row(sample, answer))
            yield None
        elif isinstance(answer, Deep):
            depths[answer.depth] += 1
            yield answer.pixels
        else:
            yield answer


def full_batches(images: Iterable[Pixels | None], views: int, size: Sequence[int], batch_size: int) -> Iterator[Pixels]:
    """All batches (batch_size, H, W, 3) uint8, each of full size: matrix products at other sizes differ in the last bits.

    The `views` places of a bad image, and those after the last image, are black.
    """
    batch, filled = np.zeros((batch_size, *size, 3), np.uint8), 0
    for image in images:
        done = 0
        while done < views:
            count = min(views - done, batch_size - filled)
            if image is not None:
                batch[filled : filled + count] = image[done : done + count]
            done, filled = done + count, filled + count
            if filled == batch_size:
                yield batch
                batch, filled = np.zeros((batch_size, *size, 3), np.uint8), 0
    if filled:
        yield batch


def error_row(sample: Sample, bad: BadImage) -> ErrorRow:
    """What errors.parquet says of a bad image."""
    # The id's last parts as they are on disk: the id is normalised, and a normalised name may not open the file.
    written = "/".join(str(sample.place).split("/")[-len(sample.sample_id.split("/")) :])
    return ErrorRow(sample.sample_id, sample.split, written, bad.kind, bad.message)
