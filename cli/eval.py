"""`xmap eval`."""

from __future__ import annotations

from typing import Annotated

import typer

from xmap.cli.options import ColumnsOption
from xmap.cli.settings import Settings, with_settings
from xmap.cli.work import evaluate


@with_settings
def command(
    settings: Settings,
    columns: ColumnsOption = "",
    unknown: Annotated[
        str,
        typer.Option(
            "--unknown",
            metavar="DIR",
            help="Images of none of the classes: say how well they are told from the test images.",
            show_default=False,
        ),
    ] = "",
) -> None:
    """Score the test images with every method and seed, and print the methods side by side. Needs `xmap train`.

    Example: xmap eval --data pets --methods tip-adapter,xmadapter --json
    """
    evaluate(settings, ("pairs", "eval"), columns, unknown)
