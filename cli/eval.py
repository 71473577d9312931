"""`xmap eval`."""

from __future__ import annotations

from xmap.cli.options import ColumnsOption, FormatOption, OutputOption, Settings, with_settings
from xmap.cli.work import evaluate


@with_settings
def command(settings: Settings, form: FormatOption = "", output: OutputOption = "", columns: ColumnsOption = "") -> None:
    """Score the test images with every method and seed, and print the methods side by side. Needs `xmap train`.

    Example: xmap eval --data pets --methods tip-adapter,xmadapter --json
    """
    evaluate(settings, ("pairs", "eval"), form, output, columns)
