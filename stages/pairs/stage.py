"""The stage `pairs`: which images are there twice. What is tested is no measure where it was seen before.

Byte for byte they are found by content. Nearly the same are those whose features have a cosine above a threshold; each image is
compared with the nearest of every split by way of an index, so that no matrix of all pairs is ever made. The threshold comes from training
images alone: nothing is chosen on validation or test images here, and no other stage reads what is found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from xmap.stages.adapters.neighbors import nearest_others
from xmap.stages.build_cache.index_choice import CODED_RECALL, choose_index
from xmap.stages.build_cache.recall import raise_effort
from xmap.stages.config import AUTO, PairsConfig
from xmap.stages.datasets.dataset import SPLITS, TRAIN
from xmap.stages.fewshot.draw import even_rows
from xmap.stages.pairs.contents import Images, Units
from xmap.stages.pairs.copies import NEAREST, see_copies
from xmap.stages.workplace.place import Workplace
from xmap.stages.workplace.progress import Progress
from xmap.store.artifacts.artifact import Artifact
from xmap.store.artifacts.fingerprint import Json
from xmap.store.artifacts.identity import Identity
from xmap.store.disk.files import scratch_file
from xmap.store.formats.index import VectorIndex
from xmap.store.formats.pairs import PAIRS, PAIRS_TABLE, write_pairs
from xmap.store.formats.tables import Array

# How far a near duplicate may be, as a share of how far a training image usually is from the nearest other one, and on how many training
# images that is measured. Chosen on training and validation images (docs/benchmarks.md#leaks).
SHARE, MEASURED = 0.2, 1_000
# The GB that an index over a split may take, and the recall of the nearest that the threshold is measured with.
MEMORY, RECALL = 4.0, 0.95
# How far codes may be from the cosines that they stand for: what they find is measured again, to within the rounding of unit vectors.
SLACK, ROUNDING = 0.02, 1e-6


@dataclass(frozen=True)
class Found:
    """Pairs (P,) of a row of `source` and a row of `target`, with their cosines (P,), all exact or all not."""

    source: Images
    target: Images
    rows: Array
    others: Array
    cosines: Array
    exact: bool

    def table(self) -> pa.Table:
        """As rows of the table of pairs."""
        source, target, count = self.source, self.target, len(self.rows)
        columns = {
            "split": pa.array([source.split] * count, pa.string()),
            "sample_id": source.ids.take(pa.array(self.rows, pa.int64())),
            "label": pa.array(source.labels[self.rows], pa.int32()),
            "other_split": pa.array([target.split] * count, pa.string()),
            "other_id": target.ids.take(pa.array(self.others, pa.int64())),
            "other_label": pa.array(target.labels[self.others], pa.int32()),
            "cosine": pa.array(self.cosines, pa.float32()),
            "exact": pa.array([self.exact] * count, pa.bool_()),
        }
        return pa.table([columns[field.name] for field in PAIRS], PAIRS)


def find_pairs(workplace: Workplace, identity: Identity, images: Artifact, config: PairsConfig) -> Artifact:
    """Find and store the pairs. `summary["leaks"]` counts, for each split but training, the images that an earlier split has too.

    Raises `ArtifactDamaged`.
    """
    with workplace.build(identity) as held:
        if isinstance(held, Artifact):
            return held
        with scratch_file(held.path) as scratch:
            splits = [Units(found, scratch) for split in SPLITS if len(found := Images.of(images, split))]
            index = _index(splits[0])
            threshold = threshold_of(splits[0], index) if config.near == AUTO else config.near
            pairs = list(_search(splits, index, threshold, workplace.progress))
        whole = pa.concat_tables([PAIRS.empty_table(), *(found.table() for found in pairs)])
        write_pairs(held.path / PAIRS_TABLE, whole, identity.fingerprint)
        return held.commit({
            "dataset": str(images.summary.get("dataset", images.name)),
            "classes": list(images.summary["classes"]),
            "threshold": round(float(threshold), 6),
            "duplicates": sum(len(found.rows) for found in pairs if found.source is found.target),
            "leaks": {units.images.split: _leaks(units.images, pairs) for units in splits if units.images.split != TRAIN},
        })  # fmt: skip


def threshold_of(train: Units, index: VectorIndex) -> float:
    """The cosine from which two images are nearly the same: from `SHARE` as far as a training image usually is from the nearest other one.

    The median is that of some images at even steps; less than half of them being there twice moves it little.
    """
    if index.effort is not None:
        raise_effort(index, train.chunks, RECALL)
    rows = even_rows(len(train), MEASURED)
    vectors = train.take(rows)
    near = nearest_others(index, vectors, 1, rows).rows
    found = np.flatnonzero((near >= 0).any(axis=1))
    if not len(found):
        return 1.0
    return 1.0 - SHARE * (1.0 - float(np.median(_cosines(vectors[found], train.take(near[found, 0])))))


def _search(splits: Sequence[Units], index: VectorIndex, threshold: float, progress: Progress) -> Iterator[Found]:
    """The pairs within each split and between each two, the later one as the source; `index` is that of the first."""
    progress.start("compare images", sum(place * len(source) for place, source in enumerate(splits, 1)))
    for place, target in enumerate(splits):
        index = _index(target) if place else index
        see_copies(index, target, threshold)
        for source in splits[place:]:
            yield _same(source.images, target.images)
            yield _near(source, target, index, threshold, progress)


def _index(units: Units) -> VectorIndex:
    factory = choose_index(len(units), units.width, MEMORY, CODED_RECALL).factory
    return VectorIndex.build_in_chunks(units.chunks, len(units), units.width, factory)


def _same(source: Images, target: Images) -> Found:
    """Each image with the first of the target that has its bytes."""
    there, others = target.find(source.keys)
    if source is target:
        there &= others != np.arange(len(source))
    rows = np.flatnonzero(there)
    return Found(source, target, rows, others[rows], np.ones(len(rows)), exact=True)


def _near(source: Units, target: Units, index: VectorIndex, threshold: float, progress: Progress) -> Found:
    """Each image with the nearest of the target that are other contents."""
    found, start = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))], 0
    for chunk in source.chunks():
        near = index.search(chunk, NEAREST + 1)
        queries, places = np.nonzero(near.scores >= threshold - SLACK)
        others = near.rows[queries, places]
        cosines = _cosines(chunk[queries], target.take(others))
        own = source.images.keys[source.images.first[queries + start]] == target.images.keys[target.images.first[others]]
        kept = (cosines >= threshold - ROUNDING) & ~own
        found.append((queries[kept] + start, others[kept], cosines[kept]))
        start += len(chunk)
        progress.advance(len(chunk))
    numbers, others, cosines = (np.concatenate(parts) for parts in zip(*found, strict=True))
    rows, asked = source.images.rows_of(numbers)
    return _once(Found(source.images, target.images, rows, target.images.first[others][asked], cosines[asked], exact=False))


def _cosines(units: Array, others: Array) -> Array:
    """The cosine (P,) of each two rows, to the same digit however many there are."""
    cosines: Array = np.einsum("pc,pc->p", units, others, dtype=np.float64).clip(-1.0, 1.0)
    return cosines


def _once(found: Found) -> Found:
    """Within a split each pair comes from both sides: it is kept once, the first row as the other."""
    if found.source is not found.target:
        return found
    low, high = np.minimum(found.rows, found.others), np.maximum(found.rows, found.others)
    kept = np.unique(low * len(found.source) + high, return_index=True)[1]
    return Found(found.source, found.target, high[kept], low[kept], found.cosines[kept], found.exact)


def _leaks(images: Images, pairs: Sequence[Found]) -> Mapping[str, Json]:
    """How many images a split has, and how many of them an earlier one has too: byte for byte, and else nearly."""
    seen = {exact: np.zeros(len(images), bool) for exact in (True, False)}
    for found in pairs:
        if found.source is images and found.target is not images:
            seen[found.exact][found.rows] = True
    return {"images": len(images), "exact": int(seen[True].sum()), "near": int((seen[False] & ~seen[True]).sum())}
