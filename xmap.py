"""xmap's public API: `import xmap`, then `xmap.run`, `xmap.load`, `xmap.connect`. The command line makes the same calls.

Heavy libraries are imported by the call that needs them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from store.artifact import Store
from store.errors import XmapError
from store.root import store_root

if TYPE_CHECKING:
    from pipeline.adapters import Adapter
    from pipeline.config import XmapConfig
    from pipeline.run import RunResult
    from store.sql import Connection

__all__ = ["XmapError", "connect", "load", "run"]


def run(config: XmapConfig | Path | str | None = None, *, store: Path | str | None = None, **overrides: Any) -> RunResult:
    """Do every stage that is missing. `config` is a config or the path of an xmap.toml (default: the one here, if any).

    Overrides are settings by section: `xmap.run(cache={"shots": 4}, run={"features": "imagenet"})`. Raises `XmapError`.
    """
    from pipeline.config import XmapConfig, load_config
    from pipeline.run import run as run_plan

    given = dict(_flat(overrides))
    chosen = config.override(given) if isinstance(config, XmapConfig) else load_config(config, given)
    return run_plan(Store(store_root(store)), chosen)


def load(adapter: str = "", store: Path | str | None = None) -> Adapter:
    """A trained adapter: by its name, folder or fingerprint, that of a data set or evaluation, an exported folder, or (by default)
    the newest of a store with one data set. Warns where several have its name, and says which was taken.

    `adapter.predict("photo.jpg")[0].top(3)` are the three most probable classes of an image. Raises `ArtifactMissing`, and
    `InputError` where several data sets leave it open which is meant.
    """
    import warnings

    from pipeline.adapter_choice import load_chosen

    return load_chosen(Store(store_root(store)), adapter, say=lambda line: warnings.warn(line, stacklevel=4))


def connect(store: Path | str | None = None) -> Connection:
    """The store as SQL views: `xmap.connect().query("select * from runs")` is a pyarrow table. Warns of what is damaged."""
    import warnings

    from store.sql import connect as open_sql

    connection = open_sql(store)
    for damage in connection.damaged:
        warnings.warn(f"left out: {damage}", stacklevel=2)
    return connection


def _flat(tables: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in tables.items():
        found += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(f"{prefix}{name}", value)]
    return found
