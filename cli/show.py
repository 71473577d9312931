"""`xmap show`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Annotated, Any

import typer

from xmap.cli.console import as_text, plain, show, size
from xmap.cli.formats import Destination, Sheet, rows_of
from xmap.cli.options import FormatOption, JsonOption, OutputOption, QuietOption, StoreOption, artifact_names, opened
from xmap.cli.results import print_results
from xmap.cli.tables import print_table
from xmap.pipeline.run.made_with import made_with
from xmap.pipeline.upkeep.lineage import Lineage
from xmap.pipeline.upkeep.named import find_artifact
from xmap.stages.methods.searched import GRIDS
from xmap.stages.names import EVAL
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.artifacts.fingerprint import SHORT
from xmap.store.artifacts.usable import usable

WIDTH = 100


def command(
    name: Annotated[
        str, typer.Argument(metavar="ARTIFACT", help="A name, STAGE/NAME, folder or fingerprint.", autocompletion=artifact_names)
    ],
    store: StoreOption = "",
    form: FormatOption = "",
    output: OutputOption = "",
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Print what an artifact is: the fields that made it, what it was made from and by, its files, and what came out.

    Example: xmap show cache/pets-ViT-B-32-openai-16shot-seed1
    """
    destination, held = Destination(form, output, json), opened(store)
    artifact = find_artifact(held, name)
    rows = [{"field": name, "value": as_text(value)} for name, value in _dotted(artifact.manifest)]
    destination.write(Sheet(rows_of(rows), facts=artifact.manifest, show=partial(_show, held, artifact)))


def _show(held: Store, artifact: Artifact) -> None:
    from xmap.store.formats.samples import shared_bytes

    manifest, lineage = artifact.manifest, Lineage.of(held.artifacts())
    shared = shared_bytes(artifact)
    rows = [("features", f"{size(shared)} of rows in features/, which others may share")] if shared is not None else []
    show(f"{artifact.stage} {artifact.name}")
    typer.echo("")
    for label, value in (
        ("fingerprint", artifact.fingerprint),
        ("folder", artifact.path),
        ("made", f"{manifest['created']}, in {manifest['seconds']} s on {manifest['device']}"),
        ("again with", manifest["command"]),
        *rows,
    ):
        typer.echo(plain(f"  {label:<12}{value}"))
    _print_inputs(artifact, lineage)
    _print_fields("fields that made it", artifact.fields)
    _print_settings(artifact)
    _print_honesty(artifact)
    tables = ("results", "differences") if artifact.stage == EVAL else ()
    _print_fields("what came out", {label: value for label, value in artifact.summary.items() if label not in tables})
    if tables:
        results, differences = (usable(artifact).summary[label] for label in tables)
        print_results(results, differences, made_with=made_with(artifact, lineage.by_print))
    typer.echo("\nfiles")
    print_table(
        ("file", "size", "blake3"), [(row["name"], size(row["size"]), row["blake3"][:16]) for row in manifest["files"]], right=("size",)
    )
    show(f"versions: {', '.join(f'{library} {version}' for library, version in manifest['versions'].items())}")


def _print_inputs(artifact: Artifact, lineage: Lineage) -> None:
    if not artifact.inputs:
        return
    typer.echo("\nmade from")
    wide = max(map(len, artifact.inputs))
    for label, digest in artifact.inputs.items():
        parent = lineage.inputs.get(artifact.fingerprint, {}).get(label)
        named = f"{parent.stage} {parent.name} {parent.fingerprint[:SHORT]}" if parent else f"{digest[:SHORT]}, not in this store"
        show(f"  {label:<{wide}}  {named}")


def _print_settings(artifact: Artifact) -> None:
    """Of an adapter: what each setting is, and whether it was given, chosen, or chosen from a grid that was given."""
    settings = artifact.summary.get("settings")
    if not settings:
        return
    selection, given = usable(artifact).summary["selection"], _grids(artifact.fields.get("options"))
    typer.echo("\n" + plain(f"settings; chosen on: {selection['selected_on']}"))
    print_table(
        ("setting", "value", "how"),
        [
            (plain(name), f"{value:.6g}" if isinstance(value, float) else plain(str(value)), _how(name, value, given, selection))
            for name, value in settings.items()
        ],
        right=("value",),
    )


def _print_honesty(artifact: Artifact) -> None:
    """Of an adapter: what its probabilities and its sets stand on."""
    calibration, kept = artifact.summary.get("calibration"), artifact.summary.get("kept")
    if calibration:
        show(f"temperature {calibration['temperature']:g}; fitted on: {calibration['calibrated_on']}")
    if kept:
        show(f"for prediction sets: {kept['samples']:,} samples, {kept['source']}")


def _grids(options: Any) -> dict[str, list[float]]:
    """The values given for searched settings, as far as they are numbers."""
    found = options.get(GRIDS) if isinstance(options, Mapping) else None
    lists = found.items() if isinstance(found, Mapping) else ()
    return {
        name: list(values) for name, values in lists if isinstance(values, list) and all(isinstance(one, int | float) for one in values)
    }


def _how(name: str, value: Any, given: Mapping[str, list[float]], selection: Mapping[str, Any]) -> str:
    """Where a setting comes from; a weight is given at 16 shots and logit scale 100."""
    values, tried = given.get(name, []), selection["grid"].get(name, [])
    listed = ", ".join(f"{value:g}" for value in values)
    if len(values) == 1:
        return f"fixed: {listed} was given" + ("" if value == values[0] else ", here rescaled")
    if values:
        return f"grid given: {listed}" if selection["trials"] else f"the default's nearest of {listed}: nothing to choose on"
    return f"chosen from {len(tried)} values, {tried[0]:g} to {tried[-1]:g}" if tried else "not chosen"


def _print_fields(title: str, fields: Mapping[str, Any]) -> None:
    typer.echo("\n" + plain(title))
    rows = [(label, _short(value)) for label, value in _dotted(fields)]
    wide = max((len(label) for label, _ in rows), default=0)
    for label, value in rows:
        typer.echo(plain(f"  {label:<{wide}}  {value}"))


def _dotted(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested values as dotted names."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _dotted(inner, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def _short(value: Any) -> str:
    """A value on one line; what is long is cut (--json has all of it)."""
    text = f"{value:.6g}" if isinstance(value, float) else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    count = len(value) if isinstance(value, list) else len(text)
    return text if len(text) <= WIDTH else f"{text[:WIDTH]}... ({count:,} in all)"
