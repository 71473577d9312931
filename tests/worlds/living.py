"""A data set that lives: images come, go, move, break and are mended, labels and settings change, and it is kept in other forms.

A state is a value. `changed` makes the next one of a word and two numbers, whatever the state: a history is a list of such words.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from blake3 import blake3

from tests.worlds.forms import FORMS, Photo, Photos
from tests.worlds.pictures import picture
from xmap.pipeline.settings.config import XmapConfig
from xmap.stages.datasets.dataset import TEST, TRAIN, VAL
from xmap.stages.datasets.sources.corrections import LEAVE_OUT

SPLITS = (TRAIN, TRAIN, VAL, TEST)
MOST, LEAST = 16, 7
SPLIT_FOLDER = "split folder"
KINDS = ("folder", SPLIT_FOLDER, "table", "tars", "Parquet")
# What a step of a history may set, to which values; the first is that of the beginning.
CHOICES: Mapping[str, tuple[Any, ...]] = {
    "data.split_seed": (1, 2, 3),
    "data.val_share": (0.25, 0.4),
    "data.templates": (("a photo of a {}.",), ("a picture of a {}.", "my {}.")),
    "data.drop_leaks": (False, True),
    "data.train_per_class": (None, 2),
    "extract.views": (1, 0, 2),
    "extract.view_seed": (1, 2),
    "extract.batch_size": (4, 3),
    "cache.shots": (1, 2),
    "data.group_by": ("", r"[aimz]\d"),
}
FIXED = {
    "cache.short": "keep",
    "extract.shard_batches": 1,
    "run.workers": 0,
    "run.seeds": (1,),
    "run.methods": ("tip-adapter",),
}


def _bitmap(number: int) -> bytes:
    """A picture whose file is as large as any other's, so that sizes tell nothing."""
    whole = io.BytesIO()
    picture(number, (24, 20)).save(whole, "BMP")
    return whole.getvalue()


SPOILS: tuple[Callable[[bytes], bytes], ...] = (
    lambda data: data[:99],
    lambda data: b"C" + data[1:],
    lambda data: b"no picture" + data[40:60],
    lambda _: b"",
)
POOL = tuple(_bitmap(number) for number in range(40))
SOUND = {spoil(data): data for spoil in SPOILS for data in POOL}


@dataclass(frozen=True)
class Living:
    """A data set as it is now: its images, corrected labels by content, its name, the form it is kept in, and settings."""

    photos: Photos
    corrections: tuple[tuple[str, str], ...] = ()
    name: str = "pets"
    form: str = "folder"
    settings: tuple[tuple[str, Any], ...] = tuple((field, values[0]) for field, values in CHOICES.items())
    made: int = 0

    @property
    def classes(self) -> list[str]:
        return sorted({photo.label for photo in self.photos})

    def photo(self, which: int) -> Photo:
        return self.photos[which % len(self.photos)]

    def with_photo(self, old: Photo, **changes: Any) -> Living:
        return replace(self, photos=tuple(replace(photo, **changes) if photo == old else photo for photo in self.photos))

    def adding(self, label: str, data: bytes, letter: int, split: str = "") -> Living:
        """With one image more, whose name sorts anywhere."""
        photo = Photo(f"{'aimz'[letter % 4]}{self.made}", label, data, split or SPLITS[self.made % 4])
        return replace(self, photos=(*self.photos, photo), made=self.made + 1)

    def contents(self) -> set[str]:
        """Those of its sound images that are not left out."""
        left_out = {content for content, label in self.corrections if label == LEAVE_OUT}
        return {content_of(photo) for photo in self.photos if photo.data not in SOUND} - left_out

    def config(self, place: Path, model: Path) -> XmapConfig:
        """What a run of it is told, once it has been `put` into `place`."""
        labels = str(place / "labels.csv") if self.corrections else ""
        named = {"data.data": str(self._data(place)), "data.labels": labels, "encoder.model": f"local-dir:{model}"}
        return XmapConfig().override({**FIXED, **dict(self.settings), **named})

    def put(self, place: Path) -> None:
        """Have the files at `place` be those of this state: what stays is not touched, what has another name is renamed."""
        shutil.rmtree(place / "next", ignore_errors=True)
        photos = self.photos if self.form == SPLIT_FOLDER else tuple(replace(photo, split="") for photo in self.photos)
        FORMS["folder" if self.form == SPLIT_FOLDER else self.form](place / "next" / self.name, photos)
        _become(place / self.form / self.name, place / "next" / self.name)
        rows = "".join(f"{content},{label}\n" for content, label in self.corrections)
        (place / "labels.csv").write_text(f"content,label\n{rows}")

    def _data(self, place: Path) -> Path:
        folder = place / self.form / self.name
        return {"table": folder / f"{self.name}.csv"}.get(self.form, folder)


def content_of(photo: Photo) -> str:
    return blake3(photo.data).hexdigest()


def _become(folder: Path, other: Path) -> None:
    """Change the files below `folder` into those below `other`, renaming what has moved. Times tell nothing: all files have the same."""
    there, wanted = ({path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()} for root in (folder, other))
    gone = {path: data for path, data in there.items() if wanted.get(path) != data}
    for path, data in wanted.items():
        if there.get(path) == data:
            continue
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        moved = next((old for old, known in gone.items() if known == data and old not in wanted), None)
        os.replace(folder / moved if moved else other / path, folder / path)
        gone.pop(moved or path, None)
        os.utime(folder / path, (1_000_000_000, 1_000_000_000))
    for path in gone:
        (folder / path).unlink(missing_ok=True)
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def beginning(form: str) -> Living:
    """Three classes of four images."""
    living = Living((), form=form)
    for number in range(12):
        living = living.adding(f"m{number % 3}", POOL[number], number, SPLITS[number // 3])
    return living


def _add(living: Living, which: int, to: int) -> Living:
    return living.adding(living.classes[to % len(living.classes)], POOL[which % len(POOL)], to) if len(living.photos) < MOST else living


def _repeat(living: Living, which: int, to: int) -> Living:
    """The same file under another name: in its class or, now and then, in another."""
    photo = living.photo(which)
    label = photo.label if to % 3 else living.classes[to % len(living.classes)]
    return living.adding(label, photo.data, to, photo.split if to % 2 else "") if len(living.photos) < MOST else living


def _remove(living: Living, which: int, to: int) -> Living:
    gone = living.photo(which)
    return replace(living, photos=tuple(photo for photo in living.photos if photo != gone)) if len(living.photos) > LEAST else living


def _rename(living: Living, which: int, to: int) -> Living:
    return replace(living.with_photo(living.photo(which), name=f"{'aimz'[to % 4]}{living.made}"), made=living.made + 1)


def _move(living: Living, which: int, to: int) -> Living:
    return living.with_photo(living.photo(which), label=living.classes[to % len(living.classes)])


def _resplit(living: Living, which: int, to: int) -> Living:
    return living.with_photo(living.photo(which), split=SPLITS[to % 4])


def _replace(living: Living, which: int, to: int) -> Living:
    """Other bytes under the same name."""
    return living.with_photo(living.photo(which), data=POOL[to % len(POOL)])


def _spoil(living: Living, which: int, to: int) -> Living:
    photo = living.photo(which)
    return living if photo.data in SOUND else living.with_photo(photo, data=SPOILS[to % len(SPOILS)](photo.data))


def _mend(living: Living, which: int, to: int) -> Living:
    return replace(living, photos=tuple(replace(photo, data=SOUND.get(photo.data, photo.data)) for photo in living.photos))


def _add_class(living: Living, which: int, to: int) -> Living:
    """Three images of a class that sorts first, or last."""
    if len(living.photos) + 3 > MOST:
        return living
    label = f"{'az'[which % 2]}{living.made}"
    for number in range(3):
        living = living.adding(label, POOL[(to + number) % len(POOL)], number, (TRAIN, VAL, TEST)[number])
    return living


def _remove_class(living: Living, which: int, to: int) -> Living:
    label = living.photo(which).label
    left = tuple(photo for photo in living.photos if photo.label != label)
    corrections = tuple(pair for pair in living.corrections if pair[1] != label)
    return replace(living, photos=left, corrections=corrections) if len(left) >= LEAST and len(living.classes) > 2 else living


def _rename_class(living: Living, which: int, to: int) -> Living:
    old, new = living.photo(which).label, f"{'amz'[to % 3]}{living.made}"
    photos = tuple(replace(photo, label=new) if photo.label == old else photo for photo in living.photos)
    corrections = tuple((content, new if label == old else label) for content, label in living.corrections)
    return replace(living, photos=photos, corrections=corrections, made=living.made + 1)


def _correct(living: Living, which: int, to: int) -> Living:
    label = (*living.classes, LEAVE_OUT)[to % (len(living.classes) + 1)]
    corrections = {**dict(living.corrections), content_of(living.photo(which)): label}
    return replace(living, corrections=tuple(sorted(corrections.items())))


def _uncorrect(living: Living, which: int, to: int) -> Living:
    return replace(living, corrections=())


def _tidy(living: Living) -> Living:
    """Without corrections of images and to classes that are not there any more."""
    there, classes = {content_of(photo) for photo in living.photos}, {*living.classes, LEAVE_OUT}
    return replace(living, corrections=tuple(pair for pair in living.corrections if pair[0] in there and pair[1] in classes))


def _set(living: Living, which: int, to: int) -> Living:
    field = tuple(CHOICES)[which % len(CHOICES)]
    return replace(living, settings=tuple({**dict(living.settings), field: CHOICES[field][to % len(CHOICES[field])]}.items()))


def _pack(living: Living, which: int, to: int) -> Living:
    return replace(living, form=KINDS[which % len(KINDS)])


def _call(living: Living, which: int, to: int) -> Living:
    return replace(living, name=("pets", "animals")[which % 2])


Change = Callable[[Living, int, int], Living]
IMAGES: Mapping[str, Change] = {
    "add": _add,
    "repeat": _repeat,
    "remove": _remove,
    "rename": _rename,
    "replace": _replace,
    "spoil": _spoil,
    "mend": _mend,
    "pack": _pack,
}
LABELS: Mapping[str, Change] = {
    "move": _move,
    "correct": _correct,
    "uncorrect": _uncorrect,
    "add class": _add_class,
    "remove class": _remove_class,
    "rename class": _rename_class,
    "resplit": _resplit,
}
SETTINGS: Mapping[str, Change] = {"set": _set, "call": _call}
CHANGES: Mapping[str, Change] = {**IMAGES, **LABELS, **SETTINGS}


def changed(living: Living, change: str, which: int, to: int) -> Living:
    """The state that a change makes."""
    return _tidy(CHANGES[change](living, which, to))
