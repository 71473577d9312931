"""Loading the images of an extraction by threads while the encoder works. Order and pixels are the same for any number of threads."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing

from xmap.stages.extract.wanted import Wanted
from xmap.stages.images.in_time import TIMEOUT_SECONDS, in_time
from xmap.stages.images.load import Planned
from xmap.stages.images.views import Loaded, ViewMaker
from xmap.store.errors import XmapError


def load_views(requests: Sequence[Wanted], maker: ViewMaker, ahead: int, threads: int) -> Generator[Loaded]:
    """The answers to all requests, in order, from `threads` (at least one) that keep `ahead` of them ready.

    Close it (`contextlib.closing`) where an error may leave it unfinished. Raises `XmapError` for an image that hangs.
    """

    def loaded(request: Wanted) -> Loaded:
        return maker.load(request.sample.place, request.content or "", request.views, Planned(request.content))

    with closing(in_time(loaded, requests, threads, ahead)) as answers:
        for request, answer in zip(requests, answers, strict=True):
            if answer is None:
                raise XmapError(
                    f"{request.sample.place} took more than {TIMEOUT_SECONDS} s to load: a disk, mount or server hangs; "
                    "run the same command again, finished shards are kept."
                )
            yield answer
