"""The encoder behind an adapter: found again from what the store recorded, and refused where it is not the same."""

from __future__ import annotations

from pathlib import Path

from pipeline.commands import config_of
from pipeline.features import HASHES, RECORDS
from stages.config import EncoderConfig
from stages.resolve import BUNDLED, LOCAL, EncoderIdentity, resolve
from store.artifact import Artifact, Store
from store.errors import InputError
from store.fingerprint import explain
from store.hashes import HashMemory

ENCODER = "encoder"


def encoder_of(store: Store, texts: Artifact, config: EncoderConfig) -> EncoderIdentity:
    """The encoder that `config` means. Raises `InputError` where it cannot be had or is not the one that made `texts`."""
    recorded = texts.fields.get("encoder")
    found = resolve(config, HashMemory(store.root / HASHES), store.root / RECORDS)
    if recorded is not None and found.fields != recorded:
        changed = ", ".join(change.field for change in explain(recorded, found.fields)[:3])
        raise InputError(
            f"{config.model} is not the encoder that the adapter was made with: {changed} differ; name that one with --model, "
            "or train again."
        )
    return found


def encoder_config(store: Store, texts: Artifact, model: str = "", pretrained: str = "", cache_dir: str = "") -> EncoderConfig:
    """How to load the encoder of `texts`: `model` where it is given, the copy in an exported folder, else what the recorded command says.

    Raises `InputError` where nothing says which.
    """
    bundled = store.root / ENCODER
    usual = config_of(str(texts.manifest["command"]), (ENCODER,)).encoder
    changed = {name: value for name, value in (("pretrained", pretrained), ("cache_dir", cache_dir)) if value}
    if model:
        return usual.model_copy(update={"model": model, "force_quick_gelu": False, **changed})
    if bundled.is_dir():
        return usual.model_copy(update={"model": f"{LOCAL}{bundled}", "force_quick_gelu": False})
    if "encoder" not in texts.fields:
        raise InputError(f"the features of {texts.name!r} were imported, and nothing says which encoder made them; name it with --model.")
    return usual.model_copy(update=changed)


def is_on_disk(config: EncoderConfig) -> bool:
    """Whether the weights are a user's or the package's own files, which nobody else could fetch by name."""
    return config.model in BUNDLED or config.model.startswith(LOCAL) or Path(config.pretrained).expanduser().is_file()
