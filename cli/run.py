"""`xmap run`."""

from __future__ import annotations

from cli.options import Settings, with_settings
from cli.work import work
from pipeline.plan import STAGES


@with_settings
def command(settings: Settings) -> None:
    """Do every stage that is missing, say for each whether it was reused or built and why, and compare the methods.

    Example: xmap run --data pets --model ViT-B-32-quickgelu --pretrained openai --shots 16
    """
    work(settings, STAGES)
