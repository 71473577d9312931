"""The encoder behind an adapter: found again from what the store recorded, and refused where it is not the same."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from xmap.pipeline.run.features import RECORDS
from xmap.pipeline.run.source import stated
from xmap.stages.config import EncoderConfig
from xmap.stages.encoder.identity import EncoderIdentity, resolve
from xmap.stages.encoder.names import BUNDLED, HUB, LOCAL
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.artifacts.exported import ENCODER, Export
from xmap.store.artifacts.fingerprint import explain, fingerprint
from xmap.store.artifacts.root import is_exported
from xmap.store.disk.files import require_plain
from xmap.store.errors import InputError, NotPlain
from xmap.store.memory.notes import HASHES, Notes
from xmap.store.memory.sources import recall_source

_TAG = re.compile(r"[A-Za-z0-9_-]+")
_DEFAULT_TAG = EncoderConfig.model_fields["pretrained"].default


def encoder_of(store: Store, texts: Artifact, config: EncoderConfig) -> EncoderIdentity:
    """The encoder that `config` means. Raises `InputError` where it cannot be had or is not the one that made `texts`."""
    recorded = texts.fields.get("encoder")
    # What a received store remembers of hashes and of open_clip's answers may be made up.
    notes = Notes(None if is_exported(store.root) else store.root / HASHES)
    own = not is_exported(store.root) and (recorded is None or _noted(store, texts) is not None)
    found = resolve(config, notes, store.root / RECORDS if own else None)
    if recorded is not None and found.fields != recorded:
        changed = ", ".join(change.field for change in explain(recorded, found.fields)[:3])
        raise InputError(
            f"{config.model} is not the encoder that the adapter was made with: {changed} differ; name that one with --model, "
            "or train again."
        )
    return found


def encoder_config(store: Store, texts: Artifact, model: str = "", pretrained: str = "", cache_dir: str = "") -> EncoderConfig:
    """How to load the encoder of `texts`: `model` where it is given, the copy in an exported folder, else as it was named here.

    A store may be anybody's. Of the places and hubs that it names none is followed, unless this machine's own notes tell that it was
    used from here; the copy in an exported folder is taken where it is plain files. Raises `InputError` where nothing says which
    encoder it is, and `NotPlain`.
    """
    changed = {name: value for name, value in (("pretrained", pretrained), ("cache_dir", cache_dir)) if value}
    usual = (None if is_exported(store.root) else _noted(store, texts)) or stated_encoder(texts)
    if model:
        return usual.model_copy(update={"model": model, "force_quick_gelu": False, **changed})
    if is_exported(store.root):
        _require_bundled(store, texts, usual)
        return usual.model_copy(update={"model": f"{LOCAL}{store.root / ENCODER}", "force_quick_gelu": False})
    if "encoder" not in texts.fields:
        raise InputError(
            f"the features of {texts.name!r} were imported, and nothing says which encoder made them; name it with --model, or import "
            "the vectors to be labelled and name them with --features."
        )
    if not is_followed(store, texts):
        raise InputError(f"this store did not extract the features of {texts.name!r} on this machine; name its encoder: {named(usual)}.")
    return usual.model_copy(update=changed)


def is_followed(store: Store, texts: Artifact) -> bool:
    """Whether the encoder is loaded without being named: this machine's notes tell of it, or its name leads to no place of others."""
    return _noted(store, texts) is not None or not stated_encoder(texts).model.startswith((LOCAL, HUB))


def _noted(store: Store, texts: Artifact) -> EncoderConfig | None:
    """How the encoder was named when the store was filled here, by the notes of this machine."""
    fields = texts.fields.get("encoder")
    try:
        return EncoderConfig.model_validate(recall_source(store.root, fingerprint(fields))) if isinstance(fields, Mapping) else None
    except ValidationError:
        return None


def stated_encoder(texts: Artifact) -> EncoderConfig:
    """The encoder as the manifest states it, without the files that it names: these are nobody's to open."""
    config = stated(texts, EncoderConfig)
    tag = config.pretrained if _TAG.fullmatch(config.pretrained) and not Path(config.pretrained).exists() else _DEFAULT_TAG
    return config.model_copy(update={"pretrained": tag, "cache_dir": ""})


def named(config: EncoderConfig) -> str:
    """The flags that name an encoder which is no file or folder of one machine."""
    if is_on_disk(config):
        return f"--model {LOCAL}PATH"
    tag = "" if config.model.startswith(HUB) else f" --pretrained {shlex.quote(config.pretrained)}"
    return f"--model {shlex.quote(config.model)}{tag}"


def _require_bundled(store: Store, texts: Artifact, usual: EncoderConfig) -> None:
    """Raise where an exported folder has no encoder of its own, or one that is not all plain files."""
    folder = store.root / ENCODER
    if not os.path.lexists(folder):
        which = f"name the one it was made with: {named(usual)}" if "encoder" in texts.fields else "name it with --model"
        raise InputError(f"{store.root} holds no encoder, and nothing is fetched because a received folder says so; {which}.")
    try:
        for path in sorted(folder.iterdir()):
            require_plain(path, store.root)
    except NotPlain:
        raise
    except OSError as error:
        raise InputError(f"{folder} cannot be read ({error.strerror}); name the encoder with --model.") from error
    for damage in Export.read(store.root).encoder_problems():
        raise damage


def is_on_disk(config: EncoderConfig) -> bool:
    """Whether the weights are a user's or the package's own files, which nobody else could fetch by name."""
    return config.model in BUNDLED or config.model.startswith(LOCAL) or Path(config.pretrained).expanduser().is_file()
