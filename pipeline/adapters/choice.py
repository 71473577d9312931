"""Which adapter is meant: by a name, or without one where a store leaves no doubt which data set it is for.

Among adapters of one name the newest is taken, and said: every run on a changed data set makes another one of the same name. The newest
is the one that a run used last, for runs come back to earlier settings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from xmap.pipeline.adapters.adapter import Adapter
from xmap.pipeline.upkeep.named import answering, called
from xmap.stages.methods.registry import method_names
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.artifacts.fingerprint import SHORT
from xmap.store.artifacts.root import EXPORT, remedy_in
from xmap.store.errors import ArtifactMissing, InputError, UnknownName
from xmap.store.sql.views import dataset_of, providers_of

PREFERRED = "xmadapter"
LISTED = 10
# Other adapters of one name that are said: it is one line in every round of labelling.
NAMED = 2

Say = Callable[[str], None]


def load_chosen(store: Store, name: str = "", method: str = "", seed: int | None = None, say: Say = lambda line: None) -> Adapter:
    """The adapter called `name`, else that of the newest evaluation, where all evaluations are of one data set.

    `name` is an exported folder, an adapter's name, folder, or the beginning of its fingerprint; or a data set or an evaluation,
    whose newest adapter of `method` and `seed` is then taken. Without a method XMAdapter is taken where the evaluation has it, else
    the last of its methods: never by its accuracy, which would be a choice made on test. `say` hears which of several was taken.

    Raises `ArtifactMissing` for none, and `InputError` where several data sets or fingerprints answer.
    """
    if name and (Path(name) / EXPORT).is_file():
        exported = Store(Path(name))
        return Adapter(exported, exported_adapter(exported, method, seed))
    survey = store.survey("adapter")
    adapters = survey.artifacts
    by_name = next(reversed(called(adapters, name)), None) or _newest(store, adapters, name, method, seed)
    taken = by_name or answering(survey, name, "adapter")[-1]
    same = [found for found in adapters if found.name == taken.name]
    if by_name and taken.fingerprint != name and len(same) > 1:
        others = [found.fingerprint[:SHORT] for found in reversed(same) if found is not taken]
        more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
        which = f"taken {taken.fingerprint[:SHORT]}, last used of {len(same)}"
        say(f"{taken.name}: {which}; by fingerprint: {', '.join(others[:NAMED])}{more}")
    return Adapter(store, taken)


def _newest(store: Store, adapters: Sequence[Artifact], name: str, method: str, seed: int | None) -> Artifact | None:
    """The newest adapter of a data set or evaluation, or without a name of the only data set; None where neither is called so."""
    stored = store.artifacts()
    providers = providers_of(stored)
    datasets = {found.path: dataset_of(found, providers) for found in stored if found.stage in ("adapter", "eval")}
    evaluations = [found for found in stored if found.stage == "eval" and (name in ("", datasets[found.path]) or called([found], name))]
    named = {digest for found in evaluations for digest in found.inputs.values()}
    # Those that learned from images asked about together are for these alone.
    lasting = [found for found in adapters if not dict(found.fields.get("pool") or {}).get("together")]
    own = [found for found in lasting if name in ("", datasets.get(found.path)) or found.fingerprint in named]
    if not name:
        _require_one(sorted({dataset for found in [*own, *evaluations] if (dataset := datasets.get(found.path))}))
    elif not own:
        return None
    evaluation = next(reversed(evaluations), None)
    compared = [str(found) for found in evaluation.fields.get("methods", ())] if evaluation else []
    wanted = method or (PREFERRED if PREFERRED in compared else next(reversed(compared), ""))
    fitting = [found for found in own if wanted in ("", found.summary.get("method")) and seed in (None, found.summary.get("seed"))]
    if not fitting:
        methods = tuple(dict.fromkeys(str(found.summary.get("method")) for found in own))
        if method and method not in (*methods, *method_names()):
            raise UnknownName("method", method, methods)
        asked = ", ".join([wanted or "any method", "any seed" if seed is None else f"seed {seed}"])
        raise ArtifactMissing("adapter", asked, "run `xmap run` first, or name one of `xmap status` with --adapter.")
    evaluated = set(evaluation.inputs.values()) if evaluation else set()
    chosen = [found for found in fitting if found.fingerprint in evaluated]
    return min(chosen, key=lambda found: int(found.summary.get("seed") or 0)) if chosen else fitting[-1]


def _require_one(datasets: Sequence[str]) -> None:
    if len(datasets) > 1:
        more = f" and {len(datasets) - LISTED} more" if len(datasets) > LISTED else ""
        raise InputError(
            f"the store holds adapters of {len(datasets)} data sets: {', '.join(datasets[:LISTED])}{more}; "
            "name a data set, or an adapter of `xmap status`, with --adapter NAME, in Python xmap.load(NAME)."
        )


def exported_adapter(store: Store, method: str = "", seed: int | None = None) -> Artifact:
    """The one adapter in an exported folder.

    Raises `ArtifactDamaged`, and `InputError` for another number of them and where it is of another method or seed than is asked for.
    """
    survey = store.survey("adapter")
    for damage in survey.damaged.values():
        raise damage
    adapters = survey.artifacts
    if len(adapters) != 1:
        raise InputError(f"{store.root} holds {len(adapters)} adapters, not one; {remedy_in(store.root, '')}")
    facts = adapters[0].summary
    if method not in ("", facts.get("method")) or seed not in (None, facts.get("seed")):
        asked = " and ".join([*([f"method {method}"] if method else []), *([] if seed is None else [f"seed {seed}"])])
        holds = f"method {facts.get('method')}, seed {facts.get('seed')}"
        raise InputError(f"{store.root} holds one adapter ({holds}), not that of {asked}; leave these out, or name another folder.")
    return adapters[0]
