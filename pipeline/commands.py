"""From the command that a manifest records back to the config it meant: which images and which encoder an artifact came from."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from xmap.pipeline.settings.config import SECTIONS, XmapConfig, load_config
from xmap.store.errors import InputError

FLAGS: Mapping[str, tuple[str, str]] = {
    f"--{field.replace('_', '-')}": (section, field) for section, model in SECTIONS.items() for field in model.model_fields
} | {"--template": ("data", "templates")}


def config_of(command: str, sections: tuple[str, ...] = ("data", "encoder")) -> XmapConfig:
    """The settings of `sections` that `command` gives; everything else has its default. Raises `InputError`."""
    settings: dict[str, Any] = {}
    try:
        words = iter(shlex.split(command))
    except ValueError as error:
        raise InputError(f"the recorded command {command!r} cannot be read; name what is needed with flags.") from error
    for word in words:
        off = word.startswith("--no-")
        section, field = FLAGS.get(f"--{word[5:]}" if off else word, ("", ""))
        if section not in sections:
            continue
        name = f"{section}.{field}"
        if SECTIONS[section].model_fields[field].annotation is bool:
            settings[name] = not off
        elif field == "templates":
            settings[name] = [*settings.get(name, []), next(words, "{}")]
        else:
            settings[name] = next(words, "")
    return load_config(None, settings, read=False)
