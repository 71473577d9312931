"""The growing supports that a curve is measured at, as far as the training images go. No torch."""

from __future__ import annotations

from xmap.stages.datasets.dataset import TRAIN, VAL
from xmap.stages.fewshot.draw import fixed_shots, index_split, splits_of, support_split
from xmap.store.artifacts.artifact import Artifact
from xmap.store.errors import InputError

# Shots are doubled until the classes that have more give less than a quarter more labels in all.
WORTHWHILE = 1.25
LEAST = 2


def supports_of(images: Artifact, most: int) -> dict[int, bool]:
    """The numbers of shots to measure at, `most` at most, and whether each class has as many images: else it gives what it has.

    They are 1, 2, 4 and so on, and what there is; of features that hold fixed supports, theirs. Without a validation split half of each
    class is left to measure on. Raises `InputError` where that makes fewer than two.
    """
    fixed = fixed_shots(images)
    if fixed:
        found = [shots for shots in fixed if shots <= most]
        if len(found) < LEAST:
            raise InputError(
                f"features {images.name!r} hold supports of {', '.join(map(str, fixed))} shots, {len(found)} of them within --most {most}; "
                f"a curve wants {LEAST}: import features with more of them."
            )
        return dict.fromkeys(found, True)
    support_split(images, 1)
    counts, share = _counts(images), 1 if VAL in splits_of(images) else 2
    found = _doubled([min(count // share, most) for count in counts])
    if len(found) < LEAST:
        left = ", of which half are left to measure on" if share > 1 else ""
        raise InputError(
            f"features {images.name!r} have {max(counts)} training images of a class at most{left}; a curve wants {LEAST} numbers of "
            f"shots: label at least {LEAST * share} images a class."
        )
    return {shots: shots <= min(counts) for shots in found}


def _counts(images: Artifact) -> list[int]:
    """How many training images each class has; a draw counts images of one content once."""
    index = index_split(images, TRAIN)
    counts: list[int] = index.few(len(index), 0).counts(len(images.summary["classes"])).tolist()
    return counts


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
