"""How what an adapter says of images leaves `xmap predict`: as a table on the terminal, CSV, JSON lines or Parquet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xmap.cli.console import json_line, show
from xmap.cli.output import CSV, JSONL, PARQUET, SUFFIXES, TABLE, chosen_format, chosen_output, printed_to
from xmap.cli.spreadsheet import print_row
from xmap.cli.tables import print_table
from xmap.stages.predict.percent import percent
from xmap.store.errors import InputError

if TYPE_CHECKING:
    from xmap.stages.predict.answers import Answers
    from xmap.stages.predict.prediction import Asked, Prediction
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
FormOption = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="table, csv, jsonl, or parquet with -o. [as FILE's suffix says, else table]",
        show_default=False,
    ),
]
LinesOption = Annotated[bool, typer.Option("--json", help="The same as --format jsonl: one JSON object a line.")]
TopOption = Annotated[int, typer.Option("--top", min=1, metavar="N", help="Classes shown for each image in the table.")]


def chosen_way(form: str, output: str, json: bool, explain: bool) -> tuple[str, Output | None]:
    """The format and the file that the flags name. Raises `InputError` where they do not go together."""
    target = chosen_output(output)
    chosen = chosen_format(JSONL if json else form, target, FORMATS, BY_SUFFIX)
    if explain and chosen == CSV:
        raise InputError("--explain: a CSV has no place for the evidence; give --json, -o FILE.parquet or a table.")
    return chosen, target


def write(answers: Iterable[Answers], form: str, output: Output | None, asked: Asked, top: int) -> None:
    """Write answers as they come; a table shows the `top` classes of each."""
    predictions = (prediction for batch in answers for prediction in batch)
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
