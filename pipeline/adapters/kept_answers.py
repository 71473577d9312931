"""Answers kept in the store under a name: asked again about the same images, they are there."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from xmap.pipeline.adapters.adapter import Adapter
from xmap.pipeline.adapters.own_images import images_of
from xmap.pipeline.adapters.pool import CHUNK, PoolRequest, kept_in, label_stored, learned_by, work_on
from xmap.pipeline.run.encoded import newest_features
from xmap.stages.names import IMAGES
from xmap.stages.predict.answers import Answers
from xmap.stages.predict.columns import listed
from xmap.stages.predict.identity import answers_identity, learned_print
from xmap.stages.predict.prediction import Asked
from xmap.stages.predict.stage import keep_answers
from xmap.stages.workplace.place import Workplace
from xmap.stages.workplace.progress import Progress
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.artifacts.fingerprint import SHORT, Fields
from xmap.store.artifacts.root import is_exported
from xmap.store.errors import InputError
from xmap.store.memory.uses import remember_uses

Made = Callable[[], Iterator[Answers]]

# Paths that a recorded command names; more come from stdin again.
NAMED = 20


@dataclass(frozen=True)
class Keeping:
    """The name under which answers are kept, and how many classes of each; `also` where they are wanted elsewhere too."""

    name: str
    top: int | None = None
    also: bool = False


def kept_answers(
    adapter: Adapter, asked: PoolRequest, store: Store, saying: Asked, keeping: Keeping, progress: Progress
) -> Iterator[Answers]:
    """What the adapter says of all images asked about, kept in `store`; nothing where it is kept already and not wanted elsewhere.

    Raises `InputError` for a store that is an exported folder, and what reading and encoding the images raise.
    """
    if is_exported(store.root):
        raise InputError(f"--store-as: {store.root} is an exported folder and keeps no answers; name your own store with --store DIR.")
    with kept_in(store, asked.keep is not False, progress) as place:
        pool, answers = _pool(adapter, asked, place, saying, progress)
        top = listed(keeping.top, len(adapter.classes))
        command = shlex.join(["xmap", "predict", *_named(asked), *_flags(adapter, asked, saying, keeping)])
        identity = answers_identity(keeping.name, adapter.artifact, pool, saying, top, command)
        found = store.find(identity)
        if found is None:
            yield from keep_answers(Workplace(store, progress), identity, adapter.artifact, answers(), saying, top)
        elif keeping.also:
            yield from answers()
        remember_uses(store.root, [identity.fingerprint])
        progress.say(_said(store.require(identity), reused=found is not None))


def _pool(adapter: Adapter, asked: PoolRequest, place: Store, saying: Asked, progress: Progress) -> tuple[Fields, Made]:
    """What determines the answers about the images, and what gives them."""
    if not asked.features:
        work = work_on(adapter, asked, place, progress)
        return work.identity, lambda: work.answers(saying)
    parts = dict(newest_features(adapter.store, IMAGES, asked.features).summary["parts"])
    learned = learned_print(learned_by(images_of(adapter)))
    return {"features": parts, "learned": learned, "chunk": CHUNK}, lambda: label_stored(adapter, asked.features, saying, progress)


def _named(asked: PoolRequest) -> Sequence[str]:
    if asked.paths:
        return asked.paths if len(asked.paths) <= NAMED else "-"
    return ("--features", asked.features) if asked.features else ("--data", asked.data)


def _flags(adapter: Adapter, asked: PoolRequest, saying: Asked, keeping: Keeping) -> Iterator[str]:
    given = {
        "--adapter": adapter.artifact.fingerprint[:SHORT], "--store-as": keeping.name, "--root": asked.root, "--top": keeping.top,
        "--sets": saying.sets and f"{saying.sets.level:g}", "--sets-by": saying.sets and saying.sets.by,
        "--reject": saying.rejection and f"{saying.rejection.share:g}",
        **{f"--{name.replace('_', '-')}": asked.encoder.get(name) for name in ("model", "pretrained")},
        **{f"--{name.partition('.')[2].replace('_', '-')}": value for name, value in asked.settings.items() if name.startswith("extract.")},
    }  # fmt: skip
    yield from (word for flag, value in given.items() if value for word in (flag, str(value)))
    yield from (word for name in asked.encoder.get("also_model", ()) for word in ("--also-model", name))
    yield from ("--explain",) if saying.neighbors else ()


def _said(artifact: Artifact, reused: bool) -> str:
    facts = artifact.summary
    kept = "nothing changed, kept before" if reused else "kept"
    bad = f", {facts['bad']:,} of which cannot be read" if facts["bad"] else ""
    return f"answers {artifact.name}: {kept}, {facts['samples']:,} images{bad}; `xmap sql answers` shows them"
