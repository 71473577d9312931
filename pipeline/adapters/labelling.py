"""Images that an adapter is asked about, however they are named: files are read and answered in passing, all else goes by the store."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING

from xmap.pipeline.adapters.adapter import BATCH, Adapter
from xmap.pipeline.adapters.choice import Say, exported_adapter, load_chosen
from xmap.pipeline.adapters.given_images import WILD, image_paths, require_there
from xmap.pipeline.adapters.onnx_adapter import OnnxAdapter, has_onnx_file
from xmap.pipeline.adapters.pool import PoolRequest, kept_in, label_stored, work_on
from xmap.stages.datasets.places.pictures import IMAGE_SUFFIXES
from xmap.stages.machine.threads import unhelped_threads
from xmap.stages.onnx.form import FILE
from xmap.stages.onnx.session import has_onnxruntime
from xmap.stages.workplace.progress import Progress
from xmap.store.artifacts.artifact import Store
from xmap.store.errors import InputError

if TYPE_CHECKING:
    from xmap.stages.images.read import Given
    from xmap.stages.predict.answers import Answers
    from xmap.stages.predict.prediction import Asked


Answering = Adapter | OnnxAdapter
# What an ONNX file cannot give, in words, and whether it is asked for.
TORCH: Mapping[str, Callable[[PoolRequest], bool]] = {
    "onnxruntime is not installed (`pip install 'xmap[onnx]'`)": lambda asked: not has_onnxruntime(),
    "--device names another device than the CPU": lambda asked: asked.settings.get("run.device") not in (None, "", "auto", "cpu"),
    "an encoder is named (--model, --pretrained, --cache-dir)": lambda asked: any(asked.encoder.values()),
    "features are kept or found in a store, or read by an engine": lambda asked: not _is_in_passing(asked),
}


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


def require_apart(asked: PoolRequest, written: Sequence[Path | None]) -> None:
    """Raise `InputError` where one of the places to be written is an image or table asked about, or lies in another of them."""
    places = [place for place in written if place is not None]
    for place in places:
        for given in filter(None, (*asked.paths, asked.data)):
            if _replaces(place, os.path.realpath(given)):
                raise InputError(f"{place} would be written over, and is what is asked about; name another place.")
    for one, other in permutations(places, 2):
        if one.is_relative_to(other):
            raise InputError(f"{one} and {other} are both to be written, and one lies in the other; name places apart.")


def _replaces(place: Path, given: str) -> bool:
    """Whether a file written at `place` takes that of one at `given`: a file, a pattern of files, or a folder of images."""
    if not place.is_file():
        return False
    inside = place.suffix.lower() in IMAGE_SUFFIXES and place.is_relative_to(given)
    return inside or str(place) == given or fnmatchcase(str(place), given)


def load_answering(
    asked: PoolRequest, store: Store, name: str = "", method: str = "", seed: int | None = None, say: Say = lambda line: None
) -> Answering:
    """The adapter that `load_chosen` means; that of an exported folder by its ONNX file, where all that is asked can be had from it.

    `say` hears why torch answers where there is such a file. Raises what `load_chosen` and `OnnxAdapter` raise.
    """
    if not has_onnx_file(name):
        return load_chosen(store, name, method, seed, say)
    why = next((what for what, needed in TORCH.items() if needed(asked)), None)
    if why is not None:
        say(f"torch answers, not {FILE}: {why}")
        return load_chosen(store, name, method, seed, say)
    exported = Store(Path(name))
    return OnnxAdapter(exported, exported_adapter(exported, method, seed))


def answers_of(adapter: Answering, asked: PoolRequest, store: Store, saying: Asked, progress: Progress) -> Iterator[Answers]:
    """What the adapter says, as `saying` has it, of all images asked about, in their order; `store` is where features are kept.

    Raises `InputError` where none can be used, and what reading and encoding them raise.
    """
    if isinstance(adapter, OnnxAdapter):
        yield from _in_passing(adapter, asked, saying, progress)
    elif asked.features:
        yield from label_stored(adapter, asked.features, saying, progress)
    elif _is_in_passing(asked):
        yield from _in_passing(adapter, asked, saying, progress)
    else:
        with kept_in(store, asked.keep is not False, progress) as kept:
            yield from work_on(adapter, asked, kept, progress).answers(saying)


def _is_in_passing(asked: PoolRequest) -> bool:
    # What only engines take goes where it is checked.
    here = asked.settings.get("run.engine") in (None, "", "local") and asked.settings.get("run.gpus_per_worker") is None
    return asked.keep is None and here and _are_files(asked.paths)


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


def _in_passing(adapter: Answering, asked: PoolRequest, saying: Asked, progress: Progress) -> Iterator[Answers]:
    """Answers about files, of which nothing is stored."""
    found, given = image_paths(asked.paths, progress), asked.settings
    rules = adapter.rules(given.get("extract.depth") or "", given.get("extract.max_pixels"))
    threads, size = unhelped_threads(given.get("run.workers")), given.get("extract.batch_size") or BATCH
    if isinstance(adapter, OnnxAdapter):
        progress.say(f"onnxruntime works with {FILE} on cpu")
        answers = adapter.stream(found, progress, size, threads, saying, rules)
    else:
        encoder = adapter.encoder(**asked.encoder, device=given.get("run.device") or "auto")
        progress.say(f"the encoder works on {encoder.device}")
        answers = adapter.stream(found, encoder, progress, size, threads, saying, rules)
    yield from _noticed(answers, progress, found)


def _noticed(answers: Iterable[Answers], progress: Progress, found: Sequence[Given]) -> Iterator[Answers]:
    """The same answers with the places of their images, and a line for each that could not be read.

    Raises `InputError` where none could be.
    """
    bad, start, total = 0, 0, len(found)
    for batch in answers:
        for row, error in batch.bad.items():
            progress.say(f"{batch.names[row]}: {error.kind}, {error.message}")
        bad += len(batch.bad)
        yield replace(batch, places=found[start : start + len(batch)])
        start += len(batch)
    if bad:
        progress.say(f"{bad:,} of {total:,} images could not be read")
    if bad == total:
        raise InputError(f"none of the {total:,} images could be read; check the paths above.")
