"""xmap.toml as text: every field with its value, and above it what it means."""

from __future__ import annotations

from pathlib import Path

import tomli_w

from xmap.pipeline.settings.config import SECTIONS, XmapConfig
from xmap.stages.config import Config
from xmap.stages.methods.searched import MethodOptions
from xmap.store.disk.output import Output
from xmap.store.errors import InputError


def render(config: XmapConfig) -> str:
    """The text of xmap.toml: every field with its value, and above it what it means."""
    parts = ["# xmap's settings. Every field is also a flag: [cache] shots is --shots. Paths are taken from where xmap is started.\n"]
    for name, model in SECTIONS.items():
        parts.append(_section(name, model.__doc__ or "", getattr(config, name)))
    # Options of a method that is not run now are kept for when it is.
    for method in dict.fromkeys((*config.run.methods, *config.methods)):
        options = config.options(method)
        if type(options).model_fields:
            parts.append(_section(f'methods."{method}"', type(options).__doc__ or "", options))
    return "\n".join(parts)


def _section(name: str, about: str, values: Config) -> str:
    lines = [f"# {about.splitlines()[0]}\n[{name}]\n"]
    dumped = values.model_dump(mode="json")
    chosen = values.searched() if isinstance(values, MethodOptions) else ()
    for field, info in type(values).model_fields.items():
        lines.append(f"# {info.description}\n" if info.description else "")
        unset = "is chosen on validation samples; one value fixes it, a list is its grid" if field in chosen else "is not set"
        lines.append(f"# {field} {unset}\n" if dumped[field] is None else tomli_w.dumps({field: dumped[field]}))
    return "".join(lines)


def write_config(path: Path | str, config: XmapConfig, replace: bool = False) -> None:
    """Write xmap.toml. Raises `InputError` where there is one and `replace` is false."""
    target = Output(path, "--config FILE")
    if target.path is not None and target.is_file and target.path.exists() and not replace:
        raise InputError(f"{path} exists; give --force to replace it, or write another with --config FILE.")
    target.write(render(config).encode())
