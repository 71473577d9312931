"""Class folders: `root/class/*.jpg`, or `root/{train,val,test}/class/*`; images may lie deeper inside a class.

Identity never depends on the file system: ids and class names are NFC, in an order of their own, while the name on disk opens the
file. What looks like an image by its suffix stays a sample even when it is a broken link or a pipe: extraction lists it.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from xmap.stages.config import DataConfig
from xmap.stages.datasets.assemble import assemble
from xmap.stages.datasets.classes.order import in_order
from xmap.stages.datasets.dataset import TRAIN, Dataset, Samples, order, ungrouped, unlabelled
from xmap.stages.datasets.places.columns import Array, Files, column, places_of, texts
from xmap.stages.datasets.places.images import Classes
from xmap.stages.datasets.places.pictures import IMAGE_SUFFIXES
from xmap.stages.datasets.places.place import Location, relative
from xmap.stages.datasets.places.scan import Scan
from xmap.stages.datasets.sources.beside import refuse_other_labels, tables_beside
from xmap.stages.datasets.sources.division import UNDIVIDED, divide
from xmap.stages.datasets.sources.one_class import refuse_holders, refuse_one_folder, said_of_inner
from xmap.store.disk.plain import named
from xmap.store.errors import EmptyInput, InputError
from xmap.store.memory.notes import Notes

# As `save_to_disk` of Hugging Face's datasets writes them.
ARROW = ".arrow"


class FolderSource:
    """The entry for folders of class folders."""

    def matches(self, data: Location) -> bool:
        return isinstance(data, Path) and data.is_dir()

    def read(self, config: DataConfig, data: Location, name: str, notes: Notes) -> Dataset:
        """The dataset under `data`.

        Raises `EmptyInput` without images, and `InputError` for folders that cannot be listed, splits of different classes,
        a class without training images, and names that are one after Unicode normalisation.
        """
        scan = self.scan(data)
        by_split, said = divide(scan)
        count = sum(len(images) for classes in by_split.values() for images in classes.values())
        _refuse_flat(data, scan, count)
        if not count:
            raise EmptyInput(str(data), " ".join(IMAGE_SUFFIXES), scan.found())
        keys, remarks = _check(by_split)
        _refuse_imageless(scan, keys)
        refuse_one_folder(data, by_split, keys)
        if UNDIVIDED in by_split:
            refuse_holders(data, by_split[UNDIVIDED])
            refuse_other_labels(data, by_split[UNDIVIDED])
            said = (*said, *said_of_inner(data, by_split[UNDIVIDED]))
        return assemble(name, _found(data, by_split, keys), keys, config, (*said, *remarks, *scan.remarks()))

    def read_unlabelled(self, data: Location, name: str, notes: Notes) -> Dataset:
        """All images anywhere below `data`: what its folders are called says nothing. Raises `InputError` without images."""
        scan = self.scan(data)
        images = scan.below(data)
        if not images:
            raise EmptyInput(str(data), " ".join(IMAGE_SUFFIXES), scan.found())
        return unlabelled(name, _found(data, {UNDIVIDED: {"": images}}, [""]), scan.remarks())

    def scan(self, root: Location) -> Scan:
        """A walk over the folders in `root`."""
        return Scan(root)


class FlatFolderSource(FolderSource):
    """The entry for folders that hold images themselves, whatever lies beside these: without labels there are no class folders."""

    def matches(self, data: Location) -> bool:
        return super().matches(data) and bool(Scan(data).entries(data)[1])


def _refuse_flat(data: Location, scan: Scan, count: int) -> None:
    """Images in no class folder, more than in class folders, have their labels elsewhere, if there is a table."""
    ways = tables_beside(data) if len(scan.strays) > count else ()
    if ways:
        raise InputError(f"{data} has {len(scan.strays):,} images that lie in no class folder; {ways[0]}.")
    if not count and scan.ignored[ARROW]:
        raise InputError(
            f"{data} holds a data set in Arrow files, which are not read; write each split as Parquet, as with "
            "`load_from_disk(DIR)['train'].to_parquet('train.parquet')`, and give the folder of these."
        )


def _check(by_split: Mapping[str, Classes]) -> tuple[list[str], tuple[str, ...]]:
    """The class keys in label order, and remarks. Raises `InputError` where splits differ in their classes."""
    names = {name for classes in by_split.values() for name in classes}
    filled = in_order({name for classes in by_split.values() for name, images in classes.items() if images})
    empty = sorted(names - set(filled))
    remarks = [f"{len(empty)} empty class folders were left out: {named(empty)}"] * bool(empty)
    lacking = {split: [name for name in filled if name not in classes] for split, classes in by_split.items()}
    if any(lacking.values()):
        listed = "; ".join(f"{split} lacks {named(missing)}" for split, missing in lacking.items() if missing)
        raise InputError(f"the splits differ in their classes: {listed}; give every split the same class folders.")
    if UNDIVIDED not in by_split:
        _require_training(by_split, filled)
        for split, classes in by_split.items():
            bare = [name for name in filled if not classes[name]]
            remarks += [f"{split} has no image of {named(bare)}"] * bool(bare)
    return filled, tuple(remarks)


def _refuse_imageless(scan: Scan, keys: Sequence[str]) -> None:
    """Raise `InputError` for a class folder with files and without an image: the classifier would lack the class."""
    for name in sorted(scan.imageless.keys() - set(keys)):
        held = ", ".join(f"{count} {suffix}" for suffix, count in sorted(scan.imageless[name].items()))
        raise InputError(f"the class folder {name!r} has files and no image: {held}; add images, or move it out of the data.")


def _require_training(by_split: Mapping[str, Classes], filled: Sequence[str]) -> None:
    if TRAIN not in by_split:
        raise InputError(f"there are folders {', '.join(by_split)} but no train folder; add one, or give the folder of classes itself.")
    untrained = [name for name in filled if not by_split[TRAIN][name]]
    if untrained:
        raise InputError(f"no training image of {named(untrained)}, which other splits have; add some, or remove the class.")


def _found(root: Location, by_split: Mapping[str, Classes], keys: Sequence[str]) -> Samples:
    """The samples of all folders. Raises `InputError` where two files are one after Unicode normalisation."""
    parts = [
        (order(split), _above(root, part.folder), label, part)
        for split, classes in by_split.items()
        for label, key in enumerate(keys)
        for part in (classes[key].parts if key in classes else ())
    ]
    # Mostly this is the order of all ids.
    parts.sort(key=lambda found: found[:2])
    paths = np.concatenate([column(above + name for name in part.names) for _, above, _, part in parts])
    ids = _normal(paths)
    splits, labels = (np.repeat([part[place] for part in parts], [len(part[3]) for part in parts]) for place in (0, 2))
    remote = [place for *_, part in parts for place in part.remote]
    places = places_of(remote) if remote else Files(str(root), paths)
    return Samples(ids, places, labels.astype(np.int32), splits.astype(np.int8), ungrouped(len(ids)))


def _above(root: Location, folder: Location) -> str:
    """What stands before the names of the images in a folder: nothing for `root` itself."""
    inside = relative(root, folder)
    return "" if inside in ("", ".") else f"{inside}/"


def _normal(paths: Array) -> Array:
    """The ids of images: their paths, in one form of Unicode."""
    if all(map(partial(unicodedata.is_normalized, "NFC"), texts(paths))):
        return paths
    ids = [unicodedata.normalize("NFC", path) for path in texts(paths)]
    twice = next((sample_id for sample_id, times in Counter(ids).items() if times > 1), None)
    if twice is not None:
        raise InputError(f"two files are both {twice!r} after Unicode normalisation; rename one of them.")
    return column(ids)
