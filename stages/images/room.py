"""Room for pixels: threads that decode large images take turns, so that a process holds no more of them than one image may have.

Some decoders take five times what their picture does; where the machine has not that much, the picture is not begun.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

from PIL import Image

from xmap.stages.images.depths import is_wide
from xmap.stages.machine.memory import available_bytes

# Bytes a pixel that decoders were seen to take at their peak, the picture among them.
USUAL, ALPHA, WIDE = 7, 11, 19
BY_FORMAT = {"WEBP": 20, "JPEG2000": 20, "AVIF": 12, "HEIF": 12}
# Pictures that take less are not asked about.
LITTLE = 256 << 20


class Room:
    """How many bytes this process is decoding."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """As new, for a forked process: the threads that hold room are not there."""
        self._turn, self._taken = Condition(), 0

    @contextmanager
    def of(self, size: int, most: int) -> Iterator[None]:
        """Wait until `size` more make at most `most`, or until nobody else has any."""
        with self._turn:
            self._turn.wait_for(lambda: not self._taken or self._taken + size <= most)
            self._taken += size
        try:
            yield
        finally:
            with self._turn:
                self._taken -= size
                self._turn.notify_all()


def decoding_bytes(image: Image.Image, pixels: int) -> int:
    """About the bytes that decoding an opened image of so many pixels takes."""
    wide, alpha = is_wide(image) or image.mode.startswith("I"), "transparency" in image.info or image.mode.endswith(("A", "a"))
    return pixels * BY_FORMAT.get(image.format or "", WIDE if wide else ALPHA if alpha else USUAL)


def is_too_much(size: int) -> bool:
    """Whether the machine has no such number of bytes, as far as it tells."""
    free = available_bytes() if size > LITTLE else None
    return free is not None and size > free


ROOM = Room()
os.register_at_fork(after_in_child=ROOM.renew)
