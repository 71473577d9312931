"""Images of a data set by what a table may call them: a sample id, a path, the blake3 of their bytes."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Container
from typing import Any

from xmap.stages.datasets.content.hashing import Contents, with_contents
from xmap.stages.datasets.dataset import Dataset, known_contents
from xmap.stages.datasets.places.columns import places_of, texts
from xmap.stages.datasets.places.place import Place
from xmap.store.disk.plain import FORMULA
from xmap.store.errors import InputError
from xmap.store.memory.hashes import hexes

HEX = 64


def text_of(value: Any) -> str:
    """A cell as text; empty where there is nothing."""
    return "" if value is None else str(value)


def digest_of(value: Any) -> str:
    """A cell that holds a content, as such."""
    return text_of(value).strip().lower()


def meant(text: str, known: Container[str]) -> str:
    """A text as it was before `xmap sql -o FILE.csv` or the report kept a spreadsheet from calculating it."""
    return text[1:] if text not in known and text[:1] == "'" and FORMULA.match(text[1:]) else text


class Finder:
    """Rows of samples by their names, ids or paths at once, and by a content once one is asked for."""

    def __init__(self, dataset: Dataset, contents: Contents) -> None:
        samples = dataset.samples
        # Ids are NFC; paths are as the file system has them, and Macs copy the names of files decomposed.
        paths = (_nfc(str(samples.places[row])) for row in range(len(samples)))
        self.names = {name: row for names in (paths, texts(samples.ids)) for row, name in enumerate(names)}
        self._dataset, self._contents = dataset, contents
        self._by_content: dict[str, list[int]] = defaultdict(list)
        self._unhashed: dict[int, Place] = {}

    def add(self, row: int, sample_id: str, place: Place) -> None:
        """Take one more image, which rows after it may name as well."""
        self.names.update(dict.fromkeys((_nfc(sample_id), _nfc(str(place))), row))
        self._unhashed[row] = place

    def find(self, row: str, name: Any, content: Any) -> list[int]:
        """The samples that a row's cells name, none where no sample is called so. Raises `InputError` for one of other bytes."""
        text, digest = meant(_nfc(text_of(name)), self.names), digest_of(content)
        # A file's name may begin or end with a space.
        found = self.names.get(text, self.names.get(text.strip()))
        if found is not None and not digest:
            return [found]
        alike = self._alike(digest or text.strip().lower())
        if found is not None and not alike:
            raise InputError(
                f"{row} names {text!r:.200}, which has other bytes now than its content says; remove the row, or only its content "
                "where the label is right all the same."
            )
        return [found] if found in alike else alike

    def _alike(self, digest: str) -> list[int]:
        """The samples with these bytes."""
        if len(digest) == HEX and not self._by_content:
            for row, content in enumerate(hexes(known_contents(with_contents(self._dataset, self._contents).samples))):
                self._by_content[content].append(row)
        if len(digest) == HEX and self._unhashed:
            for row, content in zip(self._unhashed, hexes(self._contents(places_of([*self._unhashed.values()]))), strict=True):
                self._by_content[content].append(row)
            self._unhashed.clear()
        # What cannot be read.
        self._by_content.pop("0" * HEX, None)
        return self._by_content.get(digest, [])


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)
