"""Names of models, what open_clip knows by a name, and the activation that weights need. No torch: planning imports this."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from xmap.stages.config import EncoderConfig
from xmap.store.errors import InputError, nearest

TINY = "xmap-tiny"
MODELS = Path(__file__).parent / "models"
# Models that come with xmap.
BUNDLED = (TINY, "xmap-tiny-vit")
LOCAL, HUB = "local-dir:", "hf-hub:"
# Image encoders of timm, which have no text tower: by a name of its own, or in a folder (timm:local-dir:PATH).
TIMM = "timm:"
QUICK = "-quickgelu"
CONFIG_FILE = "open_clip_config.json"
# Bytes; the longest known has 2 kB.
CONFIG_LIMIT = 1 << 20


def named_also(text: str) -> dict[str, str]:
    """What `MODEL` or `MODEL=WEIGHTS` says of a further encoder; a folder or hub has weights of its own, and may have any name."""
    own = text.removeprefix(TIMM).startswith((LOCAL, HUB))
    model, _, weights = (text, "", "") if own else text.partition("=")
    usual = "" if model.startswith(TIMM) else EncoderConfig.model_fields["pretrained"].default
    return {"model": model, "pretrained": weights or usual}


def placed(text: str) -> Path:
    """The place of this machine that a text names, `~` being a home; a text that can name none is one where nothing is."""
    return Path(os.path.expanduser(text))


def is_file(text: str) -> bool:
    """Whether a file is there; none is where no name is so long or so odd."""
    return bool(text) and os.path.isfile(placed(text))


def said_of_weights(config: EncoderConfig) -> tuple[str, ...]:
    """A remark where weights are named for a model that has its own; the usual tag, which nobody need have named, is none."""
    own = config.model in BUNDLED or config.model.startswith((LOCAL, HUB))
    if not own or config.pretrained in ("", EncoderConfig.model_fields["pretrained"].default):
        return ()
    return (f"model {config.model!r} has weights of its own: --pretrained {config.pretrained!r} is not used",)


def builtin_config(name: str) -> Mapping[str, Any]:
    """The config of a model that open_clip knows. Raises `InputError` with the nearest names."""
    folder = open_clip_folder() / "model_configs"
    names = sorted(path.stem for path in folder.glob("*.json"))
    if name not in names:
        near = nearest(name, [*BUNDLED, *names], 4) or ["ViT-B-32-quickgelu"]
        raise InputError(f"unknown model {name!r}; near names: {', '.join(near)}; or give {LOCAL}PATH, {HUB}ORG/REPO or {TINY}.")
    config: Mapping[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return config


def open_clip_folder() -> Path:
    """Where open_clip is installed, found without importing it (it would import torch)."""
    spec = find_spec("open_clip")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("open_clip is not installed; run `pip install open_clip_torch`.")
    return Path(next(iter(spec.submodule_search_locations)))


def require_activation(config: EncoderConfig, trained: bool | None) -> None:
    """Raise `InputError` where weights trained with QuickGELU (None: not known) meet a named model without, or the other way round.

    Such features are wrong without looking wrong. A model that states its own config has nothing to compare it with.
    """
    if trained is None:
        return
    uses = bool(config.force_quick_gelu or builtin_config(config.model).get("quick_gelu", False))
    if uses and not trained:
        plain = config.model.removesuffix(QUICK)
        remedy = f"use --model {plain}" if plain != config.model else "leave out --force-quick-gelu"
        raise InputError(f"the weights {config.pretrained!r} were trained without QuickGELU, model {config.model!r} uses it; {remedy}.")
    if trained and not uses:
        remedy = f"use --model {config.model}{QUICK}, or --force-quick-gelu"
        raise InputError(
            f"the weights {config.pretrained!r} were trained with QuickGELU, model {config.model!r} does not use it; {remedy}."
        )
