"""`xmap init`."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from cli.console import print_json
from cli.options import Settings, with_settings
from pipeline.config import write_config
from store.output import STDOUT


@partial(with_settings, reads=False)
def command(settings: Settings, force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False) -> None:
    """Write xmap.toml: every setting, its value (flags apply), and what it means.

    Example: xmap init --data pets --shots 8
    """
    path = settings.config_file
    write_config(path, settings.config, replace=force)
    if path == STDOUT:
        return
    if settings.json:
        print_json({"path": path})
    elif not settings.quiet:
        typer.echo(f"wrote {path}; `xmap run` does what it says.", err=True)
