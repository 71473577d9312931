"""Answers to images that are asked about together: by an adapter that has learned from them too, without labels (transductive).

They are the pool of a training that is otherwise that of the adapter named. What one image is taken for then depends on what is asked
beside it; nothing that was kept apart says how often that is right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from xmap.pipeline.adapters.adapter import Adapter, artifact_input
from xmap.pipeline.adapters.own_images import require_images
from xmap.pipeline.adapters.pool import PoolRequest, require_fitting, work_on
from xmap.pipeline.run.encoded import newest_features
from xmap.stages.methods.registry import method_entry
from xmap.stages.names import ADAPTER, IMAGES
from xmap.stages.train.identity import PoolSpec, TrainSpec
from xmap.stages.workplace.place import Workplace
from xmap.stages.workplace.progress import Progress
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.artifacts.identity import Identity
from xmap.store.artifacts.root import is_exported
from xmap.store.errors import InputError

if TYPE_CHECKING:
    from xmap.pipeline.adapters.labelling import Answering

SPEC = PoolSpec(together=True)


def require_unpromised(adapter: Answering, sets: float | None, reject: float | None) -> Adapter:
    """The adapter, where nothing is asked of it that it could not keep. Raises `InputError` for a promise and for an exported folder.

    Promises stand on samples that were kept apart, and those were in no pool.
    """
    if sets is not None or reject is not None:
        raise InputError("--together: nothing is promised of images that were learned from; leave out --sets and --reject, or --together.")
    if not isinstance(adapter, Adapter) or is_exported(adapter.store.root):
        raise InputError("--together trains anew, which an exported folder has nothing for; name an adapter of the store it came from.")
    return adapter


def learned_together(adapter: Adapter, asked: PoolRequest, store: Store, progress: Progress) -> Adapter:
    """An adapter of `store` that has learned from the images asked about too; trained once for the same images.

    Raises `InputError` for an adapter with a pool and one whose method takes none, `ArtifactMissing` where what
    it was trained on is gone, and what training raises.
    """
    trained, fields = adapter.artifact, adapter.artifact.fields
    method = str(fields["method"])
    if "pool" in fields:
        raise InputError(f"{trained.name} has learned from a pool already; name an adapter that has not, or leave out --together.")
    if not method_entry(method).pools:
        raise InputError(
            f"{method} does not use a pool, and these images would be one; name an adapter of xmadapter, or leave out --together."
        )
    if adapter.scorer.cache.widths:
        raise InputError(f"{trained.name} is of several encoders, and a pool is learned from by one alone; leave out --together.")
    if asked.keep is False:
        raise InputError("--together learns from features that are kept in the store; leave out --no-keep-features.")
    images, pool = require_images(adapter), _pool(adapter, asked, store, progress)
    spec = TrainSpec(method, _options(method, fields), int(trained.summary["seed"]), fields["protocol"], pool=SPEC)
    identity = Identity(
        ADAPTER,
        f"{trained.name}-together",
        {**fields, "pool": SPEC.declared},
        {**trained.inputs, "pool": pool.fingerprint},
        f"{trained.manifest['command']} --pool {pool.name}",
    )
    from xmap.stages.train.stage import train

    workplace = Workplace(store, progress, device=str(asked.settings.get("run.device") or "auto"))
    cache, texts = (artifact_input(store, trained, name) for name in ("cache", "texts"))
    return Adapter(store, train(workplace, identity, images, texts, cache, spec, {"pool": pool}))


def _pool(adapter: Adapter, asked: PoolRequest, store: Store, progress: Progress) -> Artifact:
    if asked.features:
        images = newest_features(store, IMAGES, asked.features)
        require_fitting(adapter, images)
        return images
    from xmap.stages.extract.identity import image_identity
    from xmap.stages.extract.stage import extract_images

    work = work_on(adapter, asked, store, progress)
    spec = replace(work.specs[0], dataset=replace(work.pool.dataset, name=f"{work.pool.dataset.name}-pool"))
    return extract_images(work.workplace, image_identity(spec, "xmap predict --together"), spec)


def _options(method: str, fields: Mapping[str, Any]) -> Any:
    """The options that an adapter was trained with."""
    return method_entry(method).options.restored(fields["options"])
