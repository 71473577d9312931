"""`xmap import tip-adapter`: features that others extracted, in Tip-Adapter's layout, as ordinary feature artifacts.

Everything is checked before the first byte is written. Class names that are there twice are told apart. A folder without text_weights.pt
is of an image encoder: its features join those of one that has class texts.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from torch import Tensor

from xmap.stages.datasets.classes.labels import refuse_one_class, unfit
from xmap.stages.datasets.classes.shared_names import sharing, sharing_said, told_apart
from xmap.stages.datasets.dataset import TEST, VAL
from xmap.stages.imports.stored import refuse_collision, require_scale
from xmap.stages.imports.tensor_files import read_labels, read_matrix, require_directions, shape_of, undirected
from xmap.stages.names import FIXED, part_of
from xmap.stages.workplace.progress import Progress
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.artifacts.fingerprint import Json
from xmap.store.artifacts.identity import Identity
from xmap.store.disk.files import hash_file, read_plain
from xmap.store.disk.plain import named
from xmap.store.errors import InputError
from xmap.store.formats.features import ImageFeatures, TextFeatures, write_images, write_texts
from xmap.store.formats.tables import Array

SCHEMA = 1
LAYOUT = "tip-adapter"
TEXT_WEIGHTS, CLASS_NAMES = "text_weights.pt", "classnames.json"
KEYS = re.compile(r"keys_(\d+)shots\.pt")
SPLITS: Mapping[str, str] = {VAL: "val", TEST: "test"}


def import_tip_adapter(store: Store, folder: Path, name: str, logit_scale: float, progress: Progress) -> tuple[Artifact, ...]:
    """Import every `keys_K` file of `folder`, its val and test features and class texts: an images artifact, and one of texts if any.

    Raises `InputError` for missing files, wrong shapes, labels of another kind or out of range, values that are not finite in
    float32, features and class texts of length 0, files that are not plain tensors, and a name that other features have.
    """
    require_scale(logit_scale)
    source = _Source(folder)
    hashes = {path.name: hash_file(path) for path in source.paths}
    images, texts = _identities(source, name, logit_scale, hashes)
    refuse_collision(store, images, *(texts,) * source.has_texts)
    progress.start(f"import {name}", 2 * len(source.splits) + 1)
    source.check(progress)
    for remark in source.remarks:
        progress.say(remark)
    stored = _store_images(store, images, source, _parts(hashes), logit_scale, progress)
    progress.advance(1)
    return (stored, _store_texts(store, texts, source, logit_scale, progress)) if source.has_texts else (stored,)


def _identities(source: _Source, name: str, logit_scale: float, hashes: Mapping[str, str]) -> tuple[Identity, Identity]:
    command = shlex.join(["xmap", "import", LAYOUT, str(source.folder), "--name", name, "--logit-scale", f"{logit_scale:g}"])
    common: dict[str, Json] = {"schema": SCHEMA, "layout": LAYOUT, "name": name, **_scale(source, logit_scale)}
    if source.renamed:
        # Features imported before names were told apart are others.
        common["renamed"] = list(source.renamed)
    text_files = {file: hashes[file] for file in (TEXT_WEIGHTS, CLASS_NAMES) if file in hashes}
    image_files = {file: digest for file, digest in hashes.items() if file != TEXT_WEIGHTS}
    images = Identity("images", name, {**common, "files": image_files}, command=command)
    return images, Identity("texts", name, {**common, "files": text_files}, command=command)


def _parts(hashes: Mapping[str, str]) -> dict[str, str]:
    """The fingerprint of each split: that of the files it comes from."""
    shots = [match[1] for file in hashes if (match := KEYS.fullmatch(file))]
    files = {f"{FIXED}{count}": (f"keys_{count}shots.pt", f"values_{count}shots.pt") for count in shots}
    files |= {split: (f"{stem}_f.pt", f"{stem}_l.pt") for split, stem in SPLITS.items()}
    return {split: part_of({file: hashes[file] for file in names}) for split, names in files.items()}


def _store_images(
    store: Store, identity: Identity, source: _Source, parts: Mapping[str, str], logit_scale: float, progress: Progress
) -> Artifact:
    with store.build(identity, on_wait=progress.say) as held:
        if isinstance(held, Artifact):
            return held
        counts: dict[str, Json] = {}
        for split, rows in source.tables():
            write_images(held.path / f"{split}-00000.parquet", rows, split, identity.fingerprint)
            counts[split] = len(rows)
            progress.advance(1)
        facts: dict[str, Json] = {"counts": counts, "parts": parts, "errors": 0, "views": 1}
        return held.commit({**_facts(identity, source, logit_scale), **facts})


def _store_texts(store: Store, identity: Identity, source: _Source, logit_scale: float, progress: Progress) -> Artifact:
    with store.build(identity, on_wait=progress.say) as held:
        if isinstance(held, Artifact):
            return held
        classes = source.classes
        rows = TextFeatures(np.arange(len(classes), dtype=np.int32), classes, ("imported",) * len(classes), source.text_weights.T.numpy())
        write_texts(held.path / "texts.parquet", rows, identity.fingerprint)
        return held.commit({**_facts(identity, source, logit_scale), "templates": ["imported"]})


def _facts(identity: Identity, source: _Source, logit_scale: float) -> dict[str, Json]:
    about: dict[str, Json] = {"dataset": identity.name, "classes": list(source.classes), **_scale(source, logit_scale)}
    remarks: dict[str, Json] = {"remarks": list(source.remarks)} if source.remarks else {}
    return {**about, "width": source.width, "imported": LAYOUT, **remarks}


def _scale(source: _Source, logit_scale: float) -> dict[str, Json]:
    """The logit scale, which is between images and texts: nothing without these."""
    return {"logit_scale": logit_scale} if source.has_texts else {}


@dataclass(frozen=True)
class _Source:
    """A folder in Tip-Adapter's layout."""

    folder: Path

    @cached_property
    def shots(self) -> tuple[int, ...]:
        if not self.folder.is_dir():
            raise InputError(f"no folder {self.folder}; name the folder that holds keys_Kshots.pt.")
        found = (KEYS.fullmatch(path.name) for path in self.folder.iterdir())
        counts = tuple(sorted(int(match[1]) for match in found if match))
        if not counts:
            raise InputError(f"{self.folder} has no keys_Kshots.pt; name the folder that Tip-Adapter cached its features in.")
        return counts

    @property
    def splits(self) -> tuple[str, ...]:
        return (*(f"{FIXED}{count}" for count in self.shots), *SPLITS)

    @property
    def paths(self) -> list[Path]:
        """Every file of the layout. Raises `InputError` naming those that are not there."""
        names = [f"{kind}_{count}shots.pt" for count in self.shots for kind in ("keys", "values")]
        names += [f"{stem}_{kind}.pt" for stem in SPLITS.values() for kind in "fl"] + [TEXT_WEIGHTS] * self.has_texts + [CLASS_NAMES]
        missing = [name for name in names if not (self.folder / name).is_file()]
        if missing:
            raise InputError(f"{self.folder} lacks {', '.join(missing)}; Tip-Adapter's layout needs them all.")
        return [self.folder / name for name in names]

    @property
    def has_texts(self) -> bool:
        """Whether the encoder has a text tower, as far as the folder shows."""
        return (self.folder / TEXT_WEIGHTS).is_file()

    @cached_property
    def width(self) -> int:
        """C, by the texts where there are some, else by the first keys."""
        return int((self.text_weights if self.has_texts else read_matrix(self.folder / f"keys_{self.shots[0]}shots.pt")).shape[0])

    @cached_property
    def written(self) -> tuple[str, ...]:
        """Class names in label order, as they are written."""
        path = self.folder / CLASS_NAMES
        try:
            names = json.loads(read_plain(path))
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path} is not JSON; it should be a list of class names in label order.") from error
        if not (isinstance(names, list) and names and all(isinstance(name, str) and name.strip() for name in names)):
            raise InputError(f"{path} should be a list of class names in label order.")
        odd = next((number for number, name in enumerate(names) if unfit(name)), None)
        if odd is not None:
            raise InputError(f"{path}: name {odd} cannot be used{unfit(names[odd])}; correct it.")
        return tuple(names)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Class names in label order, each once."""
        return told_apart(self.written)

    @property
    def renamed(self) -> tuple[str, ...]:
        return tuple(name for name, given in zip(self.classes, self.written, strict=True) if name != given)

    @cached_property
    def remarks(self) -> tuple[str, ...]:
        """What a person should know of the classes."""
        renamed = f"{CLASS_NAMES} gives several classes one name; they are told apart: {named(self.renamed)}"
        shared = sharing_said(sharing(self.classes, self.text_weights.T.contiguous().numpy())) if self.has_texts else ()
        return (*(renamed,) * bool(self.renamed), *shared)

    @cached_property
    def text_weights(self) -> Tensor:
        """C x N."""
        path = self.folder / TEXT_WEIGHTS
        weights = read_matrix(path)
        if weights.shape[1] != len(self.classes):
            raise InputError(f"{path} has {weights.shape[1]} columns, {CLASS_NAMES} names {len(self.classes)} classes.")
        lost = [self.classes[label] for label in undirected(weights.T).nonzero().flatten().tolist()]
        if lost:
            raise InputError(f"{path}: the text of {named(lost)} is all zero, or too long for float32; make the class texts again.")
        return weights

    def check(self, progress: Progress) -> None:
        """Read everything once. Raises `InputError`."""
        # The texts first: they say how wide the rest is.
        _ = self.width
        refuse_one_class(self.classes, str(self.folder / CLASS_NAMES))
        for split, rows in self.tables():
            lacking = [self.classes[label] for label in sorted(set(range(len(self.classes))) - set(rows.labels.tolist()))]
            if lacking and split.startswith(FIXED):
                progress.say(f"{split} has no image of {named(lacking)}")
            progress.advance(1)

    def tables(self) -> Iterator[tuple[str, ImageFeatures]]:
        """The rows of each split, checked; one split is in memory at a time."""
        for count in self.shots:
            yield f"{FIXED}{count}", self._support(count)
        for split, stem in SPLITS.items():
            yield split, self._split(split, stem)

    def _support(self, count: int) -> ImageFeatures:
        keys, path = read_matrix(self.folder / f"keys_{count}shots.pt").T, self.folder / f"values_{count}shots.pt"
        values = read_matrix(path)
        wanted = (len(keys), len(self.classes))
        if tuple(values.shape) != wanted:
            raise InputError(f"{path} is {shape_of(values)}; {wanted[0]} keys of {wanted[1]} classes need {wanted[0]} x {wanted[1]}.")
        odd = ~(((values == 0) | (values == 1)).all(1) & (values.sum(1) == 1))
        if bool(odd.any()):
            place = f"{int(odd.sum()):,} are not, the first is row {int(odd.int().argmax())}"
            raise InputError(f"{path} should hold one-hot rows, one 1 a row, the rest 0: {place}; make it again.")
        return self._rows(keys, values.argmax(1), "support", f"keys_{count}shots.pt")

    def _split(self, split: str, stem: str) -> ImageFeatures:
        features, path = read_matrix(self.folder / f"{stem}_f.pt"), self.folder / f"{stem}_l.pt"
        labels = read_labels(path, len(features), len(self.classes))
        return self._rows(features, labels, split, f"{stem}_f.pt")

    def _rows(self, features: Tensor, labels: Tensor, prefix: str, file: str) -> ImageFeatures:
        if features.shape[1] != self.width:
            wide = TEXT_WEIGHTS if self.has_texts else f"keys_{self.shots[0]}shots.pt"
            raise InputError(f"{self.folder / file} has features of width {features.shape[1]}, {wide} of width {self.width}.")
        require_directions(features, self.folder / file, "features")
        ids = tuple(f"{prefix}/{row:05d}" for row in range(len(features)))
        vectors: Array = features.contiguous().numpy()
        return ImageFeatures(ids, labels.numpy().astype(np.int32), np.zeros(len(ids), np.int16), vectors)
