"""The model hub's client, kept from trying again for a minute where there is no network, and from writing between our lines."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from urllib.parse import urlsplit
from urllib.request import getproxies

PATIENCE_SECONDS = 5.0
PORTS = {"http": 80, "https": 443}


@contextmanager
def asked_once() -> Iterator[bool]:
    """Whether the hub answers; where it does not, its client looks at what is on the disk alone."""
    from huggingface_hub import constants

    log, before = logging.getLogger("huggingface_hub"), constants.HF_HUB_OFFLINE
    level = log.level
    answers = not before and reachable(constants.ENDPOINT)
    try:
        log.setLevel(logging.CRITICAL)
        constants.HF_HUB_OFFLINE = not answers
        yield answers
    finally:
        constants.HF_HUB_OFFLINE = before
        log.setLevel(level)


def reachable(address: str, patience: float = PATIENCE_SECONDS) -> bool:
    """Whether something listens at `address` within `patience` seconds. A proxy is believed: it alone can tell."""
    if getproxies():
        return True
    parts, answered = urlsplit(address), Event()

    def knock() -> None:
        with suppress(OSError), socket.create_connection((parts.hostname, parts.port or PORTS.get(parts.scheme, 443)), patience):
            answered.set()

    # Looking up a name has no time limit of its own, so that it is left behind where it hangs.
    thread = Thread(target=knock, daemon=True)
    thread.start()
    thread.join(patience)
    return answered.is_set()
