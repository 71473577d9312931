"""A pool labelled by an adapter: found, encoded into a store as far as that lacks it, and scored part by part in its own order."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from xmap.pipeline.adapters.adapter import Adapter
from xmap.pipeline.adapters.own_images import extracted_as, images_of
from xmap.pipeline.engines.registry import workplace_of
from xmap.pipeline.run.encoded import newest_features
from xmap.pipeline.run.features import grounded
from xmap.pipeline.settings.config import XmapConfig
from xmap.stages.datasets.dataset import SPLITS, TEST, known_contents
from xmap.stages.datasets.places.columns import texts
from xmap.stages.datasets.places.place import is_url
from xmap.stages.encoder.names import LOCAL
from xmap.stages.names import IMAGES, POOL
from xmap.stages.workplace.progress import Progress
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.artifacts.root import is_exported
from xmap.store.errors import InputError
from xmap.store.formats.samples import contents_of
from xmap.store.formats.tables import Array
from xmap.store.memory.notes import HASHES, Notes

if TYPE_CHECKING:
    from xmap.stages.datasets.given import Pool
    from xmap.stages.encoder.identity import EncoderIdentity
    from xmap.stages.extract.identity import ExtractSpec
    from xmap.stages.extract.pool import PoolPart
    from xmap.stages.predict.answers import Answers
    from xmap.stages.predict.prediction import Asked
    from xmap.stages.workplace.place import Workplace
    from xmap.store.artifacts.fingerprint import Fields

# Images that are scored together, by their place in the pool: the last bits of a product may depend on how many rows it has.
CHUNK = 1024


@dataclass(frozen=True)
class PoolRequest:
    """The images to label: where `paths` lead, at `data` (of a benchmark below `root`), or those whose stored `features` have a name.

    `encoder` names it where the store does not. `settings`, as `section.field`, are of extraction, device and engine; None where they are
    as those of the adapter's own images. `keep` says whether features stay in the store, None where that depends on the images.
    """

    paths: Sequence[str] = ()
    data: str = ""
    features: str = ""
    root: str = ""
    keep: bool | None = None
    encoder: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


@contextmanager
def kept_in(store: Store, keep: bool, progress: Progress) -> Iterator[Store]:
    """Where features are kept: `store`, or one that goes with the block where none are to be kept or there is no store."""
    if keep and os.path.isdir(store.root) and not is_exported(store.root):
        yield store
        return
    if keep:
        progress.say(
            "the features are not kept: there is no store here; name one with --store DIR, and another adapter need not encode again"
        )
    with TemporaryDirectory(prefix="xmap-") as folder:
        yield Store(Path(folder))


@dataclass(frozen=True, eq=False)
class Work:
    """A pool that is read and waits to be labelled, with a spec for each encoder of the adapter; `learned` are the contents that the
    adapter learned from, where they are known."""

    adapter: Adapter
    workplace: Workplace
    specs: tuple[ExtractSpec, ...]
    pool: Pool
    learned: Array | None

    def answers(self, saying: Asked) -> Iterator[Answers]:
        """What the adapter says, as `saying` has it, of all images in order, whose features are kept. Raises what extraction raises."""
        from xmap.stages.extract.pool import wide_parts

        samples, columns = self.pool.dataset.samples, self.pool.columns
        for part, answers in _answered(self.adapter, saying, self.pool, wide_parts(self.workplace, self.specs, CHUNK)):
            rows = np.arange(part.start, part.stop)
            known = None if self.learned is None else np.isin(known_contents(samples)[rows], self.learned)
            given = None if columns is None else columns.rows(part.start, part.stop)
            yield replace(answers, known=known, columns=given, places=samples.places.take(rows))

    @property
    def identity(self) -> Fields:
        """All that determines answers about the pool beside the adapter and what it is asked."""
        from xmap.stages.predict.identity import learned_print, pool_print
        from xmap.stages.predict.stage import given_rows

        samples, columns, config = self.pool.dataset.samples, self.pool.columns, self.specs[0].config
        starts = () if columns is None else range(0, len(samples), CHUNK)
        given = (row for start in starts for row in given_rows(columns.rows(start, min(start + CHUNK, len(samples)))))  # type: ignore[union-attr]
        images = pool_print(texts(samples.ids), known_contents(samples), given)
        read = {"batch_size": config.batch_size, "depth": config.depth, "max_pixels": config.max_pixels, "chunk": CHUNK}
        # An adapter of features that came from elsewhere does not say which encoder made them.
        first, *others = (spec.encoder.fields for spec in self.specs)
        also: Fields = {"also": others} if others else {}
        return {"images": images, "encoder": first, **also, "learned": learned_print(self.learned), **read}


def work_on(adapter: Adapter, asked: PoolRequest, store: Store, progress: Progress) -> Work:
    """A pool read for an adapter, whose features `store` is to keep.

    Raises `InputError` for a pool that cannot be read, and what loading the encoder raises.
    """
    from xmap.stages.extract.identity import ExtractSpec

    images = images_of(adapter)
    config = extracted_as(adapter, images, asked.settings)
    workplace = workplace_of(store, config.run, progress)
    encoders = [_whole(found) for found in adapter.encoder_identities(**asked.encoder)]
    pool = _opened(asked, config, Notes(store.root / HASHES), workplace.engine.away)
    for remark in pool.dataset.remarks:
        progress.say(remark)
    specs = tuple(ExtractSpec(pool.dataset, encoder, config.extract) for encoder in encoders)
    return Work(adapter, workplace, specs, pool, learned_by(images))


def label_stored(adapter: Adapter, name: str, saying: Asked, progress: Progress) -> Iterator[Answers]:
    """What the adapter says of all images whose features its store has under a name, split by split; nothing is encoded.

    Raises `ArtifactMissing` for an unknown name, `InputError` for features of another encoder, and `ArtifactDamaged`.
    """
    from xmap.stages.predict.predictor import Predictor
    from xmap.store.formats.plain_rows import plain_rows

    images = newest_features(adapter.store, IMAGES, name)
    require_fitting(adapter, images)
    learned, predictor = learned_by(images_of(adapter)), Predictor(adapter.scorer, saying)
    counts = dict(images.summary["counts"])
    splits = [split for split in (*SPLITS, POOL) if counts.get(split)] or list(counts)
    tables = [path for split in splits for path in images.files(suffix=".parquet") if path.name.rpartition("-")[0] == split]
    progress.start("label stored features", sum(int(counts[split]) for split in splits))
    for rows in plain_rows(tables, CHUNK):
        answers = predictor.answers(rows.sample_ids.to_pylist(), rows.features, {})
        known = None if learned is None or rows.contents is None else np.isin(rows.contents, learned)
        yield replace(answers, known=known)
        progress.advance(len(rows))


def _opened(asked: PoolRequest, config: XmapConfig, notes: Notes, away: bool) -> Pool:
    """The pool with the contents of its images; with whole paths where work is done `away`, in other folders."""
    from xmap.stages.datasets.content.hashing import hash_places, with_contents
    from xmap.stages.datasets.given import pool_at, pool_of

    if asked.paths:
        paths = [str(Path(path).absolute()) if away and not is_url(path) else path for path in asked.paths]
        found = pool_of(paths, notes)
    else:
        placed = config.override({"data.data": asked.data, "data.root": asked.root})
        data = (grounded(placed) if away else placed).data
        found = pool_at(data.data, notes, data.root, "--data")
    return replace(found, dataset=with_contents(found.dataset, partial(hash_places, notes=notes)))


def _whole(encoder: EncoderIdentity) -> EncoderIdentity:
    """The encoder by whole paths: workers elsewhere start in other folders."""
    source = encoder.tokenizer_source
    named = f"{LOCAL}{Path(source.removeprefix(LOCAL)).absolute()}" if source.startswith(LOCAL) else source
    return replace(encoder, weights=encoder.weights.absolute(), tokenizer_source=named)


def _answered(adapter: Adapter, saying: Asked, pool: Pool, parts: Iterator[PoolPart]) -> Iterator[tuple[PoolPart, Answers]]:
    from xmap.stages.images.decode import BadImage
    from xmap.stages.predict.predictor import Predictor

    predictor, ids = Predictor(adapter.scorer, saying), pool.dataset.samples.ids
    for part in parts:
        bad = {row: BadImage(error.kind, error.message) for row, error in part.bad.items()}
        yield part, predictor.answers(ids[part.start : part.stop].tolist(), part.features, bad)


def learned_by(images: Artifact | None) -> Array | None:
    """The contents of the images that adapters of these features learn from: all but the test split. None where they are not known."""
    if images is None:
        return None
    contents = contents_of(images, lambda name: not name.startswith(f"{TEST}-"))
    return np.unique(contents) if len(contents) else None


def require_fitting(adapter: Adapter, images: Artifact) -> None:
    """Raise `InputError` for features of another encoder than the adapter takes."""
    if adapter.scorer.cache.widths:
        raise InputError(f"{adapter.artifact.name} takes the features of several encoders; give it images, not --features.")
    made, wanted = images.fields.get("encoder"), adapter.texts.fields.get("encoder")
    if made is not None and wanted is not None and made != wanted:
        raise InputError(f"the features {images.name!r} are of another encoder than {adapter.artifact.name!r} takes; name others.")
    width = images.summary.get("width")
    if width is not None and width != adapter.scorer.cache.width:
        raise InputError(f"the features {images.name!r} have width {width}, the adapter takes {adapter.scorer.cache.width}; name others.")
