"""The growing supports that a curve is measured at, as far as the training images go. No torch."""

from __future__ import annotations

from xmap.stages.datasets.dataset import TRAIN, VAL
from xmap.stages.fewshot.draw import fixed_shots, index_split, splits_of, support_split
from xmap.store.artifacts.artifact import Artifact
from xmap.store.errors import InputError

# Shots are doubled until the classes that have more give less than a quarter more labels in all.
WORTHWHILE = 1.25
LEAST = 2


def supports_of(images: Artifact, most: int) -> list[int]:
    """The numbers of shots to measure at, `most` at most: 1, 2, 4 and so on, and what there is; those that the features hold fixed.

    A class with fewer images gives what it has. Without a validation split half of each class is left to measure on. Raises
    `InputError` where that makes fewer than two.
    """
    fixed = fixed_shots(images)
    support_split(images, fixed[0] if fixed else 1)
    found = [shots for shots in fixed if shots <= most] if fixed else _doubled(_counts(images, most))
    if len(found) < LEAST:
        has = f"supports of {', '.join(map(str, fixed)) or '1'} shots up to {most}" if fixed or most < LEAST else "too few training images"
        left = "" if fixed or VAL in splits_of(images) else ", half of which are left to measure on"
        raise InputError(
            f"features {images.name!r} hold {has}{left}; a curve wants at least {LEAST} numbers of shots: label more images a class, or "
            f"raise --most above {most}."
        )
    return found


def _counts(images: Artifact, most: int) -> list[int]:
    """How many training images each class may give."""
    index = index_split(images, TRAIN)
    share = 1 if VAL in splits_of(images) else 2
    # A draw counts images of one content once.
    counts = index.few(len(index), 0).counts(len(images.summary["classes"]))
    return [min(count // share, most) for count in counts.tolist()]


def _doubled(counts: list[int]) -> list[int]:
    found: list[int] = []
    reached = 0
    shots = [1 << power for power in range(max(counts, default=0).bit_length())]
    for count in sorted({*shots, max(counts, default=0)} - {0}):
        total = sum(min(count, given) for given in counts)
        if total >= WORTHWHILE * reached:
            found.append(count)
            reached = total
    return found
