"""Adapt a frozen CLIP model to your own classes, from Python. Three calls, the same that the commands of the same names make:

    run      do every stage that is missing:  result = xmap.run("pets", shots=16)
    load     a trained adapter:               xmap.load().predict("photo.jpg")[0].top(3)
    connect  what is stored, in SQL:          xmap.connect().query("from runs")

`xmap.sklearn.FewShotClassifier` is an estimator for scikit-learn; `xmap.testing.check_method` tries a method of your own. The other
commands (bench, report, export, import, verify, gc, ...) have no call here. Every error on purpose is an `xmap.XmapError`, one
sentence with the remedy.
"""

from __future__ import annotations

import sys
import warnings
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmap.store.artifacts.root import EXPORT, require_store, store_root
from xmap.store.disk.plain import plain

# All else is imported by the call that needs it: every import of a part of xmap imports this first.
# An alias says that it is public; in `__all__` it would fill the first three pages of help(xmap).
from xmap.store.errors import XmapError as XmapError

if TYPE_CHECKING:
    from xmap.pipeline.adapters.adapter import Adapter
    from xmap.pipeline.run.execute import RunResult
    from xmap.pipeline.settings.config import XmapConfig
    from xmap.stages.workplace.progress import Progress
    from xmap.store.artifacts.artifact import Store
    from xmap.store.sql.connection import Connection

__all__ = ["run", "load", "connect"]  # noqa: RUF022


def run(
    data: XmapConfig | Path | str | None = None,
    /,
    *,
    config: XmapConfig | Path | str | None = None,
    store: Path | str | None = None,
    verbose: bool | None = None,
    **settings: Any,
) -> RunResult:
    """Do every stage that is missing, for images or features: `xmap.run("pets", shots=16)`.

    `data` is a path, pattern, URL or benchmark, as `xmap run --data` takes it, or else the name of stored features; a name that ends in
    .toml is a config file. `config` is a config or such a file (default: the xmap.toml here, if any), and settings are its fields, by
    name or by section:

    >>> result = xmap.run("pets", shots=4, seeds=1, methods=["zero-shot", "tip-adapter"])
    >>> result = xmap.run("pets", cache={"shots": 4}, run={"seeds": 1, "methods": ["zero-shot", "tip-adapter"]})
    >>> [row["method"] for row in result.results]
    ['zero-shot', 'tip-adapter']
    >>> result.to_arrow().column_names[:2]
    ['method', 'shots']

    Progress is shown on stderr if `verbose`; by default in a notebook, a shell of Python, or where stderr is a terminal. Raises
    `XmapError`.
    """
    from xmap.cli.progress import outcome_line
    from xmap.pipeline.run.encoded import has_features
    from xmap.pipeline.run.execute import run as run_plan
    from xmap.pipeline.settings.python import config_of

    place = _store(store)
    chosen = config_of(data, settings, config, stored=partial(has_features, place))
    with _progress(verbose) as progress:
        return run_plan(place, chosen, progress, report=lambda outcome: progress.say(outcome_line(outcome)))


def load(adapter: str | None = None, store: Path | str | None = None) -> Adapter:
    """A trained adapter: by its name, folder or fingerprint, that of a data set or evaluation, an exported folder, or (by default)
    the newest of a store with one data set. Warns where several have its name, and says which was taken.

    >>> adapter = xmap.load("pets")
    >>> adapter.classes
    ('cat', 'dog', 'rabbit')
    >>> [name for name, chance in adapter.predict("photo.jpg")[0].top(1)]
    ['cat']

    Raises `ArtifactMissing`, and `InputError` where several data sets leave it open which is meant.
    """
    from xmap.pipeline.adapters.choice import load_chosen

    _require_named(store, adapter)
    return load_chosen(_store(store), adapter or "", say=lambda line: warnings.warn(plain(line), stacklevel=4))


def connect(store: Path | str | None = None) -> Connection:
    """The store as SQL views; `query` takes SQL or the name of a ready question, and gives a pyarrow table. Warns of what is damaged.

    >>> with xmap.connect() as connection:
    ...     table = connection.query("select distinct method, shots from runs order by method, shots")
    >>> table.to_pylist()[0]
    {'method': 'tip-adapter', 'shots': 4}

    Raises `StoreMissing` for a store that is named and not there.
    """
    from xmap.store.sql.connection import connect as open_sql

    _require_named(store)
    connection = open_sql(store)
    for damage in connection.damaged:
        warnings.warn(plain(f"left out: {damage}"), stacklevel=2)
    return connection


def _require_named(store: Path | str | None, adapter: str | None = None) -> None:
    """Raise `StoreMissing` for a store that is named and not there; an exported folder needs none."""
    if store and not (adapter and (Path(adapter) / EXPORT).is_file()):
        require_store(store_root(store))


def _progress(verbose: bool | None) -> AbstractContextManager[Progress]:
    from xmap.cli.progress import progress_on_stderr

    watched = hasattr(sys, "ps1") or "ipykernel" in sys.modules or (sys.stderr is not None and sys.stderr.isatty())
    return progress_on_stderr(quiet=not (watched if verbose is None else verbose))


def _store(place: Path | str | None) -> Store:
    from xmap.store.artifacts.artifact import Store
    from xmap.store.artifacts.root import store_root

    return Store(store_root(place))
