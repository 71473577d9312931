"""Images that are there more than once, byte for byte: across splits, with different labels, within a class.

Every image is hashed anyway. Nothing is dropped unless somebody asks for it: what is said here is for the user to mend.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from blake3 import blake3

from xmap.stages.datasets.dataset import TEST, TRAIN, Dataset, Sample, known_contents, order
from xmap.stages.datasets.places.columns import Array
from xmap.store.errors import InputError

Pair = tuple[Sample, Sample]
# Files without a byte are bad images, not one image.
EMPTY = blake3().digest()


def repeats(dataset: Dataset) -> tuple[str, ...]:
    """One sentence for each way in which images of `dataset`, whose contents are known, repeat."""
    samples = dataset.samples
    groups = [[samples[row] for row in rows] for rows in _alike(known_contents(samples))]
    said = []
    for pick, sentence in KINDS:
        pairs = [pair for pair in map(pick, groups) if pair]
        if pairs:
            images = "1 image is" if len(pairs) == 1 else f"{len(pairs):,} images are"
            said.append(sentence.format(images, f"{pairs[0][0].sample_id!r} and {pairs[0][1].sample_id!r}"))
    return tuple(said)


def _alike(contents: Array) -> list[list[int]]:
    """The rows of each content that several have, in order."""
    if not len(contents):
        return []
    rows = np.argsort(contents, kind="stable")
    same = contents[rows[1:]] == contents[rows[:-1]]
    same &= (contents[rows[1:]] != b"") & (contents[rows[1:]] != EMPTY)
    inside = np.concatenate([same, [False]]) | np.concatenate([[False], same])
    first = np.flatnonzero(inside & ~np.concatenate([[False], same]))[1:]
    groups = np.split(rows[inside], np.searchsorted(np.flatnonzero(inside), first))
    return sorted(group.tolist() for group in groups if len(group))


def without_leaks(dataset: Dataset) -> Dataset:
    """The data set without the validation and test images whose bytes are in training too, and a remark that says how many.

    Raises `InputError` where no test image would be left.
    """
    samples, contents = dataset.samples, known_contents(dataset.samples)
    seen = np.unique(contents[samples.split(TRAIN)])
    stay = (samples.splits == order(TRAIN)) | ~np.isin(contents, seen[(seen != b"") & (seen != EMPTY)])
    tested = samples.split(TEST)
    if len(tested) and not stay[tested].any():
        them = "the one test image" if len(tested) == 1 else f"all {len(tested):,} test images"
        raise InputError(
            f"--drop-leaks would leave out {them} of {dataset.name!r}, for they are in training too, byte for byte; "
            "keep images apart for the test, or run without it."
        )
    left_out = len(samples) - int(stay.sum())
    remark = f"left out of validation and test, for they are in training too, byte for byte: {left_out:,}"
    return dataset.taking(np.flatnonzero(stay), *([remark] if left_out else []))


def _across_splits(group: Sequence[Sample]) -> Pair | None:
    return next(((group[0], other) for other in group if other.split != group[0].split), None)


def _of_several_classes(group: Sequence[Sample]) -> Pair | None:
    return next(((group[0], other) for other in group if other.label != group[0].label), None)


def _within_a_class(group: Sequence[Sample]) -> Pair | None:
    met: dict[tuple[str, int], Sample] = {}
    for sample in group:
        first = met.setdefault((sample.split, sample.label), sample)
        if first is not sample:
            return first, sample
    return None


KINDS: Sequence[tuple[Callable[[Sequence[Sample]], Pair | None], str]] = (
    (
        _across_splits,
        "{} in several splits, byte for byte, such as {}: what is tested was seen before; keep each in one split, or give --drop-leaks",
    ),
    (_of_several_classes, "{} in several classes, byte for byte, such as {}; keep each in the right one"),
    (_within_a_class, "{} in one class more than once, byte for byte, such as {}; in a draw they count once"),
)
