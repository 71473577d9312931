"""Flags that several commands share. Those of the configs are made from the config models: one flag a field, its text as help."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from store.artifact import Store, store_root
from store.errors import InputError

if TYPE_CHECKING:
    from pipeline.config import XmapConfig

StoreOption = Annotated[
    str, typer.Option("--store", metavar="DIR", envvar="XMAP_STORE", show_envvar=False, help="The store. [XMAP_STORE, else .xmap]")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
RehashOption = Annotated[bool, typer.Option("--rehash", help="Read every input file again instead of trusting its size and times.")]
ConfigOption = Annotated[str, typer.Option("--config", metavar="FILE", help="Config file. [xmap.toml, where there is one]")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="SECTION.FIELD=VALUE", help="Any setting, such as methods.tip-adapter-f.epochs=50.")
]
AdapterOption = Annotated[
    str, typer.Option("--adapter", metavar="NAME", help="An adapter's name, folder or fingerprint, or an exported folder. [the newest]")
]
MethodOption = Annotated[str, typer.Option("--method", metavar="METHOD", help="Take the newest adapter of this method. [xmadapter]")]
SeedOption = Annotated[int | None, typer.Option("--seed", help="And of this seed. [the first]", show_default=False)]

SHARED: Mapping[str, Any] = {
    "config": (ConfigOption, ""),
    "store": (StoreOption, ""),
    "set": (SetOption, None),
    "rehash": (RehashOption, False),
    "quiet": (QuietOption, False),
    "json": (JsonOption, False),
}
# Second names that users know from elsewhere.
ALIASES: Mapping[str, tuple[str, ...]] = {"templates": ("--template", "--templates"), "seeds": ("--seeds", "--seed")}


def artifact_names(incomplete: str) -> list[str]:
    """The artifacts of the store whose name or fingerprint begins so, for shell completion."""
    from store.fingerprint import SHORT

    found = Store(store_root(None)).artifacts()
    names = (word for artifact in found for word in (artifact.name, artifact.fingerprint[:SHORT]))
    return sorted({name for name in names if name.startswith(incomplete)})


@dataclass(frozen=True)
class Settings:
    """What a command was told: the config with flags applied, the store, and how to show things."""

    config: XmapConfig
    config_file: str
    store: Store
    rehash: bool
    quiet: bool
    json: bool


def with_settings(function: Callable[..., None], reads: bool = True, without: tuple[str, ...] = ()) -> Callable[..., None]:
    """A command that takes `Settings` first, given every shared flag and one for each config field it has no parameter for.

    With `reads` false the config file is not read: `xmap init` writes it. Fields named in `without` get no flag: the command
    would not heed it.
    """
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    names = {parameter.name for parameter in own} | set(without)
    fields = {name: field for name, field in _fields() if name not in names}
    parameters = [
        *own,
        *(_parameter(name, annotation, default) for name, (annotation, default) in SHARED.items()),
        *(_parameter(name, annotation, None) for name, (_, annotation) in fields.items()),
    ]

    def command(**given: Any) -> None:
        overrides = {f"{section}.{name}": given.pop(name) for name, (section, _) in fields.items()}
        chosen = {name: value for name, value in overrides.items() if value is not None}
        function(_settings(given, chosen, reads), **{parameter.name: given[parameter.name] for parameter in own})

    command.__doc__ = function.__doc__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {}
    return command


def _settings(given: Mapping[str, Any], overrides: dict[str, Any], reads: bool) -> Settings:
    from pipeline.config import FILE, load_config

    config = load_config(given["config"] or None, overrides | dict(_pairs(given["set"])), read=reads)
    store = Store(store_root(given["store"] or None))
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
    from pipeline.config import SECTIONS

    for section, model in SECTIONS.items():
        for name, field in model.model_fields.items():
            flag = f"--{name.replace('_', '-')}"
            about = f"{field.description} [{_shown(field.default)}]"
            if field.annotation is bool:
                kind: Any = Annotated[bool | None, typer.Option(f"{flag}/--no-{flag[2:]}", help=about)]
            elif name == "templates":
                kind = Annotated[list[str] | None, typer.Option(*ALIASES[name], metavar="TEXT", help=f"{about} Repeatable.")]
            else:
                kind = Annotated[str | None, typer.Option(*ALIASES.get(name, (flag,)), metavar="VALUE", help=about)]
            yield name, (section, kind)


def _shown(default: Any) -> str:
    if isinstance(default, tuple):
        return ",".join(str(value) for value in default)
    return str(default) if default != "" else "none"
