"""The encoders behind an adapter: found again from what the store recorded, and refused where they are not the same."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from xmap.pipeline.run.features import RECORDS
from xmap.pipeline.run.source import stated, stated_in
from xmap.stages.config import EncoderConfig
from xmap.stages.encoder.identity import EncoderIdentity, resolve
from xmap.stages.encoder.names import BUNDLED, HUB, LOCAL, TIMM, is_file, named_also
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


@dataclass(frozen=True)
class Recorded:
    """What an adapter's artifacts record of an encoder, numbered from 1: a name for people, what identifies it (None: its features were
    imported), and the settings that named it, without the files among these, which are nobody's to open."""

    number: int
    name: str
    fields: Mapping[str, Any] | None
    stated: EncoderConfig

    @property
    def folder(self) -> str:
        """Where an exported folder holds a copy of it."""
        return ENCODER if self.number == 1 else f"{ENCODER}-{self.number}"

    @property
    def flag(self) -> str:
        """What names it on a command line."""
        return "--model" if self.number == 1 else "--also-model"

    @property
    def kind(self) -> str:
        """What stands before the name of a folder that holds it."""
        return f"{TIMM}{LOCAL}" if self.stated.model.startswith(TIMM) else LOCAL


@dataclass(frozen=True)
class Given:
    """The encoder that a user names in place of the recorded ones: a model and its weights, further ones, and where weights are kept."""

    model: str = ""
    pretrained: str = ""
    cache_dir: str = ""
    also_model: tuple[str, ...] = ()

    def changes(self, number: int) -> dict[str, str]:
        """What is named of an encoder, as fields of its settings; nothing where nothing is."""
        if number == 1:
            found = {"model": self.model, "pretrained": self.pretrained}
        else:
            found = named_also(self.also_model[number - 2]) if len(self.also_model) >= number - 1 else {}
        return {name: value for name, value in {**found, "cache_dir": self.cache_dir}.items() if value}


def recorded_encoders(texts: Artifact, cache: Artifact) -> tuple[Recorded, ...]:
    """The encoders of an adapter by its artifacts: that of the class texts, then those that its cache names beside it."""
    first = Recorded(1, texts.name, texts.fields.get("encoder"), stated_encoder(texts))
    seen, names = cache.summary.get("seen", ()), cache.summary.get("encoders", ())
    others = zip(names[1:], seen[1:], strict=True)
    return first, *(
        Recorded(number, name, one["fields"], _without_files(stated_in(one["source"], name, EncoderConfig)))
        for number, (name, one) in enumerate(others, 2)
    )


def encoder_of(store: Store, one: Recorded, config: EncoderConfig) -> EncoderIdentity:
    """The encoder that `config` means. Raises `InputError` where it cannot be had or is not the one that was recorded."""
    # What a received store remembers of hashes and of open_clip's answers may be made up.
    notes = Notes(None if is_exported(store.root) else store.root / HASHES)
    own = not is_exported(store.root) and (one.fields is None or _noted(store, one) is not None)
    found = resolve(config, notes, store.root / RECORDS if own else None)
    if one.fields is not None and found.fields != one.fields:
        changed = ", ".join(change.field for change in explain(one.fields, found.fields)[:3])
        raise InputError(
            f"{config.model} is not the encoder that the adapter was made with: {changed} differ; name that one with {one.flag}, "
            "or train again."
        )
    return found


def encoder_config(store: Store, one: Recorded, given: Given | None = None) -> EncoderConfig:
    """How to load an encoder: as it is `given`, else the copy in an exported folder, else as it was named here.

    A store may be anybody's. Of the places and hubs that it names none is followed, unless this machine's own notes tell that it was
    used from here; the copy in an exported folder is taken where it is plain files. Raises `InputError` where nothing says which
    encoder it is, and `NotPlain`.
    """
    changed = (given or Given()).changes(one.number)
    usual = (None if is_exported(store.root) else _noted(store, one)) or one.stated
    if "model" in changed:
        return usual.model_copy(update={"force_quick_gelu": False, **changed})
    if is_exported(store.root):
        _require_bundled(store, one, usual)
        return usual.model_copy(update={"model": f"{one.kind}{store.root / one.folder}", "force_quick_gelu": False})
    if one.fields is None:
        raise InputError(
            f"the features of {one.name!r} were imported, and nothing says which encoder made them; name it with {one.flag}, or import "
            "the vectors to be labelled and name them with --features."
        )
    if not is_followed(store, one):
        raise InputError(f"this store did not extract the features of {one.name!r} on this machine; name its encoder: {named(usual, one)}.")
    return usual.model_copy(update=changed)


def is_followed(store: Store, one: Recorded) -> bool:
    """Whether the encoder is loaded without being named: this machine's notes tell of it, or its name leads to no place of others."""
    return _noted(store, one) is not None or not one.stated.model.removeprefix(TIMM).startswith((LOCAL, HUB))


def is_at_hand(store: Store, one: Recorded) -> bool:
    """Whether the encoder can be loaded without being named: its copy lies in the exported folder, or its name was used from here."""
    if is_exported(store.root):
        return os.path.lexists(store.root / one.folder)
    return one.fields is not None and is_followed(store, one)


def _noted(store: Store, one: Recorded) -> EncoderConfig | None:
    """How the encoder was named when the store was filled here, by the notes of this machine."""
    try:
        return EncoderConfig.model_validate(recall_source(store.root, fingerprint(one.fields))) if isinstance(one.fields, Mapping) else None
    except ValidationError:
        return None


def stated_encoder(texts: Artifact) -> EncoderConfig:
    """The encoder as the manifest states it, without the files that it names: these are nobody's to open."""
    return _without_files(stated(texts, EncoderConfig))


def _without_files(config: EncoderConfig) -> EncoderConfig:
    usual = "" if config.model.startswith(TIMM) else _DEFAULT_TAG
    tag = config.pretrained if _TAG.fullmatch(config.pretrained) and not os.path.exists(config.pretrained) else usual
    return config.model_copy(update={"pretrained": tag, "cache_dir": ""})


def named(config: EncoderConfig, one: Recorded) -> str:
    """The flags that name an encoder which is no file or folder of one machine."""
    if one.number > 1:
        weights = f"={config.pretrained}" if config.pretrained and not config.model.startswith((HUB, TIMM)) else ""
        return f"{one.flag} {one.kind}PATH" if is_on_disk(config) else f"{one.flag} {shlex.quote(f'{config.model}{weights}')}"
    if is_on_disk(config):
        return f"--model {LOCAL}PATH"
    tag = "" if config.model.startswith(HUB) else f" --pretrained {shlex.quote(config.pretrained)}"
    return f"--model {shlex.quote(config.model)}{tag}"


def _require_bundled(store: Store, one: Recorded, usual: EncoderConfig) -> None:
    """Raise where an exported folder has no copy of an encoder, or one that is not all plain files."""
    folder = store.root / one.folder
    if not os.path.lexists(folder):
        which = f"name it with {one.flag}" if one.fields is None else f"name the one it was made with: {named(usual, one)}"
        what = "encoder" if one.number == 1 else f"encoder {one.name!r}"
        raise InputError(f"{store.root} holds no {what}, and nothing is fetched because a received folder says so; {which}.")
    try:
        for path in sorted(folder.iterdir()):
            require_plain(path, store.root)
    except NotPlain:
        raise
    except OSError as error:
        raise InputError(f"{folder} cannot be read ({error.strerror}); name the encoder with {one.flag}.") from error
    for damage in Export.read(store.root).encoder_problems():
        raise damage


def is_on_disk(config: EncoderConfig) -> bool:
    """Whether the weights are a user's or the package's own files, which nobody else could fetch by name."""
    own = config.model in BUNDLED or config.model.removeprefix(TIMM).startswith(LOCAL)
    return own or is_file(config.pretrained)
