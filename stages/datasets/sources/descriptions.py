"""What `--descriptions FILE` says of the classes: sentences that stand beside the templates, as JSON (class to a list of them) or a table.

Who writes the sentences, a person or a language model, is nothing to xmap. Each is used as it stands, and none is filled with the name of
its class; a class without any keeps its templates alone.
"""

from __future__ import annotations

import json
import reprlib
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from xmap.stages.datasets.classes.labels import label_of, unfit
from xmap.stages.datasets.classes.names_file import Lookup, Names
from xmap.stages.datasets.dataset import Dataset
from xmap.stages.datasets.places.place import Location, location, shown
from xmap.stages.datasets.places.remote import read_bytes
from xmap.stages.datasets.sources.columns import DESCRIPTIONS, LABEL, SENTENCE, chosen, lacking
from xmap.stages.datasets.sources.csv_text import read_rows, read_text
from xmap.stages.datasets.sources.table_files import CSV, TSV
from xmap.store.disk.files import LIMIT, read_plain
from xmap.store.disk.plain import named
from xmap.store.errors import InputError

JSON = ".json"
FORM = 'give a JSON file, {"class": ["sentence", ...], ...}, or a .csv or .tsv table with the columns class and sentence'
NOTHING = object()
# Where in the file a sentence stands, what it calls the class, and the sentence: in words of whatever kind the file holds.
Row = tuple[str, Any, Any]


def described(dataset: Dataset, descriptions: str) -> Dataset:
    """The data set with the sentences that the file `descriptions` has of its classes; as it is where none is named.

    Raises `InputError` for a file that cannot be read, for a class that the data has not, and for a sentence that cannot be used.
    """
    if not descriptions:
        return dataset
    path, name = location(descriptions), f"--descriptions {shown(descriptions)}"
    rows, remarks = _read(path, name)
    lookup = Lookup(Names(dataset.classes, dataset.classes))
    found: dict[str, dict[str, None]] = {key: {} for key in dataset.classes}
    for place, label, sentence in rows:
        key = _class(f"{name} {place}", label, lookup)
        found[key] |= {} if sentence is NOTHING else {_sentence(f"{name} {place}", sentence): None}
    if not any(found.values()):
        raise InputError(f"{name} holds no sentence; {FORM}.")
    return replace(dataset, sentences=tuple(tuple(found[key]) for key in dataset.classes), text_remarks=(*remarks, _said(name, found)))


def _said(name: str, found: dict[str, dict[str, None]]) -> str:
    bare = [key for key, sentences in found.items() if not sentences]
    total = sum(map(len, found.values()))
    said = f"{name} has {total:,} sentence{'s' * (total != 1)} of {len(found) - len(bare):,} of {len(found):,} classes"
    return f"{said}; by the templates alone is told {named(bare)}" if bare else said


def _read(path: Location, name: str) -> tuple[Iterable[Row], tuple[str, ...]]:
    """The rows of the file, and remarks on how it was read."""
    kind = path.suffix.lower()
    if kind not in (JSON, CSV, TSV):
        raise InputError(f"{name} is neither {JSON} nor {CSV} nor {TSV}; {FORM}.")
    try:
        data = read_plain(path) if isinstance(path, Path) else read_bytes(path, 0, LIMIT)
    except OSError as error:
        raise InputError(f"{name} cannot be read ({error.strerror or error}); {FORM}.") from error
    if kind == JSON:
        return _objects(data, name), ()
    text, remarks = read_text(data, name)
    return _table(text, name), remarks


class _Object(list[tuple[str, Any]]):
    """A JSON object as its pairs, so that a class that is there twice is seen."""


def _objects(data: bytes, name: str) -> Iterator[Row]:
    try:
        found = json.loads(data, object_pairs_hook=_Object)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is not JSON ({error!s:.80}); {FORM}.") from error
    if not isinstance(found, _Object):
        raise InputError(f"{name} holds no JSON object; {FORM}.")
    seen = set[str]()
    for label, sentences in found:
        if label in seen:
            raise InputError(f"{name} names {label!r:.80} twice, of which JSON keeps the last; put all its sentences into one list.")
        seen.add(label)
        if not isinstance(sentences, list) or isinstance(sentences, _Object):
            raise InputError(f"{name} has no list of sentences for {label!r:.80}; {FORM}.")
        if not sentences:
            # A class without any is still one that has to be there.
            yield f"class {label!r:.80}", label, NOTHING
        yield from ((f"class {label!r:.80}", label, sentence) for sentence in sentences)


def _table(text: str, name: str) -> Iterator[Row]:
    header, rows = read_rows(text, lambda columns: not lacking(columns, DESCRIPTIONS), name)
    places = chosen(name, header, DESCRIPTIONS)
    yield from ((f"row {number}", row[places[LABEL]], row[places[SENTENCE]]) for number, row in rows)


def _class(place: str, label: Any, lookup: Lookup) -> str:
    text, why = label_of(label)
    key = lookup.spelled(text) if text or not why else None
    if key is None:
        raise InputError(f"{place} is of {str(label)!r:.80}, which is no class of the data{why}; {_known(text, lookup.keys)}.")
    return key


def _known(text: str, keys: Sequence[str]) -> str:
    import difflib

    close = difflib.get_close_matches(text, keys, 1, cutoff=0.5)
    return f"the nearest class is {close[0]!r}: correct the name, or take it out" if close else f"write one of {named(keys)}"


def _sentence(place: str, said: Any) -> str:
    """A sentence on one line. Raises `InputError` for what is none."""
    if not isinstance(said, str):
        raise InputError(f"{place} has {reprlib.repr(said):.80} for a sentence, which is no text; write one, or take it out.")
    text = unicodedata.normalize("NFC", " ".join(said.split()))
    why = unfit(text)
    if not text:
        raise InputError(f"{place} has an empty sentence; write one, or take it out.")
    if why:
        raise InputError(f"{place} has a sentence that cannot be used{why}: {text!r:.80}; correct it.")
    if "{}" in text:
        raise InputError(f"{place} has {{}} in a sentence, which stands as it is: {text!r:.80}; write the class's name in its place.")
    return text
