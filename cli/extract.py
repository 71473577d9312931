"""`xmap extract`."""

from __future__ import annotations

from xmap.cli.settings import Settings, with_settings
from xmap.cli.work import work


@with_settings
def command(settings: Settings) -> None:
    """Compute the features of all images and prompts, and of the images of --pool.

    An interrupted extraction goes on where it stopped; images that cannot be read are listed in errors.parquet.

    Example: xmap extract --data pets --template 'a photo of a {}, a type of pet.'
    """
    work(settings, ("images", "texts"))
