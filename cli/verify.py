"""`xmap verify`."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from xmap.cli.console import plain, show, size
from xmap.cli.ends import FOUND
from xmap.cli.formats import Destination, Sheet
from xmap.cli.options import FormatOption, JsonOption, OutputOption, QuietOption, StoreOption
from xmap.cli.progress import progress_on_stderr
from xmap.pipeline.upkeep.verify import Verified, chosen, require_memory, share_of, units_of
from xmap.pipeline.upkeep.verify import verify as read
from xmap.store.artifacts.artifact import Store
from xmap.store.artifacts.root import require_store, store_root

SubsetOption = Annotated[
    str, typer.Option("--subset", metavar="SHARE", help="Read this share of the bytes, as 1/5: what was read longest ago.")
]


def command(
    store: StoreOption = "",
    subset: SubsetOption = "1",
    form: FormatOption = "",
    output: OutputOption = "",
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Read every byte of every artifact and of the feature rows they share; exit code 1 if one is damaged.

    With --subset 1/5 a fifth of the bytes, those that were read longest ago: five such runs read all that was there at the first.

    Example: xmap verify --subset 1/5
    """
    share, destination = share_of(subset), Destination(form, output, json)
    opened = Store(require_store(store_root(store or None)))
    require_memory(opened, share)
    units = units_of(opened)
    count = chosen(units, share)
    with progress_on_stderr(quiet) as progress:
        progress.start("verify", count)
        found = read(opened, units, count, progress.advance)
    unread = sum(not unit.read for unit in found.left)
    facts = {
        "artifacts": found.artifacts,
        "damaged": list(found.problems),
        "bytes_read": sum(unit.bytes for unit in found.read),
        "bytes": sum(unit.bytes for unit in units),
        "left": len(found.left),
        "never_read": unread,
        "oldest_read": found.oldest or None,
    }
    destination.write(Sheet({"damage": list(found.problems)}, facts=facts, show=partial(_print, found, unread)))
    if found.problems:
        raise typer.Exit(FOUND)


def _print(found: Verified, unread: int) -> None:
    for problem in found.problems:
        typer.echo(plain(problem))
    damages = len(found.problems)
    show(f"{found.artifacts} artifacts read, {damages or 'no'} damage{'s' if damages > 1 else ''} found")
    if found.left:
        read, left = (sum(unit.bytes for unit in units) for units in (found.read, found.left))
        oldest = f", {unread} of them never read" if unread else f", the longest unread since {found.oldest[:10]}"
        show(f"{size(read)} of {size(read + left)} read; {len(found.left)} files and folders left{oldest}")
