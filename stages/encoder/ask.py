"""What open_clip and the model hub are asked: the config and the weights of a pretrained tag or of a model of the hub."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from xmap.stages.config import EncoderConfig
from xmap.stages.encoder.hub import asked_once
from xmap.stages.encoder.names import CONFIG_FILE, CONFIG_LIMIT, HUB, LOCAL, TINY, require_activation
from xmap.store.disk.files import read_plain
from xmap.store.errors import InputError
from xmap.store.formats.tables import first_line


def ask_open_clip(config: EncoderConfig) -> dict[str, Any]:
    """What open_clip knows of a tag of a model, or of a hub name: config, preprocessing, QuickGELU and the (downloaded) weight file.

    Raises `InputError` for an unknown tag, a QuickGELU mismatch, and weights that cannot be downloaded.
    """
    return _ask_hub(config.model, config.cache_dir) if config.model.startswith(HUB) else _ask_tag(config)


def _ask_tag(config: EncoderConfig) -> dict[str, Any]:
    import open_clip

    model, tag = config.model, config.pretrained
    known = open_clip.get_pretrained_cfg(model, tag)
    if not known:
        tags = open_clip.list_pretrained_tags_by_model(model)
        near = difflib.get_close_matches(tag, tags, n=4, cutoff=0.3) or tags[:4] or ["none, give a weight file"]
        raise InputError(f"model {model!r} has no pretrained tag {tag!r}; near tags: {', '.join(near)}.")
    trained = bool(known.get("quick_gelu", False))
    # Before the download: gigabytes that cannot be used are worse than a sentence.
    require_activation(config, trained)
    with downloading(f"{model} {tag}"):
        weights = open_clip.download_pretrained(known, cache_dir=config.cache_dir or None)
    return {"model": None, "preprocess": _json(known), "quick_gelu": trained, "weights": _absolute(weights)}


def _ask_hub(model: str, cache_dir: str) -> dict[str, Any]:
    from open_clip.pretrained import download_pretrained_from_hf

    repository = model.removeprefix(HUB)
    with downloading(model):
        config = download_pretrained_from_hf(repository, filename=CONFIG_FILE, cache_dir=cache_dir or None)
        weights = download_pretrained_from_hf(repository, cache_dir=cache_dir or None)
        written = json.loads(read_plain(config, CONFIG_LIMIT))
        # Stated by the model's own config, so there is no second opinion to compare it with.
        return {
            "model": written["model_cfg"],
            "preprocess": written.get("preprocess_cfg") or {},
            "quick_gelu": None,
            "weights": _absolute(weights),
        }


@contextmanager
def downloading(what: str, remedy: str = f"or give {LOCAL}PATH or {TINY} in its place") -> Iterator[None]:
    """Weights are fetched inside. Raises `InputError`, with a remedy beside going online, where they cannot be."""
    with asked_once() as answers:
        try:
            yield
        # The hub's client, urllib and open_clip each have their own errors; for the user all of them mean the same.
        except Exception as error:
            why = first_line(error) if answers else "they are not on this machine, and the model hub does not answer"
            raise InputError(f"cannot get the weights of {what} ({why}); go online once, {remedy}.") from error


def _json(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


def _absolute(path: str) -> str:
    return str(Path(path).absolute())
