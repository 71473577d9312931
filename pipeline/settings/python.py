"""What `xmap.run` is handed: data by place or name, and settings by section, `cache={"shots": 4}`, or a field by its name, `shots=4`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from xmap.pipeline.settings.config import SECTIONS, XmapConfig, load_config, nearest
from xmap.store.errors import InputError

METHODS = "methods"
# Of URLs, benchmarks and patterns: what has one may be there, though no file is called so.
MARKS = frozenset(":*?[{")
FIELDS: Mapping[str, str] = {name: section for section, model in SECTIONS.items() for name in model.model_fields}


def config_of(
    first: XmapConfig | Path | str | None,
    given: Mapping[str, Any],
    config: XmapConfig | Path | str | None = None,
    stored: Callable[[str], bool] = lambda name: False,
) -> XmapConfig:
    """The config that `first` is or names, with what is given; where `first` names data, `config` (default: the xmap.toml here) with these.

    A config file's name ends in .toml; all else names data, by a path or else the name of features that the store has, as `stored` says.
    Raises `InputError`, also where something is named twice, and `UnknownName`.
    """
    settings, named = settings_of(given), {}
    if isinstance(first, Path | str) and not _is_config(first):
        named = _data(first, stored)
    elif first is not None and config is not None:
        raise _twice("config")
    for name, value in named.items():
        if value and name in settings:
            raise _twice(name.rpartition(".")[2])
    chosen = config if first is None or named else first
    settings = {**named, **settings}
    return chosen.override(settings, _said) if isinstance(chosen, XmapConfig) else load_config(chosen, settings, said=_said)


def _twice(what: str) -> InputError:
    return InputError(f"xmap.run() is given {what} twice: as its first argument and as {what}=; give it once.")


def _is_config(given: Path | str) -> bool:
    return Path(given).suffix == ".toml" and not os.path.isdir(given)


def _data(first: Path | str, stored: Callable[[str], bool]) -> dict[str, str]:
    """The settings that say which data are meant, or which stored features. Raises `InputError` for what is neither."""
    name = os.fspath(first)
    if not (os.path.exists(name) or MARKS.intersection(name)):
        if not stored(name):
            raise InputError(f"xmap.run({name!r}): there is no such path, and the store has no features of that name; give one of these.")
        return {"run.features": name}
    # Features that the xmap.toml here names would be taken before any data.
    return {"data.data": name, "run.features": ""}


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
