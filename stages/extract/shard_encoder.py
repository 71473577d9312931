"""Encoding whole shards with one model, apart from any store: what every engine's workers do, here or on another machine."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from xmap.stages.config import ExtractConfig
from xmap.stages.datasets.dataset import Sample
from xmap.stages.encoder.identity import EncoderIdentity
from xmap.stages.encoder.model import Encoder, require_finite
from xmap.stages.extract.loading import load_views
from xmap.stages.extract.wanted import Shard, Wanted
from xmap.stages.images.crop import plain_crop
from xmap.stages.images.decode import BadImage, rules_of
from xmap.stages.images.load import OUTSIDE
from xmap.stages.images.views import Deep, Loaded, Pixels, ViewMaker, normalised
from xmap.stages.machine.kind import Machine, require_kind
from xmap.stages.machine.memory import kept_memory
from xmap.stages.machine.threads import loading_processes
from xmap.stages.machine.waiting import giving_way
from xmap.stages.workplace.engine import Advance
from xmap.store.errors import InputError
from xmap.store.formats.feature_rows import Rows
from xmap.store.formats.features import ErrorRow


@dataclass(frozen=True)
class Encoded:
    """What became of a shard: its rows, the images that are bad, in the order of the plan, the model's own logit scale, and how many
    bits the values of contents were assumed to have.
    """

    shard: Shard
    rows: Rows
    bad: tuple[tuple[Wanted, BadImage], ...]
    logit_scale: float | None
    depths: Mapping[str, int]

    @property
    def units(self) -> int:
        return len(self.shard.images)


class ShardEncoder:
    """One model and its preprocessing, at work on shards: a `stages.workplace.engine.Worker`."""

    def __init__(self, encoder: EncoderIdentity, extract: ExtractConfig, machine: Machine, threads: int) -> None:
        """Raises `InputError` where this machine is not of the kind that the extraction was planned on."""
        require_kind(machine)
        self._model, self._extract, self._threads = Encoder.load(encoder, machine.device), extract, threads

    def work(self, shards: Sequence[Shard], advance: Advance) -> Generator[Encoded]:
        """Encode shards in order; the next ones' images load meanwhile. Raises `InputError` for a file that changed."""
        with kept_memory(self._model.device), giving_way(self._model.device), closing(self._answers(shards)) as answers:
            for shard in shards:
                yield self._encode(shard, answers, advance)

    def _answers(self, shards: Sequence[Shard]) -> Generator[tuple[Wanted, Loaded]]:
        preprocess = self._model.identity.preprocess
        maker = ViewMaker(plain_crop(preprocess), preprocess, self._extract.view_seed, rules_of(self._extract))
        processes = loading_processes(self._model.device, sum(len(shard.images) for shard in shards), self._threads)
        return load_views([shard.images for shard in shards], maker, self._extract.batch_size, self._threads, processes)

    def _encode(self, shard: Shard, answers: Iterator[tuple[Wanted, Loaded]], advance: Advance) -> Encoded:
        """Encode one shard, whose answers come next."""
        work = _Work(islice(answers, len(shard.images)), advance)
        preprocess = self._model.identity.preprocess
        batches = full_batches(work.pixels(), preprocess["size"], self._extract.batch_size)
        encoded = [self._model.encode_images(normalised(batch, preprocess, self._model.device)) for batch in batches]
        contents = [str(image.content) for image in work.good for _ in image.views]
        views = np.asarray([view for image in work.good for view in image.views], np.int16)
        features = np.concatenate(encoded)[: len(contents)] if encoded else np.empty((0, self._model.identity.width), np.float32)
        require_finite(features, self._model.identity)
        return Encoded(shard, Rows(contents, views, features), tuple(work.bad), self._model.logit_scale, work.depths)


@dataclass
class _Work:
    """The images of one shard as they are loaded: good ones, bad ones with the reason, and how many bits were assumed of which contents."""

    answers: Iterator[tuple[Wanted, Loaded]]
    advance: Advance
    good: list[Wanted] = field(default_factory=list)
    bad: list[tuple[Wanted, BadImage]] = field(default_factory=list)
    depths: dict[str, int] = field(default_factory=dict)

    def pixels(self) -> Iterator[Pixels]:
        """The views (V, H, W, 3) uint8 of each good image. Raises `InputError` for a changed file."""
        for image, answer in self.answers:
            if isinstance(answer, BadImage) and answer.kind in OUTSIDE:
                raise InputError(f"{image.sample.place} {answer.message}; run the same command again.")
            self.advance(1)
            if isinstance(answer, BadImage):
                self.bad.append((image, answer))
                continue
            self.good.append(image)
            if isinstance(answer, Deep):
                self.depths[str(image.content)] = answer.depth
            yield answer.pixels if isinstance(answer, Deep) else answer


def full_batches(images: Iterable[Pixels], size: Sequence[int], batch_size: int) -> Iterator[Pixels]:
    """All batches (batch_size, H, W, 3) uint8, each of full size: matrix products at other sizes differ in the last bits.

    The places after the last image are black.
    """
    batch, filled = np.zeros((batch_size, *size, 3), np.uint8), 0
    for image in images:
        done = 0
        while done < len(image):
            count = min(len(image) - done, batch_size - filled)
            batch[filled : filled + count] = image[done : done + count]
            done, filled = done + count, filled + count
            if filled == batch_size:
                yield batch
                batch, filled = np.zeros((batch_size, *size, 3), np.uint8), 0
    if filled:
        yield batch


def error_row(sample: Sample, kind: str, message: str) -> ErrorRow:
    """What errors.parquet says of a bad image."""
    # The id's last parts as they are on disk: the id is normalised, and a normalised name may not open the file.
    written = "/".join(str(sample.place).split("/")[-len(sample.sample_id.split("/")) :])
    return ErrorRow(sample.sample_id, sample.split, written, kind, message)
