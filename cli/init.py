"""`xmap init`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from xmap.cli.console import say
from xmap.cli.formats import Sheet
from xmap.cli.settings import Settings, with_settings
from xmap.pipeline.settings.file import write_config
from xmap.store.disk.output import STDOUT


@partial(with_settings, reads=False)
def command(
    settings: Settings,
    force: Annotated[bool, typer.Option("--force", help="Write an existing file anew; the values it has are kept.")] = False,
) -> None:
    """Write xmap.toml: every setting, its value (flags apply), and what it means.

    With --force a file that is there is written anew: its values stay where no flag says another, comments of your own go.

    Example: xmap init --data pets --shots 8
    """
    path, before = settings.config_file, Path(settings.config_file).is_file()
    write_config(path, settings.config, replace=force)
    if path == STDOUT:
        return
    if settings.destination.asked:
        settings.destination.write(Sheet({"path": [path]}, facts={"path": path}))
    elif not settings.quiet:
        say(f"wrote {path}{', with the values it had' if before else ''}; `xmap run` does what it says.")
