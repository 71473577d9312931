"""Commands that take settings: each has every shared flag and one for every field of xmap.toml, built here for all of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer.models import ArgumentInfo

from xmap.cli.fields import ESSENTIAL, flag, section_flags
from xmap.cli.formats import Destination
from xmap.cli.options import (
    ConfigOption,
    FormatOption,
    JsonOption,
    OutputOption,
    PlaceArgument,
    QuietOption,
    RehashOption,
    SetOption,
    StoreOption,
    opened,
)
from xmap.cli.slips import place_of, require_one
from xmap.store.artifacts.artifact import Store
from xmap.store.artifacts.root import store_root
from xmap.store.errors import InputError

if TYPE_CHECKING:
    from xmap.pipeline.settings.config import XmapConfig
    from xmap.stages.config import Config

# The parameter of the word that stands without a flag.
PLACE = "place"
SHARED: Mapping[str, Any] = {
    "config": (ConfigOption, ""),
    "store": (StoreOption, ""),
    "set": (SetOption, None),
    "rehash": (RehashOption, False),
    "quiet": (QuietOption, False),
    "json": (JsonOption, False),
    "form": (FormatOption, ""),
    "output": (OutputOption, ""),
}
Command = Callable[..., None]


@dataclass(frozen=True)
class Settings:
    """What a command was told: the config with flags applied, the store, and where its answer goes."""

    config: XmapConfig
    config_file: str
    store: Store
    rehash: bool
    quiet: bool
    destination: Destination


def with_settings(
    function: Command, reads: bool = True, without: tuple[str, ...] = (), stored: bool = False, study: type[Config] | None = None
) -> Command:
    """A command that takes `Settings` first, given every shared flag and one for each config field it has no parameter for.

    With `reads` false there need be no config file: `xmap init` writes it, and keeps the values of one that is there. Fields named in
    `without` get no flag: the command would not heed it. With `stored` the command reads a store and makes none. The fields of `study`
    are flags too, in place of settings of the same name, and the command takes what they say second.
    """
    own = list(inspect.signature(function, eval_str=True).parameters.values())[2 if study else 1 :]
    varied = {name: flag(name, field) for name, field in (study.model_fields.items() if study else ())}
    sections = section_flags()
    taken = {parameter.name for parameter in own} | set(without) | set(varied)
    fields = {name: entry for name, entry in sections.items() if name not in taken}
    placed = "data" in fields and not any(isinstance(_info(parameter), ArgumentInfo) for parameter in own)
    parameters = [
        *((_parameter(PLACE, PlaceArgument, None),) if placed else ()),
        *(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own),
        *(_parameter(name, annotation, None) for name, annotation in varied.items()),
        *(_parameter(name, annotation, None) for name, (_, annotation) in fields.items() if name in ESSENTIAL),
        *(_parameter(name, annotation, default) for name, (annotation, default) in SHARED.items()),
        *(_parameter(name, annotation, None) for name, (_, annotation) in fields.items() if name not in ESSENTIAL),
    ]

    def command(**given: Any) -> None:
        chosen = {f"{section}.{name}": given.pop(name) for name, (section, _) in fields.items()}
        said = dict(_pairs(given["set"]))
        also = {name: said.pop(f"{sections[name][0]}.{name}", None) for name in varied if name in sections}
        asked = {name: given.pop(name) or also.get(name) for name in varied}
        chosen = {name: value for name, value in chosen.items() if value not in (None, [])}
        require_one(chosen | said)
        chosen |= place_of(given.pop(PLACE, None) or [], chosen)
        settings = _settings(given, chosen | said, reads, stored)
        rest = {parameter.name: given[parameter.name] for parameter in own}
        if study is None:
            function(settings, **rest)
        else:
            function(settings, _checked(study, asked), **rest)

    command.__doc__ = function.__doc__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {}
    return command


def _info(parameter: inspect.Parameter) -> Any:
    return next(iter(getattr(parameter.annotation, "__metadata__", ())), None)


def _settings(given: Mapping[str, Any], overrides: dict[str, Any], reads: bool, stored: bool) -> Settings:
    from xmap.pipeline.settings.config import FILE, load_config

    destination = Destination(given["form"], given["output"], given["json"])
    there = reads or Path(given["config"] or FILE).is_file()
    config = load_config(given["config"] or None, overrides, read=there)
    store = opened(given["store"]) if stored else Store(store_root(given["store"] or None))
    return Settings(config, given["config"] or FILE, store, given["rehash"], given["quiet"], destination)


def _checked(study: type[Config], asked: Mapping[str, Any]) -> Config:
    from xmap.pipeline.settings.config import read_flags

    return read_flags(study, {name: value for name, value in asked.items() if value is not None})


def _pairs(items: list[str] | None) -> Iterator[tuple[str, str]]:
    for item in items or []:
        name, equals, value = item.partition("=")
        if not equals:
            raise InputError(f"--set {item}: write --set section.field=value, for example --set cache.shots=4.")
        yield name.strip(), value.strip()


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
