"""Loading the images of an extraction by threads while the encoder works. Order and pixels are the same for any number of threads."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass

from xmap.stages.datasets.dataset import Sample
from xmap.stages.images.in_time import TIMEOUT_SECONDS, in_time
from xmap.stages.images.load import Planned
from xmap.stages.images.views import Loaded, ViewMaker
from xmap.store.errors import XmapError


@dataclass(frozen=True)
class Request:
    """An image to load: its sample, what its file was when the work was planned, and how many augmented views it gets."""

    sample: Sample
    planned: Planned
    views: int


def load_views(requests: Sequence[Request], maker: ViewMaker, ahead: int, threads: int) -> Generator[Loaded]:
    """The answers to all requests, in order, from `threads` (at least one) that keep `ahead` of them ready.

    Close it (`contextlib.closing`) where an error may leave it unfinished. Raises `XmapError` for an image that hangs.
    """

    def loaded(request: Request) -> Loaded:
        return maker.load(request.sample.place, request.sample.sample_id, request.views, request.planned)

    with closing(in_time(loaded, requests, threads, ahead)) as answers:
        for request, answer in zip(requests, answers, strict=True):
            if answer is None:
                raise XmapError(
                    f"{request.sample.place} took more than {TIMEOUT_SECONDS} s to load: a disk, mount or server hangs; "
                    "run the same command again, finished shards are kept."
                )
            yield answer
