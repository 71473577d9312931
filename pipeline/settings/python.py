"""Settings as Python gives them: by section, `cache={"shots": 4}`, or a field by its name, `shots=4`; in words that Python uses."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xmap.pipeline.settings.config import SECTIONS, XmapConfig, load_config, nearest
from xmap.stages.datasets.sources.table_files import TABLES
from xmap.store.errors import InputError

METHODS = "methods"
FIELDS: Mapping[str, str] = {field: section for section, model in SECTIONS.items() for field in model.model_fields}


def config_of(config: XmapConfig | Path | str | None, given: Mapping[str, Any]) -> XmapConfig:
    """`config` (or an xmap.toml's, default: the one here, if any) with what is given. Raises `InputError`, `UnknownName`."""
    settings = settings_of(given)
    if isinstance(config, Path | str) and _is_data(Path(config)):
        raise InputError(f"xmap.run({os.fspath(config)!r}) names a config file, and that is none; give images as xmap.run(data=...).")
    return config.override(settings, _said) if isinstance(config, XmapConfig) else load_config(config, settings, said=_said)


def _is_data(path: Path) -> bool:
    return path.is_dir() or path.suffix.lower() in (*TABLES, ".tar")


def settings_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings keyed `section.field`. Raises `InputError` for a name that is neither a section nor a field."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        if isinstance(value, Mapping) and (name in SECTIONS or name == METHODS):
            found.update(_flat(value, f"{name}."))
        elif name in FIELDS:
            found[f"{FIELDS[name]}.{name}"] = _plain(value)
        else:
            hint = nearest(name, [*FIELDS, *SECTIONS])
            raise InputError(f"xmap.run() has no setting {name!r}; {hint}.")
    return found


def _flat(table: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in table.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": _plain(value)}
    return found


def _plain(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _said(name: str) -> str:
    return f"setting {name}"
