"""`xmap run`."""

from __future__ import annotations

from xmap.cli.options import ColumnsOption
from xmap.cli.settings import Settings, with_settings
from xmap.cli.work import evaluate
from xmap.pipeline.run.plan import STAGES


@with_settings
def command(settings: Settings, columns: ColumnsOption = "") -> None:
    """Do every stage that is missing, say for each whether it was reused or built and why, and compare the methods.

    Example: xmap run --data pets --model ViT-B-32-quickgelu --pretrained openai --shots 16
    """
    evaluate(settings, STAGES, columns)
