"""`xmap diff`."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import typer

from xmap.cli.console import as_text, plain, show
from xmap.cli.formats import Destination, Sheet
from xmap.cli.options import FormatOption, JsonOption, OutputOption, QuietOption, StoreOption, artifact_names, opened
from xmap.cli.tables import print_table
from xmap.pipeline.run.image_changes import ImageChanges
from xmap.pipeline.upkeep.compare import Comparison, compare
from xmap.pipeline.upkeep.lineage import Lineage
from xmap.pipeline.upkeep.named import find_artifact
from xmap.stages.names import IMAGES
from xmap.store.artifacts.artifact import Artifact
from xmap.store.artifacts.fingerprint import SHORT

LISTED = 10


def command(
    first: Annotated[str, typer.Argument(metavar="A", help="A name, STAGE/NAME, folder or fingerprint.", autocompletion=artifact_names)],
    second: Annotated[str, typer.Argument(metavar="B", help="Another one of the same stage.", autocompletion=artifact_names)],
    store: StoreOption = "",
    form: FormatOption = "",
    output: OutputOption = "",
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Say which fields made two artifacts different, down to the first causes, which images came, went or moved, and which of
    their results differ.

    Example: xmap diff eval/pets-4shot eval/pets-16shot
    """
    destination, held = Destination(form, output, json), opened(store)
    comparison = compare(find_artifact(held, first), find_artifact(held, second), Lineage.of(held.artifacts()))
    destination.write(Sheet(_columns(comparison), facts=_facts(comparison), show=partial(_show, comparison)))


def _columns(comparison: Comparison) -> dict[str, list[Any]]:
    """All that differs, a row a field or image, with values as text: fields have values of all kinds."""
    changes = [("cause", cause.stage, cause.change) for cause in comparison.causes]
    changes += [("result", comparison.first.stage, change) for change in comparison.results]
    rows = [(kind, stage, change.field, as_text(change.before), as_text(change.after)) for kind, stage, change in changes]
    kinds = comparison.images.kinds() if comparison.images else ()
    rows += [(f"image {kind}", IMAGES, name, None, None) for kind, names in kinds for name in names]
    return {name: [row[place] for row in rows] for place, name in enumerate(("kind", "stage", "field", "a", "b"))}


def _show(comparison: Comparison) -> None:
    for letter, artifact in (("A", comparison.first), ("B", comparison.second)):
        typer.echo(plain(f"{letter}  {artifact.stage} {artifact.name} {artifact.fingerprint[:SHORT]} of {artifact.manifest['created']}"))
    if comparison.first.fingerprint == comparison.second.fingerprint:
        typer.echo("they are the same artifact")
        return
    typer.echo("\nwhat made them differ" + ("" if comparison.causes else ": nothing is known, what they were made from is gone"))
    _print([(cause.stage, cause.change.field, *_values(cause.change.before, cause.change.after)) for cause in comparison.causes], "stage")
    _print_images(comparison.images)
    typer.echo("which results differ" + ("" if comparison.results else ": none"))
    _print([(*change.field.rpartition(".")[::2], *_values(change.before, change.after)) for change in comparison.results], "of")


def _print(rows: list[tuple[str, ...]], group: str) -> None:
    if rows:
        print_table((group, "field", "A", "B"), rows)


def _print_images(images: ImageChanges | None) -> None:
    """How many images came, went or moved, and the first of each kind by name."""
    if images is None:
        return
    show(f"images: {images}")
    for kind, names in images.kinds():
        more = f" and {len(names) - LISTED:,} more" if len(names) > LISTED else ""
        if names:
            show(f"  {kind}: {', '.join(names[:LISTED])}{more}")
    typer.echo()


def _facts(comparison: Comparison) -> dict[str, Any]:
    def named(artifact: Artifact) -> dict[str, str]:
        return {"stage": artifact.stage, "name": artifact.name, "fingerprint": artifact.fingerprint}

    return {
        "a": named(comparison.first),
        "b": named(comparison.second),
        "causes": [
            {"stage": cause.stage, "field": cause.change.field, "a": cause.change.before, "b": cause.change.after}
            for cause in comparison.causes
        ],
        "images": None if comparison.images is None else {kind: list(names) for kind, names in comparison.images.kinds()},
        "results": [{"field": change.field, "a": change.before, "b": change.after} for change in comparison.results],
    }


def _values(before: Any, after: Any) -> tuple[str, str]:
    """Of two lists what only one has: cut to a width, long ones would read alike."""
    if isinstance(before, list) and isinstance(after, list):
        only = [[one for one in mine if one not in other] for mine, other in ((before, after), (after, before))]
        if any(only):
            return _shown(", ".join(map(str, only[0])) or None), _shown(", ".join(map(str, only[1])) or None)
    return _shown(before), _shown(after)


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, str) and len(value) == 64 and not value.strip("0123456789abcdef"):
        return value[:SHORT]
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
