"""`xmap import`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from xmap.cli.formats import Destination, Sheet, rows_of
from xmap.cli.options import FormatOption, JsonOption, OutputOption, QuietOption, StoreOption
from xmap.cli.progress import progress_on_stderr
from xmap.stages.imports.layouts import LAYOUTS, import_features
from xmap.stages.imports.request import ImportRequest
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.artifacts.root import store_root

COLUMNS = "Which column says what"
SCALE = 100.0


def command(
    layout: Annotated[str, typer.Argument(metavar="LAYOUT", help=f"Whose layout: {', '.join(LAYOUTS)}.")],
    place: Annotated[str, typer.Argument(metavar="PATH", help="The file or folder that holds the vectors.")],
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="What to call the features. [the folder's or file's name]")] = "",
    texts: Annotated[
        str, typer.Option("--texts", metavar="FILE", help="Class texts: .npy, a row a class, or a table that names them.")
    ] = "",
    classes: Annotated[str, typer.Option("--classes", metavar="FILE", help="Class names, one a line, in label order.")] = "",
    vectors: Annotated[
        str,
        typer.Option("--vectors", metavar="COLUMN|FILE", help="The vectors. [the only column of lists of floats]", rich_help_panel=COLUMNS),
    ] = "",
    labels: Annotated[
        str,
        typer.Option(
            "--labels", metavar="COLUMN|FILE", help="Class names or numbers; none: a pool. [label, class, ...]", rich_help_panel=COLUMNS
        ),
    ] = "",
    ids: Annotated[
        str,
        typer.Option(
            "--ids", metavar="COLUMN|FILE", help="What each row is called. [id, key, path, ..., else its number]", rich_help_panel=COLUMNS
        ),
    ] = "",
    splits: Annotated[
        str,
        typer.Option("--splits", metavar="COLUMN|FILE", help="train, val, test; none: to be drawn. [split, ...]", rich_help_panel=COLUMNS),
    ] = "",
    logit_scale: Annotated[float, typer.Option("--logit-scale", metavar="NUMBER", help="The encoder's own logit scale.")] = SCALE,
    store: StoreOption = "",
    form: FormatOption = "",
    output: OutputOption = "",
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Take over features that others extracted; then `xmap run --features NAME` works on them.

    Example: xmap import table vectors.parquet --texts texts.npy --name mine
    """
    destination = Destination(form, output, json)
    path = Path(place)
    called = name or (path.stem if path.is_file() else path.resolve().name)
    asked = {"vectors": vectors, "labels": labels, "ids": ids, "splits": splits}
    request = ImportRequest(layout, path, called, {role: given for role, given in asked.items() if given}, classes, texts, logit_scale)
    with progress_on_stderr(quiet) as progress:
        artifacts = import_features(Store(store_root(store or None)), request, progress)
        counts = ", ".join(f"{split} {count:,}" for split, count in artifacts[0].summary["counts"].items())
        progress.say(f"imported {called}: {counts}; next: xmap {_next(artifacts, called)}")
    if destination.asked:
        rows = [{**{key: found.manifest[key] for key in ("stage", "name", "fingerprint")}, "path": str(found.path)} for found in artifacts]
        destination.write(Sheet(rows_of(rows)))


def _next(artifacts: Sequence[Artifact], called: str) -> str:
    """What can be done with them: without class texts they join features that have some, without labels they can be classified."""
    if len(artifacts) > 1:
        return f"run --features {called}"
    return f"run --features NAME --also-features {called}" if "classes" in artifacts[0].summary else f"predict --features {called}"
