"""Tables that lie beside folders of images: their labels may be the ones that count, and then the folders are no classes."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from xmap.stages.datasets.classes.labels import label_of
from xmap.stages.datasets.places.files import contents
from xmap.stages.datasets.places.images import Classes
from xmap.stages.datasets.places.place import Location, relative
from xmap.stages.datasets.sources.table_files import TABLES, read_table
from xmap.store.disk.plain import named
from xmap.store.errors import InputError

OTHER_TABLES = (".xlsx", ".xls", ".ods", ".json")
# A larger one is not looked into, which takes longer than listing the images.
MAX_BYTES = 1 << 26


def tables_beside(data: Location) -> list[str]:
    """What to do with the tables that lie in a folder, in words."""
    files = contents(data)[1]
    usable = [file for file in files if file.suffix.lower() in TABLES]
    if usable:
        return [f"if {usable[0]} beside the images holds their labels, give it as --data, with the columns path and label"]
    others = [file.name for file in files if file.suffix.lower() in OTHER_TABLES]
    return [
        f"if {name!r} beside the images holds their labels, write it as a CSV table with the columns path and label" for name in others[:1]
    ]


def refuse_other_labels(data: Location, classes: Classes) -> None:
    """Raise `InputError` where a table in the folder gives the images of one class several labels: the folders are then no classes."""
    for file in contents(data)[1]:
        if file.suffix.lower() not in TABLES or _size(file) > MAX_BYTES:
            continue
        for name, labels in _labels_of(file, data, classes).items():
            if len(labels) > 1:
                raise InputError(
                    f"{file} gives the images of the folder {name!r} several labels, such as {named(sorted(labels))}; give the table as "
                    "--data, or move it away if the folders are the classes."
                )


def _labels_of(file: Location, data: Location, classes: Classes) -> dict[str, set[str]]:
    """The labels that a table gives the images of each class; none where it is no table of images."""
    try:
        rows = read_table(file).rows
    except InputError:
        # Beside images any table may lie, and nobody asked for this one.
        return {}
    known = _by_name(data, classes)
    found: dict[str, set[str]] = {}
    for _, row in rows:
        name = known.get(posixpath.normpath(str(row["path"]).strip().replace("\\", "/"))) or known.get(PurePosixPath(str(row["path"])).name)
        label, _ = label_of(row["label"], str(row["path"]))
        if name and label:
            found.setdefault(name, set()).add(label)
    return found


def _by_name(data: Location, classes: Classes) -> Mapping[str, str]:
    """The class of each image by its path and, where no other image has it, by its name with and without suffix."""
    known: dict[str, str] = {}
    twice: set[str] = set()
    for name, images in classes.items():
        for image in images:
            path = relative(data, image)
            for text in {path, image.name, image.stem}:
                if text in known:
                    twice.add(text)
                known[text] = name
    return {text: name for text, name in known.items() if text not in twice}


def _size(file: Location) -> int:
    return file.stat().st_size if isinstance(file, Path) else file.size or 0
