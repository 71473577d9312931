"""`xmap eval`."""

from __future__ import annotations

from cli.options import Settings, with_settings
from cli.work import work


@with_settings
def command(settings: Settings) -> None:
    """Score the test images with every method and seed, and print the methods side by side. Needs `xmap train`.

    Example: xmap eval --data pets --methods tip-adapter,xmadapter --json
    """
    work(settings, ("eval",))
