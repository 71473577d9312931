"""Answers on the terminal: one table, and the evidence of each image."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from xmap.cli.console import show
from xmap.cli.tables import print_table
from xmap.stages.adapters.percent import percent

if TYPE_CHECKING:
    from xmap.stages.predict.prediction import Asked, Prediction

# Classes of an image that a table names unless told otherwise, and classes of a set.
SHOWN, NAMED = 3, 5
# Columns that only some ask for.
ASKED_SETS, ASKED_STRANGE = ("set", "size"), ("nearest", "strangeness")
# What a narrow terminal leaves out.
SPARE = ("zero-shot %", "next", "zero-shot")
NUMBERS = ("probability %", "strangeness", "size", "zero-shot %")


def print_answers(answers: Iterable[Prediction], asked: Asked, top: int) -> None:
    """All of them as one table, with the `top` classes of each; what is asked for as evidence comes after it."""
    predictions = list(answers)
    rows = [_row(prediction, top) for prediction in predictions]
    unasked = (() if asked.sets else ASKED_SETS) + (() if asked.rejection else ASKED_STRANGE)
    columns = [name for name in rows[0] if name not in unasked]
    numbers = [name for name in columns if name in NUMBERS]
    print_table(columns, [[row[name] for name in columns] for row in rows], right=numbers, spare=SPARE, paths=columns[:1])
    if asked.pool:
        show(f"the adapter learned from {asked.pool} too")
    for prediction in predictions if asked.neighbors else ():
        if not prediction.error:
            _explain(prediction, asked, top)


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


def _explain(prediction: Prediction, asked: Asked, top: int) -> None:
    said = prediction.class_name or f"none of these, nearest {prediction.nearest}"
    show(f"{prediction.path}: {said}, {percent(prediction.probability)} %{_gamma(prediction.gamma)}")
    facts = prediction.facts(explain=True)
    evidence = facts["evidence"][:top]
    # A method without a cache, and one that joins those of several encoders, has none.
    sides = [side for side in ("image", "text") if any(row[f"affinity_{side}"] is not None for row in evidence)]
    columns = ("class", "probability %", *(f"{side} affinity" for side in sides))
    rows = [
        (row["class"], percent(facts["probabilities"][row["class"]]), *(_number(row[f"affinity_{side}"]) for side in sides))
        for row in evidence
    ]
    print_table(columns, rows, right=columns[1:])
    if prediction.encoder_said:
        shares = map(percent, prediction.encoder_share)
        voices = list(zip(asked.encoders, prediction.encoder_said, shares, strict=True))
        print_table(("encoder", "says alone", "share %"), voices, right=("share %",))
    near = [(found.sample_id, found.class_name, f"{found.affinity:.3f}") for found in prediction.neighbors]
    print_table(("nearest cached image", "its class", "affinity"), near, right=("affinity",), paths=("nearest cached image",))


def _gamma(gamma: float | None) -> str:
    return "" if gamma is None else f"; {100 * gamma:.0f} % of the fused affinity is the image side's"


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.3f}"
