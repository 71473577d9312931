"""The samples of one tar, gathered while it is read once from front to back: each image's place, hash and label.

Members in any order, and other members between them, change nothing.
"""

from __future__ import annotations

import json
import posixpath
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from blake3 import blake3

from xmap.stages.datasets.classes.labels import NONE, WHOLE, label_of
from xmap.stages.datasets.places.pictures import PICTURE_SUFFIXES, lies_in_leftovers, unread
from xmap.stages.datasets.sources.tar import Entry, entries, read_member, refuse
from xmap.stages.datasets.splits.names import is_split
from xmap.store.errors import InputError

LABEL, FACTS = ".cls", ".json"
# What a .json may call the class; a name says more than a number.
NAMED = ("class_name", "class", "label")
SPLIT = "split"
MAX_LABEL = 1 << 20


def list_tar(file: BinaryIO, place: str, labelled: bool = True) -> dict[str, Any]:
    """What the tar `file`, called `place`, holds, as JSON values.

    `images` are [name, offset, size, blake3, label, split]; `bare` are keys with a label and no image; `left_out` counts the suffixes of
    all other members. Raises `InputError` for what `entries` refuses, and for an image without a label, of two, or a name used twice.
    Where they are not `labelled` no label is read, and none is missed.
    """
    samples = _Samples(place, labelled)
    for entry in entries(file, place):
        samples.take(file, entry)
    return samples.listed()


@dataclass
class _Samples:
    """What has been read of one tar: images and labels by key."""

    place: str
    labelled: bool = True
    names: set[str] = field(default_factory=set)
    images: dict[str, list[tuple[Entry, str]]] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    told: set[tuple[str, str]] = field(default_factory=set)
    left_out: Counter[str] = field(default_factory=Counter)

    def take(self, file: BinaryIO, entry: Entry) -> None:
        """Note one member, of which only images and labels are read."""
        name = unicodedata.normalize("NFC", entry.name)
        if name in self.names:
            raise refuse(self.place, entry.name, "is there twice")
        self.names.add(name)
        folder, last = posixpath.split(entry.name)
        base, dot, ending = last.partition(".")
        key, suffix = posixpath.join(folder, base), f"{dot}{ending}".lower()
        if lies_in_leftovers(entry.name.split("/")):
            # Such as the ._ files that macOS puts beside each file.
            return
        if suffix.endswith(PICTURE_SUFFIXES):
            content = blake3(read_member(file, entry, self.place)).hexdigest()
            self.images.setdefault(key, []).append((entry, content))
        elif self.labelled and suffix in (LABEL, FACTS):
            self._tell(key, suffix, entry, self._text(file, entry))
        else:
            self.left_out[suffix or "no suffix"] += 1

    def listed(self) -> dict[str, Any]:
        """All of it, once the last member was taken."""
        labels = {**self.facts, **self.labels}
        images = []
        for key, found in self.images.items():
            entry, content = self._one(key, found)
            if self.labelled and key not in labels:
                raise InputError(f"{self.place}: {key!r} has an image and no label; add {key + LABEL!r}, or a label to {key + FACTS!r}.")
            images.append([entry.name, entry.offset, entry.size, content, labels.get(key, ""), self.splits.get(key, "")])
        bare = sorted(key for key in labels if key not in self.images)
        return {"images": images, "bare": bare, "left_out": dict(self.left_out)}

    def _one(self, key: str, found: list[tuple[Entry, str]]) -> tuple[Entry, str]:
        """The image of a key: `a.jpg` where there are `a.jpg` and `a.mask.png` too."""
        readable = [pair for pair in found if not unread(pair[0].name)] or found
        whole = [pair for pair in readable if pair[0].name.count(".", len(key)) == 1] or readable
        if len(whole) > 1:
            names = " and ".join(repr(entry.name) for entry, _ in whole[:2])
            raise InputError(f"{self.place}: {names} share the key {key!r}, which ends at the first dot; give each image a key of its own.")
        for entry, _ in found:
            if entry is not whole[0][0]:
                self.left_out[entry.name[len(key) :].lower()] += 1
        return whole[0]

    def _text(self, file: BinaryIO, entry: Entry) -> str:
        if entry.size > MAX_LABEL:
            raise refuse(self.place, entry.name, f"is a label of {entry.size:,} bytes")
        try:
            return read_member(file, entry, self.place).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise refuse(self.place, entry.name, "is a label that is not UTF-8 text") from error

    def _tell(self, key: str, suffix: str, entry: Entry, text: str) -> None:
        """Note what a member says of its key: `k.cls` and `k.CLS` may say two things, and neither comes first."""
        if (key, suffix) in self.told:
            raise refuse(self.place, entry.name, f"is a second {suffix} of the key {key!r}")
        self.told.add((key, suffix))
        if suffix == LABEL:
            self.labels[key] = self._label(entry, text)
        else:
            self.facts |= self._facts(key, entry, text)

    def _facts(self, key: str, entry: Entry, text: str) -> dict[str, str]:
        try:
            facts = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise refuse(self.place, entry.name, "is no JSON") from error
        if not isinstance(facts, dict):
            return {}
        if facts.get(SPLIT) is not None:
            self.splits[key] = self._split(entry, facts[SPLIT])
        found = next((facts[name] for name in NAMED if facts.get(name) is not None), None)
        return {} if found is None else {key: self._label(entry, found)}

    def _split(self, entry: Entry, value: Any) -> str:
        if not (isinstance(value, str) and is_split(value)):
            raise InputError(f"{self.place}: {entry.name!r} has split {value!r:.80}; write one of train, val, test.")
        return value.strip()

    def _label(self, entry: Entry, value: Any) -> str:
        """A class number or name as text: `007`, `7.0` and 7 are one class."""
        text, why = label_of(value, entry.name)
        whole = WHOLE.fullmatch(text)
        if why:
            raise refuse(self.place, entry.name, f"holds no class number or name but {str(value)[:80]!r}{why.replace(NONE, '')}")
        return str(int(whole[1])) if whole and len(whole[1]) < 10 else text
