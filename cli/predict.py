"""`xmap predict`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xmap.cli.console import json_line, show
from xmap.cli.options import AdapterOption, MethodOption, OutputOption, QuietOption, SeedOption, StoreOption, opened
from xmap.cli.output import CSV, JSONL, PARQUET, SUFFIXES, TABLE, chosen_format, chosen_output, printed_to
from xmap.cli.progress import progress_on_stderr
from xmap.cli.spreadsheet import print_row
from xmap.cli.tables import print_table
from xmap.stages.predict.percent import percent
from xmap.store.errors import InputError

if TYPE_CHECKING:
    from xmap.stages.predict.prediction import Asked, Prediction
    from xmap.stages.workplace.progress import Progress
    from xmap.store.disk.output import Output

FORMATS = (TABLE, CSV, JSONL, PARQUET)
COLUMNS = ("path", "class", "probability", "second", "second_probability", "zero_shot", "error")
SET_COLUMNS = ("set", "set_size")
STRANGE_COLUMNS = ("nearest", "strangeness")
# One JSON object a line, also under the name .json.
BY_SUFFIX = {**SUFFIXES, ".json": JSONL}
# Classes of a set that a table names.
NAMED = 5
# What a narrow terminal leaves out.
SPARE = ("zero-shot %", "next", "zero-shot")
NUMBERS = ("probability %", "strangeness", "size", "zero-shot %")


def command(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Images or folders of images; - reads one path a line from stdin.")],
    explain: Annotated[
        bool, typer.Option("--explain", help="Show the evidence: both caches' affinities and the nearest cached images.")
    ] = False,
    sets: Annotated[
        float | None,
        typer.Option(
            "--sets",
            metavar="SHARE",
            help="Also the set of classes that has the right one for SHARE of images, as 0.9.",
            show_default=False,
        ),
    ] = None,
    sets_by: Annotated[
        str,
        typer.Option("--sets-by", metavar="WHAT", help="all, or class: SHARE holds for each class that has samples enough."),
    ] = "all",
    reject: Annotated[
        float | None,
        typer.Option(
            "--reject",
            metavar="SHARE",
            help="No class for an image of none of the classes, where SHARE of the others is accepted, as 0.95.",
            show_default=False,
        ),
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, metavar="N", help="Classes shown for each image in the table.")] = 3,
    adapter: AdapterOption = "",
    method: MethodOption = "",
    seed: SeedOption = None,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="table, csv, jsonl, or parquet with -o. [as FILE's suffix says, else table]",
            show_default=False,
        ),
    ] = "",
    output: OutputOption = "",
    json: Annotated[bool, typer.Option("--json", help="The same as --format jsonl: one JSON object a line.")] = False,
    model: Annotated[
        str, typer.Option("--model", metavar="NAME", help="The encoder, where the adapter comes without it, or from elsewhere.")
    ] = "",
    pretrained: Annotated[str, typer.Option("--pretrained", metavar="TAG", help="Its weights.")] = "",
    cache_dir: Annotated[str, typer.Option("--cache-dir", metavar="DIR", help="Where open_clip keeps downloaded weights.")] = "",
    device: Annotated[str, typer.Option("--device", metavar="DEVICE", help="auto, cpu or cuda.")] = "auto",
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Images in one forward pass.")] = 64,
    workers: Annotated[int, typer.Option("--workers", min=0, help="Threads that decode images.")] = 4,
    depth: Annotated[str, typer.Option("--depth", metavar="BITS", help="Bits of the values in images of more than 8. [as extracted]")] = "",
    max_pixels: Annotated[
        int | None, typer.Option("--max-pixels", min=1, metavar="N", help="A larger image is a bad one. [as extracted]", show_default=False)
    ] = None,
    store: StoreOption = "",
    quiet: QuietOption = False,
) -> None:
    """Classify new images with a trained adapter: class probabilities, and the encoder's own zero-shot answer beside them.

    Takes the newest adapter of a store with one data set, the one named, that of a data set named, or a folder that `xmap export`
    wrote. An image that cannot be read is listed and the others go on; a path that is not there is an error.

    Example: xmap predict holiday/ --explain
    """
    target = chosen_output(output)
    chosen = chosen_format(JSONL if json else form, target, FORMATS, BY_SUFFIX)
    if explain and chosen == CSV:
        raise InputError("--explain: a CSV has no place for the evidence; give --json, -o FILE.parquet or a table.")
    from xmap.pipeline.adapters.choice import load_chosen
    from xmap.pipeline.adapters.given_images import image_paths, require_there

    require_there([path for path in paths if path != "-"])
    with progress_on_stderr(quiet) as progress:
        found = image_paths(_listed(paths), progress)
        loaded = load_chosen(opened(store, adapter), adapter, method, seed, progress.say)
        asked = loaded.asked(explain, sets, sets_by, reject)
        rules = loaded.rules(depth, max_pixels)
        encoder = loaded.encoder(model, pretrained, cache_dir, device)
        made = loaded.artifact.manifest["created"]
        progress.say(f"adapter {loaded.artifact.name} of {made}, {len(loaded.classes)} classes, on {encoder.device}")
        for promised in (asked.sets, asked.rejection):
            if promised:
                progress.say(str(promised))
        predictions = loaded.stream(found, encoder, progress, batch_size, workers, asked, rules)
        _write(_noticed(predictions, progress, len(found)), chosen, target, asked, top)


def _listed(paths: list[str]) -> list[str]:
    """The given paths, with `-` replaced by the lines of stdin."""
    listed: list[str] = []
    for path in paths:
        # A name may hold every other sign that parts lines.
        listed += [line.rstrip("\r") for line in sys.stdin.read().split("\n") if line.strip()] if path == "-" else [path]
    return listed


def _noticed(predictions: Iterable[Prediction], progress: Progress, total: int) -> Iterator[Prediction]:
    """The same predictions, and a line for each image that could not be read. Raises `InputError` where none could be."""
    bad = 0
    for prediction in predictions:
        if prediction.error:
            bad += 1
            progress.say(f"{prediction.path}: {prediction.error.kind}, {prediction.error.message}")
        yield prediction
    if bad:
        progress.say(f"{bad:,} of {total:,} images could not be read")
    if bad == total:
        raise InputError(f"none of the {total:,} images could be read; check the paths above.")


def _write(predictions: Iterator[Prediction], form: str, output: Output | None, asked: Asked, top: int) -> None:
    if output and form == PARQUET:
        from xmap.stages.predict.prediction import encode_predictions

        with output.open() as file:
            encode_predictions(file, predictions, asked)
        return
    with printed_to(output, spreadsheet=form == CSV):
        if form == TABLE:
            _print(list(predictions), asked, top)
        elif form == CSV:
            _print_csv(predictions, asked)
        else:
            for prediction in predictions:
                typer.echo(json_line(prediction.facts(bool(asked.neighbors))))


def _print_csv(predictions: Iterable[Prediction], asked: Asked) -> None:
    columns = (*COLUMNS, *(STRANGE_COLUMNS if asked.rejection else ()), *(SET_COLUMNS if asked.sets else ()))
    print_row(columns)
    for prediction in predictions:
        facts = prediction.facts()
        if prediction.error:
            facts["error"] = f"{prediction.error.kind}: {prediction.error.message}"
        print_row(facts.get(column) for column in columns)


def _print(predictions: list[Prediction], asked: Asked, top: int) -> None:
    rows = [_row(prediction, top) for prediction in predictions]
    unasked = (() if asked.sets else ("set", "size")) + (() if asked.rejection else STRANGE_COLUMNS)
    columns = [name for name in rows[0] if name not in unasked]
    numbers = [name for name in columns if name in NUMBERS]
    print_table(columns, [[row[name] for name in columns] for row in rows], right=numbers, spare=SPARE, paths=columns[:1])
    for prediction in predictions if asked.neighbors else ():
        if not prediction.error:
            _explain(prediction, top)


def _row(prediction: Prediction, top: int) -> dict[str, str]:
    # One that is rejected has no class: all are the next ones.
    bad, first = prediction.error, 0 if prediction.rejected else 1
    others = f"{bad.kind}: {bad.message}" if bad else ", ".join(f"{name} {percent(chance)}" for name, chance in prediction.top(top)[first:])
    named = prediction.prediction_set or ()
    more = f" and {len(named) - NAMED:,} more" if len(named) > NAMED else ""
    return {
        "image": prediction.path,
        "class": prediction.class_name,
        "probability %": "" if bad or prediction.rejected else percent(prediction.probability),
        "nearest": prediction.nearest,
        "strangeness": _number(prediction.strangeness),
        "set": f"all {len(named):,} classes" if more and len(named) == len(prediction.classes) else ", ".join(named[:NAMED]) + more,
        "size": "" if bad else f"{len(named):,}",
        "next": others,
        "zero-shot": prediction.zero_shot_name,
        "zero-shot %": "" if bad else percent(float(prediction.zero_shot.max())),
    }


def _explain(prediction: Prediction, top: int) -> None:
    said = prediction.class_name or f"none of these, nearest {prediction.nearest}"
    show(f"{prediction.path}: {said}, {percent(prediction.probability)} %{_gamma(prediction.gamma)}")
    facts = prediction.facts(explain=True)
    columns = ("class", "probability %", "image affinity", "text affinity")
    rows = [
        (row["class"], percent(facts["probabilities"][row["class"]]), _number(row["affinity_image"]), _number(row["affinity_text"]))
        for row in facts["evidence"][:top]
    ]
    print_table(columns, rows, right=columns[1:])
    near = [(found.sample_id, found.class_name, f"{found.affinity:.3f}") for found in prediction.neighbors]
    print_table(("nearest cached image", "its class", "affinity"), near, right=("affinity",), paths=("nearest cached image",))


def _gamma(gamma: float | None) -> str:
    return "" if gamma is None else f"; {100 * gamma:.0f} % of the fused affinity is the image side's"


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.3f}"
