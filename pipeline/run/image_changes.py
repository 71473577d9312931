"""Which images came, went, or changed class or split between two versions of a data set, by their names.

A file of the same name that is gone from one folder and came in another is the same image, moved: that is how folders are relabelled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import PurePosixPath

from xmap.stages.datasets.dataset import Dataset
from xmap.store.artifacts.artifact import Artifact
from xmap.store.errors import ArtifactDamaged

# Split and class by sample id.
Listing = Mapping[str, tuple[str, str]]
# Reading the names of more takes longer than they are worth as a remark.
MOST = 200_000
BAD = "errors.parquet"


@dataclass(frozen=True)
class ImageChanges:
    """Sample ids, sorted; those that moved by their new name."""

    added: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    relabelled: tuple[str, ...] = ()
    in_another_split: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any(ids for _, ids in self.kinds())

    def kinds(self) -> list[tuple[str, tuple[str, ...]]]:
        """Each kind of change in words, and its images."""
        return [(field.name.replace("_", " "), getattr(self, field.name)) for field in fields(self)]

    def __str__(self) -> str:
        parts = [(len(ids), kind) for kind, ids in self.kinds() if ids]
        if not parts:
            return "no image added, gone or relabelled"
        (count, kind), *rest = parts
        first = f"{count:,} image{'' if count == 1 else 's'} {kind}"
        return ", ".join([first, *(f"{count:,} {kind}" for count, kind in rest)])


def image_changes(before: Listing, after: Listing) -> ImageChanges:
    """What became of the images of `before`."""
    gone, came = before.keys() - after.keys(), after.keys() - before.keys()
    moved = _moved(gone, came)
    pairs = [(name, name) for name in before.keys() & after.keys()] + [(old, new) for new, old in moved.items()]
    return ImageChanges(
        tuple(sorted(came - moved.keys())),
        tuple(sorted(gone - set(moved.values()))),
        tuple(sorted(new for old, new in pairs if before[old][1] != after[new][1])),
        tuple(sorted(new for old, new in pairs if before[old][0] != after[new][0])),
    )


def _moved(gone: Iterable[str], came: Iterable[str]) -> dict[str, str]:
    """The old name of each image that came under a file name that only one image had that is gone."""
    old, new = ({PurePosixPath(name).name: name for name in names} for names in (_single(gone), _single(came)))
    return {new[file]: old[file] for file in new.keys() & old.keys()}


def _single(names: Iterable[str]) -> list[str]:
    listed = list(names)
    count = Counter(PurePosixPath(name).name for name in listed)
    return [name for name in listed if count[PurePosixPath(name).name] == 1]


def listing_of(dataset: Dataset) -> Listing:
    """The images of a data set as they are now."""
    return {sample.sample_id: (sample.split, dataset.classes[sample.label]) for sample in dataset.samples}


def stored_listing(images: Artifact) -> Listing | None:
    """The images that were extracted; None where there are too many to read, or their files are damaged or say nothing of it.

    Of images that could not be read the class is not stored: it counts as the one that they are compared with.
    """
    from xmap.store.formats.features import SAMPLES
    from xmap.store.formats.tables import read_table

    counts, classes = images.summary.get("counts"), images.summary.get("classes")
    if not isinstance(counts, Mapping) or not isinstance(classes, list) or sum(counts.values()) > MOST:
        return None
    found: dict[str, tuple[str, str]] = {}
    try:
        for path in images.files(suffix=".parquet"):
            if path.name == BAD:
                continue
            split = path.name.rpartition("-")[0]
            table = read_table(path, types=SAMPLES)
            for name, label, view in zip(*(table[column].to_pylist() for column in SAMPLES.names), strict=True):
                if view == 0:
                    found[name] = split, str(classes[label])
    except (ArtifactDamaged, IndexError):
        return None
    return found


def bad_images(images: Artifact) -> frozenset[str]:
    """The sample ids of images that could not be read."""
    from xmap.store.formats.features import read_errors

    try:
        return frozenset(row.sample_id for path in images.files(suffix=BAD) for row in read_errors(path))
    except ArtifactDamaged:
        return frozenset()
