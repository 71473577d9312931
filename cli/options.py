"""Flags that several commands share. Those of the configs are made from the config models: one flag a field, its text as help."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.models import ArgumentInfo

from xmap.cli.columns import METHOD, RESULTS
from xmap.cli.console import plain
from xmap.cli.slips import place_of, require_one
from xmap.store.artifacts.artifact import Store
from xmap.store.artifacts.root import EXPORT, VARIABLE, require_store, store_root
from xmap.store.errors import InputError

if TYPE_CHECKING:
    from xmap.pipeline.settings.config import XmapConfig

# The parameter of the word that stands without a flag.
PLACE = "place"
# The headings of flags in help, beside those of a command's own and the essential ones.
GENERAL = "Store, settings and output"
PANELS: Mapping[str, str] = {
    "data": "Images, classes and splits",
    "encoder": "Encoder",
    "extract": "Features",
    "text": "Class texts",
    "cache": "Support and caches",
    "eval": "Evaluation",
    "pairs": "Near duplicates",
    "run": "Protocol and machine",
}
ESSENTIAL = frozenset({"data", "model", "pretrained", "templates", "shots", "methods", "seeds", "features"})

StoreOption = Annotated[
    str,
    typer.Option(
        "--store",
        metavar="DIR",
        envvar=VARIABLE,
        show_envvar=False,
        help="The store. [XMAP_STORE, else .xmap]",
        rich_help_panel=GENERAL,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.", rich_help_panel=GENERAL)]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Show no progress.", rich_help_panel=GENERAL)]
RehashOption = Annotated[
    bool,
    typer.Option("--rehash", help="Read every input file again instead of trusting its size and times.", rich_help_panel=GENERAL),
]
ConfigOption = Annotated[
    str, typer.Option("--config", metavar="FILE", help="Config file. [xmap.toml, where there is one]", rich_help_panel=GENERAL)
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.FIELD=VALUE",
        help="Any setting, such as methods.tip-adapter-f.epochs=50.",
        rich_help_panel=GENERAL,
    ),
]
AdapterOption = Annotated[
    str,
    typer.Option(
        "--adapter", metavar="NAME", help="An adapter, a data set, an evaluation, or an exported folder. [newest of the one data set]"
    ),
]
MethodOption = Annotated[
    str, typer.Option("--method", "--methods", metavar="METHOD", help="Take the newest adapter of this method. [xmadapter]")
]
SeedOption = Annotated[int | None, typer.Option("--seed", "--seeds", help="And of this seed. [the first]", show_default=False)]
FormatOption = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="table, csv, json, jsonl, markdown, latex, or parquet with -o. [that of FILE's suffix, else table]",
        show_default=False,
        rich_help_panel=GENERAL,
    ),
]
ColumnsOption = Annotated[
    str,
    typer.Option(
        "--columns",
        metavar="NAMES",
        help=f"Columns of the table, of: {', '.join(name for name in RESULTS if name != METHOD)}. [a few of them]",
        show_default=False,
        rich_help_panel=GENERAL,
    ),
]
OutputOption = Annotated[
    str,
    typer.Option("--output", "-o", metavar="FILE", help="Write to a file instead of stdout.", show_default=False, rich_help_panel=GENERAL),
]
PlaceArgument = Annotated[list[str] | None, typer.Argument(metavar="DATA", help="The images, as --data names them.", show_default=False)]

SHARED: Mapping[str, Any] = {
    "config": (ConfigOption, ""),
    "store": (StoreOption, ""),
    "set": (SetOption, None),
    "rehash": (RehashOption, False),
    "quiet": (QuietOption, False),
    "json": (JsonOption, False),
}
# Second names that users know from elsewhere.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "templates": ("--template", "--templates"),
    "seeds": ("--seeds", "--seed"),
    "methods": ("--methods", "--method"),
}


def opened(store: str, adapter: str = "") -> Store:
    """The store to read. Raises `StoreMissing` where --store names one that is not there and `adapter` is no exported folder.

    One that nobody named is the one that a first run would make: it holds nothing yet.
    """
    root = store_root(store or None)
    if store not in ("", os.environ.get(VARIABLE)) and not (adapter and _is_exported(adapter)):
        require_store(root)
    return Store(root)


def _is_exported(adapter: str) -> bool:
    return (Path(adapter) / EXPORT).is_file()


def artifact_names(incomplete: str) -> list[str]:
    """The artifacts of the store whose name or fingerprint begins so, for shell completion."""
    from xmap.store.artifacts.fingerprint import SHORT

    found = Store(store_root(None)).artifacts()
    names = (word for artifact in found for word in (artifact.name, artifact.fingerprint[:SHORT]))
    # A shell prints them as they are.
    return sorted({name for name in names if name.startswith(incomplete) and name == plain(name)})


@dataclass(frozen=True)
class Settings:
    """What a command was told: the config with flags applied, the store, and how to show things."""

    config: XmapConfig
    config_file: str
    store: Store
    rehash: bool
    quiet: bool
    json: bool


def with_settings(
    function: Callable[..., None], reads: bool = True, without: tuple[str, ...] = (), stored: bool = False
) -> Callable[..., None]:
    """A command that takes `Settings` first, given every shared flag and one for each config field it has no parameter for.

    With `reads` false there need be no config file: `xmap init` writes it, and keeps the values of one that is there. Fields named in
    `without` get no flag: the command would not heed it. With `stored` the command reads a store and makes none.
    """
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    names = {parameter.name for parameter in own} | set(without)
    fields = {name: field for name, field in _fields() if name not in names}
    placed = "data" in fields and not any(isinstance(_info(parameter), ArgumentInfo) for parameter in own)
    parameters = [
        *((_parameter(PLACE, PlaceArgument, None),) if placed else ()),
        *(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own),
        *(_parameter(name, annotation, None) for name, (_, annotation) in fields.items() if name in ESSENTIAL),
        *(_parameter(name, annotation, default) for name, (annotation, default) in SHARED.items()),
        *(_parameter(name, annotation, None) for name, (_, annotation) in fields.items() if name not in ESSENTIAL),
    ]

    def command(**given: Any) -> None:
        overrides = {f"{section}.{name}": given.pop(name) for name, (section, _) in fields.items()}
        chosen = {name: value for name, value in overrides.items() if value is not None}
        require_one(chosen)
        chosen |= place_of(given.pop(PLACE, None) or [], chosen)
        function(_settings(given, chosen, reads, stored), **{parameter.name: given[parameter.name] for parameter in own})

    command.__doc__ = function.__doc__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {}
    return command


def _info(parameter: inspect.Parameter) -> Any:
    return next(iter(getattr(parameter.annotation, "__metadata__", ())), None)


def _settings(given: Mapping[str, Any], overrides: dict[str, Any], reads: bool, stored: bool) -> Settings:
    from xmap.pipeline.settings.config import FILE, load_config

    there = reads or Path(given["config"] or FILE).is_file()
    config = load_config(given["config"] or None, overrides | dict(_pairs(given["set"])), read=there)
    store = opened(given["store"]) if stored else Store(store_root(given["store"] or None))
    return Settings(config, given["config"] or FILE, store, given["rehash"], given["quiet"], given["json"])


def _pairs(items: list[str] | None) -> Iterator[tuple[str, str]]:
    for item in items or []:
        name, equals, value = item.partition("=")
        if not equals:
            raise InputError(f"--set {item}: write --set section.field=value, for example --set cache.shots=4.")
        yield name.strip(), value.strip()


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _fields() -> Iterator[tuple[str, tuple[str, Any]]]:
    """Each config field: its section and the annotation of its flag. Values stay text; the config model reads them."""
    from xmap.pipeline.settings.config import SECTIONS
    from xmap.stages.config import REPEATED
    from xmap.stages.methods.registry import method_names

    for section, model in SECTIONS.items():
        for name, field in model.model_fields.items():
            flag = f"--{name.replace('_', '-')}"
            panel = None if name in ESSENTIAL else PANELS[section]
            known = f" all, or of: {', '.join(method_names())}." if name == "methods" else ""
            about = f"{field.description}{known} [{_shown(field.default)}]"
            if field.annotation is bool:
                kind: Any = Annotated[bool | None, typer.Option(f"{flag}/--no-{flag[2:]}", help=about, rich_help_panel=panel)]
            elif name in REPEATED:
                kind = Annotated[
                    list[str] | None,
                    typer.Option(*ALIASES.get(name, (flag,)), metavar=REPEATED[name], help=f"{about} Repeatable.", rich_help_panel=panel),
                ]
            else:
                kind = Annotated[str | None, typer.Option(*ALIASES.get(name, (flag,)), metavar="VALUE", help=about, rich_help_panel=panel)]
            yield name, (section, kind)


def _shown(default: Any) -> str:
    return (",".join(map(str, default)) if isinstance(default, tuple) else str(default)) or "none"
