"""The layouts that `xmap import` reads. No torch and no pyarrow here until one is read: help names them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from xmap.stages.imports.request import ImportRequest
from xmap.stages.workplace.progress import Progress
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.errors import InputError, UnknownName

Importer = Callable[[Store, ImportRequest, Progress], Sequence[Artifact]]


def import_features(store: Store, request: ImportRequest, progress: Progress) -> Sequence[Artifact]:
    """Import features: an images artifact, and one of class texts where there are some. Raises `InputError`, `UnknownName` among them."""
    if request.layout not in LAYOUTS:
        raise UnknownName("layout", request.layout, tuple(LAYOUTS))
    return LAYOUTS[request.layout](store, request, progress)


def _tip_adapter(store: Store, request: ImportRequest, progress: Progress) -> Sequence[Artifact]:
    from xmap.stages.imports.tip_adapter import import_tip_adapter

    if request.flags:
        raise InputError(f"the layout tip-adapter holds all by itself; leave out {' '.join(f'--{flag}' for flag in request.flags)}.")
    return import_tip_adapter(store, request.path, request.name, request.logit_scale, progress)


def _vectors(store: Store, request: ImportRequest, progress: Progress) -> Sequence[Artifact]:
    from xmap.stages.imports.readers import READERS
    from xmap.stages.imports.stage import import_vectors

    return import_vectors(store, request, READERS[request.layout], progress)


# Each but the first has its reader in `readers.READERS`.
LAYOUTS: Mapping[str, Importer] = {
    "tip-adapter": _tip_adapter,
    **dict.fromkeys(("table", "npy", "huggingface", "clip-retrieval", "img2dataset"), _vectors),
}
