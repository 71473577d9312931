"""Where an artifact's images and encoder were found, as its manifest states it: without credentials, and part of no fingerprint.

A manifest may be a stranger's. What it states is data in the shape of our settings; whoever asks decides which of it to follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from xmap.pipeline.run.recorded_command import recorded
from xmap.pipeline.settings.config import XmapConfig
from xmap.stages.config import Config, DataConfig, EncoderConfig
from xmap.stages.datasets.places.place import shown
from xmap.store.artifacts.artifact import Artifact
from xmap.store.artifacts.fingerprint import Fields, Json
from xmap.store.errors import InputError

DATA, ENCODER, FEATURES = "data", "encoder", "features"
# Where the settings of a model are stated, and what names others.
PLACES: Mapping[type[Config], tuple[str, str]] = {DataConfig: (DATA, "--data"), EncoderConfig: (ENCODER, "--model")}
Model = TypeVar("Model", bound=Config)


def source_of(config: XmapConfig) -> dict[str, Json]:
    """The images and the encoder that `config` names."""
    return {DATA: _without_secrets(config.data), ENCODER: _without_secrets(config.encoder)}


def _without_secrets(config: Config) -> Fields:
    # Prompts say nothing of where images are, and the text features name them.
    table: dict[str, Json] = config.model_dump(mode="json", exclude={"templates", "descriptions"})
    return {name: _stated(value) for name, value in table.items()}


def _stated(value: Json) -> Json:
    """A setting without credentials; none or one of several stands alone, which is how earlier versions read a manifest."""
    if isinstance(value, list):
        listed = [_stated(one) for one in value]
        return listed if len(listed) > 1 else next(iter(listed), "")
    return shown(value) if isinstance(value, str) else value


def stated(artifact: Artifact, model: type[Model]) -> Model:
    """The settings that the manifest states; one that it leaves out has its default. Raises `InputError` for odd ones."""
    manifest, (section, _) = artifact.manifest, PLACES[model]
    table: Mapping[str, Any]
    table = manifest["source"].get(section, {}) if "source" in manifest else recorded(str(manifest["command"]), section)
    return stated_in(table, artifact.name, model)


def stated_in(table: Mapping[str, Any], name: str, model: type[Model]) -> Model:
    """The settings that a table of those called `name` states. Raises `InputError` for odd ones."""
    section, flag = PLACES[model]
    try:
        return model.model_validate({key: value for key, value in table.items() if key in model.model_fields})
    except ValidationError as error:
        field = error.errors(include_url=False)[0]["loc"][0]
        raise InputError(f"{name!r} states an odd {field} of its {section}; name its own with {flag}.") from error
