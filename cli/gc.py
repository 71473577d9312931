"""`xmap gc`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xmap.cli.console import plain, say, size, warn
from xmap.cli.formats import Sheet, rows_of
from xmap.cli.settings import Settings, with_settings
from xmap.cli.tables import print_table
from xmap.pipeline.upkeep.collect import Waste, in_use, remove, waste
from xmap.store.artifacts.fingerprint import SHORT
from xmap.store.artifacts.locks import SHARED

if TYPE_CHECKING:
    from xmap.store.artifacts.identity import Identity

COLUMNS = ("stage", "name", "fingerprint", "bytes", "why", "path")


@partial(with_settings, stored=True)
def command(
    settings: Settings,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Evaluations or others to let go: names or fingerprints.")
    ] = None,
    keep: Annotated[
        int | None,
        typer.Option(
            "--keep", min=1, metavar="N", help="Let evaluations and answers go but the N of each name used last.", show_default=False
        ),
    ] = None,
    joined: Annotated[bool, typer.Option("--compact", help="Also join packs of few feature rows into full ones.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove without asking.")] = False,
) -> None:
    """Show what may go, then remove it: artifacts that nothing refers to, and folders of builds that were never finished.

    Evaluations and kept answers stay, and what xmap.toml and the flags would use, and all that these were made from. Name one to let
    go of it and of what only it needed, or give --keep. Without --yes nothing is removed unless you say so on a terminal. Extractions of a
    few images leave packs of few rows, which --compact joins; every row stays as it is.

    Example: xmap gc --data pets --yes
    """
    from xmap.pipeline.upkeep.compact import compact, said, scattered
    from xmap.pipeline.upkeep.packs import unused

    used = in_use(settings.store, settings.config)
    entries, spare = waste(settings.store, used, names or (), keep), unused(settings.store)
    joinings = scattered(settings.store) if joined else []
    for damage in settings.store.survey().damaged.values():
        warn(f"{damage} What it names is kept.")
    told = not settings.destination.asked
    if told:
        _show(settings, entries, used)
        if spare:
            say(f"images that have features here and are in no data set: {spare:,} (xmap sql 'from unused' lists them)")
        if joinings:
            typer.echo(plain(f"{said(joinings)} may be joined"))
    if (entries or joinings) and (yes or (told and _agreed())):
        if entries:
            entries = remove(settings.store, used, names or (), keep)
            say(f"removed {_counted(entries)}")
        if joinings:
            joinings = compact(settings.store)
            say(f"joined {said(joinings)}")
        yes = True
    elif (entries or joinings) and told:
        typer.echo("nothing was removed; give --yes to remove them" if entries else "nothing was joined; give --yes to join them")
    if not told:
        rows = [_facts(item) for item in entries]
        packs = {"packs": sum(len(one.rows) for one in joinings), "into": len(joinings)}
        facts = {"removed": yes, "waste": rows, "unused": spare} | ({"joined": packs} if joined else {})
        settings.destination.write(Sheet(rows_of(rows, COLUMNS), facts=facts))


def _show(settings: Settings, entries: Sequence[Waste], used: Sequence[Identity]) -> None:
    if entries and not used:
        say("no images are named here, by xmap.toml or --data: kept are evaluations and what they were made from")
    if entries:
        columns = ("stage", "name", "fingerprint", "size", "why")
        print_table(columns, [_row(item) for item in entries], right=("size",), paths=("name",))
    typer.echo(plain(f"{_counted(entries)} in {settings.store.root} may go"))


def _agreed() -> bool:
    return sys.stdin.isatty() and typer.confirm("Remove them?", err=True)


def _counted(entries: Sequence[Waste]) -> str:
    total = size(sum(item.bytes for item in entries))
    return f"{len(entries)} {'entry' if len(entries) == 1 else 'entries'} ({total})" if entries else "nothing"


def _row(item: Waste) -> tuple[str, ...]:
    if item.artifact is None:
        return _stage(item), item.path.name, "", size(item.bytes), item.why
    return item.artifact.stage, item.artifact.name, item.artifact.fingerprint[:SHORT], size(item.bytes), item.why


def _stage(item: Waste) -> str:
    """The folder below the store that it lies in."""
    return SHARED if item.path.parent.parent.name == SHARED else item.path.parent.name


def _facts(item: Waste) -> dict[str, Any]:
    artifact = item.artifact
    facts = {"name": artifact.name, "fingerprint": artifact.fingerprint} if artifact else {"name": item.path.name, "fingerprint": None}
    return {"stage": _stage(item), **facts, "bytes": item.bytes, "why": item.why, "path": str(item.path)}
