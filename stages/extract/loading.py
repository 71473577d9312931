"""Loading the images of an extraction by threads, and by processes of theirs, while the encoder works.

Order and pixels are the same for any number of them.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Generator, Sequence
from contextlib import closing
from itertools import accumulate

from xmap.stages.extract.wanted import Wanted
from xmap.stages.images.apart import apart, is_helped
from xmap.stages.images.in_time import TIMEOUT_SECONDS, in_time
from xmap.stages.images.load import Planned
from xmap.stages.images.views import Loaded, ViewMaker
from xmap.store.errors import XmapError


def load_views(
    parts: Sequence[Sequence[Wanted]], maker: ViewMaker, ahead: int, threads: int, processes: int = 0
) -> Generator[tuple[Wanted, Loaded]]:
    """The images of all parts with what was loaded of each, in order, from `threads` (at least one) that keep `ahead` of them ready.

    Beside them `processes` decode.

    Close it (`contextlib.closing`) where an error may leave it unfinished. Raises `XmapError` for an image that hangs.
    """
    ends = list(accumulate(map(len, parts)))

    def image_at(place: int) -> Wanted:
        part = bisect(ends, place)
        return parts[part][place - ends[part]]

    def loaded(place: int) -> tuple[Wanted, Loaded]:
        # Made here and once: a list of all would take as long as some images do, and a kilobyte each.
        image = image_at(place)
        return image, load(image.sample.place, image.content or "", image.views, Planned(image.content))

    places = range(ends[-1] if ends else 0)
    helping = processes if places and is_helped(image_at(0).sample.place) else 0
    with apart(maker, helping) as load, closing(in_time(loaded, places, threads, ahead)) as answers:
        for place, answer in zip(places, answers, strict=True):
            if answer is None:
                raise XmapError(
                    f"{image_at(place).sample.place} took more than {TIMEOUT_SECONDS} s to load: a disk, mount or server hangs; "
                    "run the same command again, finished shards are kept."
                )
            yield answer
