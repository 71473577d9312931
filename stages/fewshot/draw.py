"""Which samples a run may see: the few-shot support and the few validation samples beside it.

How they are drawn is in `split_index`. Unreadable images are not in the feature table and are never drawn. Nothing here opens the test
split.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from xmap.stages.config import CacheConfig, Protocol
from xmap.stages.datasets.dataset import TEST, TRAIN, VAL
from xmap.stages.fewshot.split_index import SplitIndex
from xmap.store.artifacts.artifact import Artifact
from xmap.store.errors import InputError
from xmap.store.formats.features import ImageFeatures, join, read_parts
from xmap.store.formats.samples import SAMPLES, columns_of, content_order
from xmap.store.formats.tables import Array, read_table

SUPPORT = "support-"
VALIDATION_SHOTS = 4
# Enough to know one number.
CALIBRATION_MOST = 1000
KEPT_MOST = 1000
NOTHING = "nothing (fixed defaults)"
NOTHING_KEPT = "nothing kept apart"
WORDS = {VAL: "validation", TRAIN: "train remainder"}
KEPT_WORDS = {split: f"{words} kept apart" for split, words in WORDS.items()}


def even_rows(total: int, most: int) -> Array:
    """Of `total` rows all, or `most` of them at even steps, rising."""
    return np.unique(np.linspace(0, total - 1, min(total, most)).astype(np.int64))


@dataclass(frozen=True)
class Drawn:
    """A support: its samples, the split they come from, whether that split fixes them, and remarks for people."""

    index: SplitIndex
    split: str
    fixed: bool
    remarks: tuple[str, ...] = ()


def splits_of(images: Artifact) -> Mapping[str, int]:
    """Samples in each split of an images artifact, from its manifest alone; empty splits are left out."""
    counts: Mapping[str, int] = images.summary["counts"]
    return {split: count for split, count in counts.items() if count}


def fixed_shots(images: Artifact) -> tuple[int, ...]:
    """The shot counts for which the features hold a fixed support (imported ones do), rising; empty where it is drawn."""
    names = (name.removeprefix(SUPPORT) for name in splits_of(images) if name.startswith(SUPPORT))
    return tuple(sorted(int(name) for name in names if name.isdigit()))


def support_split(images: Artifact, shots: int) -> str:
    """The split that holds the support of `shots`. Raises `InputError` where there is none."""
    known = fixed_shots(images)
    if known:
        if shots not in known:
            listed = ", ".join(str(count) for count in known)
            raise InputError(
                f"features {images.name!r} hold a support for {listed} shots, not for {shots}; choose one of these with --shots."
            )
        return f"{SUPPORT}{shots}"
    if TRAIN not in splits_of(images):
        raise InputError(f"features {images.name!r} hold no training images; extract a dataset that has some.")
    return TRAIN


def draw_support(images: Artifact, config: CacheConfig, classes: Sequence[str], seed: int | None) -> Drawn:
    """The support of `config.shots` a class: the fixed one where the features have it, else drawn from train by `seed`.

    Raises `InputError` for a missing fixed support, a missing seed, an empty support, and, unless `config.short` is "keep",
    for classes with fewer samples than shots.
    """
    split = support_split(images, config.shots)
    fixed = split != TRAIN
    index = index_split(images, split)
    if not fixed:
        if seed is None:
            raise InputError("the support is drawn from the training images: give a seed with --seeds.")
        index = index.few(config.shots, seed)
    if not len(index):
        raise InputError(f"features {images.name!r} hold no readable training image; see errors.parquet in {images.path}.")
    remarks = _short_classes(index.counts(len(classes)), classes, config, fixed)
    return Drawn(index, split, fixed, remarks)


def _short_classes(counts: Array, classes: Sequence[str], config: CacheConfig, fixed: bool) -> tuple[str, ...]:
    short = [(int(count), name) for name, count in zip(classes, counts, strict=True) if count < config.shots]
    if not short:
        return ()
    count, name = min(short)
    verb = "class has" if len(short) == 1 else "classes have"
    text = f"{len(short)} {verb} fewer than {config.shots} training images ({name!r} has {count})"
    if config.short == "error" and not fixed:
        least = f"--shots {count}, or " if count else ""
        raise InputError(f"{text}; choose {least}--short keep to take what there is.")
    return (f"{text}; taken as they are.",)


@dataclass(frozen=True)
class Beside:
    """The samples beside a support, of which all draws are made: those of validation, else what it leaves of the training images."""

    images: Artifact
    split: str
    index: SplitIndex

    @classmethod
    def of(cls, images: Artifact, support: Collection[str] = ()) -> Beside:
        """Those beside the samples `support`, by id."""
        splits = splits_of(images)
        if VAL in splits:
            return cls(images, VAL, index_split(images, VAL))
        if TRAIN in splits and not fixed_shots(images):
            return cls(images, TRAIN, index_split(images, TRAIN).without(set(support)))
        return cls(images, VAL, SplitIndex((), np.empty(0, np.int32), ()))

    def all_choose(self, protocol: Protocol) -> bool:
        """Whether a protocol chooses on all of them."""
        return protocol == "paper" and self.split == VAL

    def take(self, chosen: SplitIndex) -> ImageFeatures:
        """The plain rows of some of them."""
        return take_samples(self.images, self.split, set(chosen.sample_ids), plain=True).by_content()


def draw_validation(beside: Beside, shots: int, seed: int, protocol: Protocol, classes: int) -> tuple[ImageFeatures | None, str]:
    """The samples that settings are chosen on (plain views), and in words what they are; None where there are none.

    "few" draws `min(shots, 4, available)` of each class from the val split: a user with K labelled images a class does not
    have hundreds more to tune on; those of `draw_kept` are not among them. "paper" takes the whole val split, as many papers do.
    Without a val split both take training samples that are not in the support.
    """
    index, whole = beside.index, beside.all_choose(protocol)
    chosen = index if whole else index.without(set(index.half(KEPT_MOST, seed).sample_ids)).few(min(shots, VALIDATION_SHOTS), seed)
    if not len(chosen):
        return None, NOTHING
    what = f"all {len(chosen)}" if whole else per_class(chosen.counts(classes))
    return beside.take(chosen), f"{WORDS[beside.split]}, {what}"


def draw_calibration(beside: Beside, seed: int) -> tuple[ImageFeatures | None, str]:
    """The samples that a temperature is fitted on (plain views), and in words what they are; None where there are none.

    Whatever their class, as they come: drawn evenly by class, as those are that settings are chosen on, they would speak for other
    data than an adapter will meet. Some of those are among them.
    """
    chosen = beside.index.some(CALIBRATION_MOST, seed)
    if not len(chosen):
        return None, NOTHING
    return beside.take(chosen), f"{WORDS[beside.split]}, {len(chosen):,} of {len(beside.index):,} samples"


def draw_kept(beside: Beside, seed: int, protocol: Protocol = "few") -> tuple[ImageFeatures | None, str]:
    """The samples that are kept apart from all choices (plain views), and in words what they are; None where there are none.

    They are drawn before those that settings are chosen on, whatever their class: so they are exchangeable with new ones. What a draw
    evenly by class leaves would not be, as it lacks the small classes. Where "paper" chooses on the whole val split, none are kept.
    """
    chosen = beside.index.half(KEPT_MOST, seed)
    if beside.all_choose(protocol) or not len(chosen):
        return None, NOTHING_KEPT
    return beside.take(chosen), KEPT_WORDS[beside.split]


def per_class(counts: Array) -> str:
    """Samples of each class (N,) in words; how few the rarest has differs from seed to seed, and is not said."""
    return f"{'up to ' if counts.min() < counts.max() else ''}{counts.max()} a class"


def index_split(images: Artifact, split: str) -> SplitIndex:
    """The samples of a split, one a plain view. Features are not read: a whole training set would not fit in memory."""
    paths = split_files(images, split)
    table = read_table(paths, types=columns_of(paths[0]))
    plain = table.filter(pc.equal(table["view"], 0))
    plain = plain.take(content_order([plain]))
    ids, told = plain["sample_id"].to_pylist(), plain.column_names
    units = [content.hex() for content in plain["content"].to_pylist()] if "content" in told else ids
    groups = plain["group"].to_pylist() if "group" in told else []
    return SplitIndex(tuple(ids), plain["label"].to_numpy().astype(np.int32), tuple(units), tuple(groups))


def take_samples(images: Artifact, split: str, ids: Collection[str], plain: bool = False) -> ImageFeatures:
    """The rows of the given samples (all views, or view 0 alone), in file order. Raises `InputError` when the split lacks one of them."""
    return join(list(take_parts(images, split, ids, plain)))


def take_parts(images: Artifact, split: str, ids: Collection[str], plain: bool = False) -> Iterator[ImageFeatures]:
    """What `take_samples` gives, some files at a time: a file holds whole samples."""
    found: set[str] = set()
    for part in read_parts(_chosen(split_files(images, split), ids, plain)):
        found.update(part.sample_ids)
        yield part
    missing = sorted(set(ids) - found)
    if missing:
        raise InputError(f"features {images.name!r} have no {split} sample {missing[0]!r}; the cache was built from other features.")


def _chosen(paths: Sequence[Path], ids: Collection[str], plain: bool) -> Iterator[tuple[Path, Array]]:
    """The rows of the given samples in each file that has some."""
    for path in paths:
        table = read_table(path, types=SAMPLES)
        pairs = zip(table["sample_id"].to_pylist(), table["view"].to_pylist(), strict=True)
        rows = [row for row, (sample, view) in enumerate(pairs) if sample in ids and not (plain and view)]
        if rows:
            yield path, np.asarray(rows, dtype=np.int64)


def split_files(images: Artifact, split: str) -> list[Path]:
    """The feature files of a split. Raises `InputError` for the test split, which evaluation alone opens, and for an absent one."""
    if split == TEST:
        raise InputError("the test split is opened by evaluation alone.")
    found = feature_files(images, split)
    if not found:
        raise InputError(f"features {images.name!r} have no split {split!r}; they hold {', '.join(splits_of(images))}.")
    return found


def feature_files(images: Artifact, split: str) -> list[Path]:
    """The feature files of any split, in order."""
    return [path for path in images.files(prefix=f"{split}-", suffix=".parquet") if path.stem.removeprefix(f"{split}-").isdigit()]
