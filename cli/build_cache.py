"""`xmap build-cache`."""

from __future__ import annotations

from xmap.cli.settings import Settings, with_settings
from xmap.cli.work import work


@with_settings
def command(settings: Settings) -> None:
    """Draw the few-shot support of each seed, tune its prompts where --text is coop, and build its caches. Needs `xmap extract`.

    Example: xmap build-cache --data pets --shots 16 --seeds 1,2,3
    """
    work(settings, ("joined", "coop", "cache"))
