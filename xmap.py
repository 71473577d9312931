"""xmap in Python. Three calls, the same ones that the commands of the same names make:

    run      do every stage that is missing:  result = xmap.run(data="pets", shots=16)
    load     a trained adapter:               xmap.load().predict("photo.jpg")[0].top(3)
    connect  what is stored, in SQL:          xmap.connect().query("from runs")

The other commands (bench, report, export, import, verify, gc, ...) have no call here. Every error on purpose is an `XmapError`.
"""

from __future__ import annotations

import sys
import warnings
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Heavy libraries are imported by the call that needs them.
from store.artifact import Store
from store.errors import XmapError
from store.plain import plain
from store.root import require_store, store_root

if TYPE_CHECKING:
    from pipeline.adapters import Adapter
    from pipeline.config import XmapConfig
    from pipeline.run import RunResult
    from stages.progress import Progress
    from store.sql import Connection

__all__ = ["run", "load", "connect", "XmapError"]  # noqa: RUF022


def run(
    config: XmapConfig | Path | str | None = None, *, store: Path | str | None = None, verbose: bool | None = None, **settings: Any
) -> RunResult:
    """Do every stage that is missing. `config` is a config or the path of an xmap.toml (default: the one here, if any).

    Settings are those of xmap.toml: fields by name, `xmap.run(data="pets", shots=4, seeds=1)`, or by section,
    `xmap.run(cache={"shots": 4}, methods={"tip-adapter": {"alpha": [1, 2]}})`. Progress is shown on stderr if `verbose`; by
    default in a notebook, a shell of Python, or where stderr is a terminal. Raises `XmapError`.
    """
    from cli.progress import outcome_line
    from pipeline.python_settings import config_of
    from pipeline.run import run as run_plan

    chosen = config_of(config, settings)
    with _progress(verbose) as progress:
        return run_plan(Store(store_root(store)), chosen, progress, report=lambda outcome: progress.say(outcome_line(outcome)))


def load(adapter: str | None = None, store: Path | str | None = None) -> Adapter:
    """A trained adapter: by its name, folder or fingerprint, that of a data set or evaluation, an exported folder, or (by default)
    the newest of a store with one data set. Warns where several have its name, and says which was taken.

    `adapter.predict("photo.jpg")[0].top(3)` are the three most probable classes of an image. Raises `ArtifactMissing`, and
    `InputError` where several data sets leave it open which is meant.
    """
    from pipeline.adapter_choice import load_chosen

    _require_named(store, adapter)
    return load_chosen(Store(store_root(store)), adapter or "", say=lambda line: warnings.warn(plain(line), stacklevel=4))


def connect(store: Path | str | None = None) -> Connection:
    """The store as SQL views: `xmap.connect().query("from runs")` is a pyarrow table. Warns of what is damaged.

    Raises `StoreMissing` for a store that is named and not there.
    """
    from store.sql import connect as open_sql

    _require_named(store)
    connection = open_sql(store)
    for damage in connection.damaged:
        warnings.warn(plain(f"left out: {damage}"), stacklevel=2)
    return connection


def _require_named(store: Path | str | None, adapter: str | None = None) -> None:
    """Raise `StoreMissing` for a store that is named and not there; an exported folder needs none."""
    from pipeline.encoders import EXPORT

    if store and not (adapter and (Path(adapter) / EXPORT).is_file()):
        require_store(store_root(store))


def _progress(verbose: bool | None) -> AbstractContextManager[Progress]:
    from cli.progress import progress_on_stderr

    watched = hasattr(sys, "ps1") or "ipykernel" in sys.modules or (sys.stderr is not None and sys.stderr.isatty())
    return progress_on_stderr(quiet=not (watched if verbose is None else verbose))


if __name__ == "__main__":
    from cli.main import main

    main()
