"""`xmap verify`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import typer

from xmap.cli.console import plain, show
from xmap.cli.ends import FOUND
from xmap.cli.formats import Destination, Sheet
from xmap.cli.options import FormatOption, JsonOption, OutputOption, QuietOption, StoreOption
from xmap.cli.progress import progress_on_stderr
from xmap.store.artifacts.artifact import Store, read_artifact
from xmap.store.artifacts.manifest import MANIFEST
from xmap.store.artifacts.removed import explained
from xmap.store.artifacts.root import is_exported, require_store, store_root
from xmap.store.errors import ArtifactMissing, XmapError


def command(
    store: StoreOption = "",
    form: FormatOption = "",
    output: OutputOption = "",
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Read every byte of every artifact and of the feature rows they share; exit code 1 if one is damaged.

    Example: xmap verify --store .xmap
    """
    from xmap.pipeline.upkeep.packs import wrong
    from xmap.store.formats.packs import all_packs

    destination = Destination(form, output, json)
    root = require_store(store_root(store or None))
    folders = sorted(path.parent for path in root.glob(f"*/*/{MANIFEST}"))
    packs = sum(len(found.files()) for found in all_packs(Store(root)))
    problems: list[str] = []
    with progress_on_stderr(quiet) as progress:
        progress.start("verify", len(folders) + packs)
        for folder in folders:
            try:
                found: list[XmapError] = [explained(damage) for damage in read_artifact(folder).verify()]
            except XmapError as error:
                found = [explained(error)]
            # What another process removes meanwhile is not damaged.
            problems += [str(error) for error in found if not isinstance(error, ArtifactMissing)]
            progress.advance(1)
        problems += [str(error) for error in wrong(Store(root), progress.advance)]
        problems += [str(error) for error in _of_export(root) if str(error) not in problems]
    facts = {"artifacts": len(folders), "damaged": problems}
    destination.write(Sheet({"damage": problems}, facts=facts, show=partial(_print, len(folders), problems)))
    if problems:
        raise typer.Exit(FOUND)


def _print(read: int, problems: Sequence[str]) -> None:
    for problem in problems:
        typer.echo(plain(problem))
    show(f"{read} artifacts read, {len(problems) or 'no'} damage{'s' if len(problems) > 1 else ''} found")


def _of_export(root: Path) -> Iterator[XmapError]:
    """What beside its artifacts is not as it was exported."""
    from xmap.store.artifacts.exported import Export

    if is_exported(root):
        try:
            yield from Export.read(root).problems()
        except XmapError as error:
            yield error
