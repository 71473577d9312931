"""`xmap train`."""

from __future__ import annotations

from xmap.cli.settings import Settings, with_settings
from xmap.cli.work import work


@with_settings
def command(settings: Settings) -> None:
    """Fit every method with every seed; settings are chosen on validation samples alone. Needs `xmap build-cache`.

    Example: xmap train --data pets --methods tip-adapter,xmadapter
    """
    work(settings, ("projection", "adapter"))
