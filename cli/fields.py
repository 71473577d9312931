"""Flags made from the fields of config models: one a field, its text as help. Values stay text; the model reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

# The headings of flags in help, beside those of a command's own and the essential ones.
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
# Second names that users know from elsewhere.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "templates": ("--template", "--templates"),
    "seeds": ("--seeds", "--seed"),
    "methods": ("--methods", "--method"),
}


def section_flags() -> dict[str, tuple[str, Any]]:
    """For each field of xmap.toml its section and the annotation of its flag."""
    from xmap.pipeline.settings.config import SECTIONS

    return {
        name: (section, flag(name, field, None if name in ESSENTIAL else PANELS[section]))
        for section, model in SECTIONS.items()
        for name, field in model.model_fields.items()
    }


def flag(name: str, field: FieldInfo, panel: str | None = None) -> Any:
    """The annotation of a field's flag: a switch, one text, or texts where the field takes several values."""
    from xmap.stages.several import several_of

    said = f"--{name.replace('_', '-')}"
    known = _methods() if name == "methods" else ""
    # Where there is no one default the description says what is done.
    usual = "" if field.default is None else f" [{_shown(field.default)}]"
    about = f"{field.description}{known}{usual}"
    if field.annotation is bool:
        return Annotated[bool | None, typer.Option(f"{said}/--no-{said[2:]}", help=about, rich_help_panel=panel)]
    several = several_of(field.metadata)
    kind: Any = list[str] if several else str
    words, metavar = ALIASES.get(name, (said,)), several.metavar if several else "VALUE"
    return Annotated[kind | None, typer.Option(*words, metavar=metavar, help=about, rich_help_panel=panel)]


def _methods() -> str:
    """What `--methods` takes: what `all` leaves out has to be named."""
    from xmap.stages.methods.registry import all_names, method_names

    left = [name for name in method_names() if name not in all_names()]
    without = f" (without {', '.join(left)})" if left else ""
    return f" all{without}, or of: {', '.join(method_names())}."


def _shown(default: Any) -> str:
    return (",".join(map(str, default)) if isinstance(default, tuple) else str(default)) or "none"
