"""`xmap import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xmap.cli.formats import Destination, Sheet, rows_of
from xmap.cli.options import FormatOption, JsonOption, OutputOption, QuietOption, StoreOption
from xmap.cli.progress import progress_on_stderr
from xmap.store.artifacts.artifact import Store
from xmap.store.artifacts.root import store_root
from xmap.store.errors import UnknownName

LAYOUTS = ("tip-adapter",)


def command(
    layout: Annotated[str, typer.Argument(metavar="LAYOUT", help="Whose layout: tip-adapter.")],
    folder: Annotated[str, typer.Argument(metavar="DIR", help="The folder with keys_Kshots.pt and the other files.")],
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="What to call the features. [the folder's name]")] = "",
    logit_scale: Annotated[float, typer.Option("--logit-scale", help="The encoder's own logit scale.")] = 100.0,
    store: StoreOption = "",
    form: FormatOption = "",
    output: OutputOption = "",
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Take over features that others extracted; then `xmap run --features NAME` works on them.

    Example: xmap import tip-adapter caches/pets --name pets
    """
    destination = Destination(form, output, json)
    if layout not in LAYOUTS:
        raise UnknownName("layout", layout, LAYOUTS)
    from xmap.stages.imports.tip_adapter import import_tip_adapter

    path = Path(folder)
    called = name or path.resolve().name
    with progress_on_stderr(quiet) as progress:
        artifacts = import_tip_adapter(Store(store_root(store or None)), path, called, logit_scale, progress)
        counts = ", ".join(f"{split} {count:,}" for split, count in artifacts[0].summary["counts"].items())
        progress.say(f"imported {called}: {counts}; next: xmap run --features {called}")
    if destination.asked:
        rows = [{**{key: found.manifest[key] for key in ("stage", "name", "fingerprint")}, "path": str(found.path)} for found in artifacts]
        destination.write(Sheet(rows_of(rows)))
