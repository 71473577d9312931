"""Images that are there more than once, byte for byte: across splits, with different labels, within a class.

Every image is hashed anyway. Nothing is dropped unless somebody asks for it: what is said here is for the user to mend.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from blake3 import blake3

from xmap.stages.datasets.dataset import TEST, TRAIN, Dataset, Sample
from xmap.stages.datasets.places.place import Place
from xmap.store.errors import InputError

Pair = tuple[Sample, Sample]
# Files without a byte are bad images, not one image.
NOTHING = blake3().hexdigest()


def repeats(dataset: Dataset, hashes: Mapping[Place, str]) -> tuple[str, ...]:
    """One sentence for each way in which images of `dataset` repeat; `hashes` are the blake3 of those that can be read."""
    found: dict[str, list[Sample]] = defaultdict(list)
    for sample in dataset.samples:
        found[hashes.get(sample.place, NOTHING)].append(sample)
    groups = [group for content, group in found.items() if len(group) > 1 and content != NOTHING]
    said = []
    for pick, sentence in KINDS:
        pairs = [pair for pair in map(pick, groups) if pair]
        if pairs:
            images = "1 image is" if len(pairs) == 1 else f"{len(pairs):,} images are"
            said.append(sentence.format(images, f"{pairs[0][0].sample_id!r} and {pairs[0][1].sample_id!r}"))
    return tuple(said)


def without_leaks(dataset: Dataset, hashes: Mapping[Place, str]) -> Dataset:
    """The data set without the validation and test images whose bytes are in training too, and a remark that says how many.

    Raises `InputError` where no test image would be left.
    """
    seen = {hashes[sample.place] for sample in dataset.split(TRAIN) if sample.place in hashes} - {NOTHING}
    kept = tuple(sample for sample in dataset.samples if sample.split == TRAIN or hashes.get(sample.place) not in seen)
    tested = len(dataset.split(TEST))
    if tested and not any(sample.split == TEST for sample in kept):
        them = "the one test image" if tested == 1 else f"all {tested:,} test images"
        raise InputError(
            f"--drop-leaks would leave out {them} of {dataset.name!r}, for they are in training too, byte for byte; "
            "keep images apart for the test, or run without it."
        )
    left_out = len(dataset.samples) - len(kept)
    remark = f"left out of validation and test, for they are in training too, byte for byte: {left_out:,}"
    return replace(dataset, samples=kept, remarks=(*dataset.remarks, *([remark] if left_out else [])))


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
