"""Images that an adapter is asked about, however they are named: files are read and answered in passing, all else goes by the store."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xmap.pipeline.adapters.adapter import BATCH, Adapter
from xmap.pipeline.adapters.given_images import WILD, image_paths, require_there
from xmap.pipeline.adapters.pool import PoolRequest, kept_in, label, label_stored
from xmap.stages.datasets.places.pictures import IMAGE_SUFFIXES
from xmap.stages.workplace.progress import Progress
from xmap.store.artifacts.artifact import Store
from xmap.store.errors import InputError

if TYPE_CHECKING:
    from xmap.stages.predict.answers import Answers
    from xmap.stages.predict.prediction import Asked


def require_one_place(asked: PoolRequest, typed: Sequence[str]) -> None:
    """Raise `InputError` where images are named in no way or in several, and where one of the paths that somebody `typed` is not there."""
    ways = [name for name, given in (("PATH", asked.paths), ("--data", asked.data), ("--features", asked.features)) if given]
    if not ways:
        raise InputError("no images are named; give files or folders, --data, or - to read their names from stdin.")
    if len(ways) > 1:
        raise InputError(f"images are named by {' and by '.join(ways)}; give one of them.")
    if asked.features and asked.keep is not None:
        raise InputError("--keep-features is for images that are encoded; those of --features are kept already, leave it out.")
    require_there([path for path in typed if not _leads_elsewhere(path)])


def answers_of(adapter: Adapter, asked: PoolRequest, store: Store, saying: Asked, progress: Progress) -> Iterator[Answers]:
    """What the adapter says, as `saying` has it, of all images asked about, in their order; `store` is where features are kept.

    Raises `InputError` where none can be used, and what reading and encoding them raise.
    """
    if asked.features:
        yield from label_stored(adapter, asked.features, saying, progress)
    elif asked.keep is None and asked.settings.get("run.engine") != "ray" and _are_files(asked.paths):
        yield from _in_passing(adapter, asked, saying, progress)
    else:
        with kept_in(store, asked.keep is not False, progress) as kept:
            yield from label(adapter, asked, kept, saying, progress)


def _are_files(paths: Iterable[str]) -> bool:
    plain = [os.path.isfile(path) and Path(path).suffix.lower() in IMAGE_SUFFIXES for path in paths]
    if all(plain):
        return bool(plain)
    from xmap.stages.datasets.given import is_of_files

    return all(is_of_files(path) for path in paths)


def _leads_elsewhere(path: str) -> bool:
    """Whether a path names something beside a file or folder of this machine."""
    if os.path.lexists(path):
        return False
    from xmap.stages.datasets.given import is_of_files

    return not is_of_files(path) and ("://" in path or ":" in path or any(sign in path for sign in (*WILD, "{")))


def _in_passing(adapter: Adapter, asked: PoolRequest, saying: Asked, progress: Progress) -> Iterator[Answers]:
    """Answers about files, of which nothing is stored."""
    found, given = image_paths(asked.paths, progress), asked.settings
    rules = adapter.rules(given.get("extract.depth") or "", given.get("extract.max_pixels"))
    encoder = adapter.encoder(**asked.encoder, device=given.get("run.device") or "auto")
    progress.say(f"the encoder works on {encoder.device}")
    workers = given.get("run.workers")
    size = given.get("extract.batch_size") or BATCH
    answers = adapter.stream(found, encoder, progress, size, 2 if workers is None else workers, saying, rules)
    yield from _noticed(answers, progress, len(found))


def _noticed(answers: Iterable[Answers], progress: Progress, total: int) -> Iterator[Answers]:
    """The same answers, and a line for each image that could not be read. Raises `InputError` where none could be."""
    bad = 0
    for batch in answers:
        for row, error in batch.bad.items():
            progress.say(f"{batch.names[row]}: {error.kind}, {error.message}")
        bad += len(batch.bad)
        yield batch
    if bad:
        progress.say(f"{bad:,} of {total:,} images could not be read")
    if bad == total:
        raise InputError(f"none of the {total:,} images could be read; check the paths above.")
