"""A data set of one class is refused: it is mostly a folder too high, or images whose labels are in a table beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xmap.stages.datasets.classes.labels import WHY_SEVERAL
from xmap.stages.datasets.places.images import Classes, Images
from xmap.stages.datasets.places.place import Location
from xmap.stages.datasets.sources.beside import tables_beside
from xmap.store.disk.plain import named
from xmap.store.errors import InputError

HOLDERS = ("images", "imgs", "img", "jpegimages", "annotations")


def refuse_one_folder(data: Location, by_split: Mapping[str, Classes], keys: Sequence[str]) -> None:
    """Raise `InputError` for folders of a single class, with the folders inside it or the tables beside it."""
    if len(keys) != 1:
        return
    holding = [(split, images) for split, classes in by_split.items() for images in classes.values() if images]
    count = sum(len(images) for _, images in holding)
    split, images = holding[0]
    top = images.ways(data)[0][: 2 if split else 1]
    folder, inner = _inside(data, images, top)
    ways = []
    if inner and split:
        ways.append(f"the classes may be the folders {named(inner)} in {folder}: move them up, in each split")
    elif inner:
        ways.append(f"the classes may be its folders {named(inner)}: give --data {folder}")
    ways += tables_beside(data)
    raise InputError(
        f"{data} has one class, {keys[0]!r}, with all {count:,} images, and {WHY_SEVERAL}; "
        f"{', or '.join(ways) or 'add a folder of images for each other class'}."
    )


def refuse_holders(data: Location, classes: Classes) -> None:
    """Raise `InputError` for `images/` among several folders, which is where data sets keep all their images."""
    sounding = [name for name, images in classes.items() if images and name.casefold() in HOLDERS]
    if sounding:
        holder = min(sounding, key=lambda name: HOLDERS.index(name.casefold()))
        raise InputError(
            f"{data} has {holder!r} among its class folders, which sounds like a part of a data set and like no class; give --data "
            f"{data / holder} if it holds the class folders, a table of paths and labels if it holds all images, or rename it."
        )


def said_of_inner(data: Location, classes: Classes) -> tuple[str, ...]:
    """A remark where each class folder holds several folders and no image itself: the classes may be those."""
    ways = [images.ways(data) for images in classes.values() if images]
    inner = [sorted({way[1] for way in inside if len(way) > 2}) for inside in ways]
    if not ways or any(len(way) < 3 for inside in ways for way in inside) or any(len(names) < 2 for names in inner):
        return ()
    return (
        f"no class folder holds an image itself, and {ways[0][0][0]!r} holds the folders {named(inner[0])}: if these are the classes, "
        "move them up or give a CSV table",
    )


def _inside(data: Location, images: Images, top: Sequence[str]) -> tuple[Location, list[str]]:
    """The first folder from `top` on in which several folders have images, and these; no folders where there is none."""
    ways = images.ways(data)
    depth = len(top)
    while all(len(way) > depth + 1 for way in ways):
        names = sorted({way[depth] for way in ways})
        if len(names) > 1:
            place = data
            for name in ways[0][:depth]:
                place = place / name
            return place, names
        depth += 1
    return data, []
