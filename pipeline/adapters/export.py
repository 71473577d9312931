"""One portable folder from an adapter: all that prediction needs, and a README that says what it is.

The folder is a store of three artifacts, copied byte for byte with their manifests, so that `xmap verify --store DIR` checks it and
the same code loads it. Weights that nobody else could fetch by name come along in `encoder/`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from xmap.pipeline.adapters.adapter import Adapter
from xmap.pipeline.adapters.card import card
from xmap.pipeline.adapters.encoder import (
    Recorded,
    encoder_config,
    encoder_of,
    is_followed,
    is_on_disk,
    named,
    recorded_encoders,
)
from xmap.pipeline.adapters.facts import facts_of
from xmap.pipeline.adapters.onnx_file import write_onnx
from xmap.stages.encoder.found import IMAGE_CONFIG, IMAGE_WEIGHTS, image_config
from xmap.stages.encoder.identity import EncoderIdentity
from xmap.stages.encoder.names import CONFIG_FILE, LOCAL
from xmap.stages.workplace.progress import Progress
from xmap.store.artifacts.artifact import Artifact
from xmap.store.artifacts.exported import README, write_export
from xmap.store.artifacts.manifest import MANIFEST
from xmap.store.artifacts.root import is_exported
from xmap.store.disk.files import make_folder, open_plain, write_bytes
from xmap.store.disk.new_folder import NewFolder
from xmap.store.errors import ArtifactRemoved

DIR = "`xmap export DIR`"


def export(adapter: Adapter, folder: Path, progress: Progress, onnx: bool = False) -> Path:
    """Write `folder`, whole or not at all, with `onnx` also as one file that onnxruntime runs.

    Raises `InputError` where something is there already, the encoder cannot be had, or there can be no such file of the adapter.
    """
    target = new_folder(folder)
    parts = (adapter.artifact, adapter.cache_artifact, adapter.texts)
    progress.start("export", len(parts) + 1 + onnx)
    with target.open() as partial:
        lacking = [
            one for one in recorded_encoders(adapter.texts, adapter.cache_artifact) if not _copy_encoder(adapter, one, partial / one.folder)
        ]
        progress.advance(1)
        for part in parts:
            _copy(part, partial / part.stage / part.path.name)
            progress.advance(1)
        if onnx:
            write_onnx(adapter, partial)
            progress.advance(1)
        facts = facts_of(adapter)
        write_bytes(partial / README, card(facts, " ".join(map(_flags, lacking)), onnx).encode())
        write_export(partial, facts)
    return target.path


def new_folder(folder: Path) -> NewFolder:
    """The folder to write, which holds nothing yet. Raises `OutputError`."""
    return NewFolder(folder, DIR)


def _copy(artifact: Artifact, folder: Path) -> None:
    """Copy what the manifest lists, and the manifest. What else lies beside it, links above all, stays where it is."""
    for name in [*(str(entry["name"]) for entry in artifact.manifest["files"]), MANIFEST]:
        source = artifact.path / name if name == MANIFEST else artifact.file(name)
        make_folder((folder / name).parent)
        try:
            with open_plain(source, artifact.root) as file, open(folder / name, "xb") as copy:
                shutil.copyfileobj(file, copy)
        except FileNotFoundError as error:
            raise ArtifactRemoved(artifact.path) from error


def _copy_encoder(adapter: Adapter, one: Recorded, folder: Path) -> bool:
    """Copy an encoder that lies on this disk, as a `local-dir:` folder; whether there was one to copy."""
    if one.fields is None or not (is_exported(adapter.store.root) or is_followed(adapter.store, one)):
        return False
    config = encoder_config(adapter.store, one)
    encoder = encoder_of(adapter.store, one, config)
    # What a hub identifies by a name would be another one from a folder, and nothing is fetched because a folder says so.
    if not is_on_disk(config) or encoder.hosted:
        return False
    make_folder(folder)
    if not encoder.has_texts:
        write_bytes(folder / IMAGE_CONFIG, image_config(encoder))
        shutil.copyfile(encoder.weights, folder / IMAGE_WEIGHTS[encoder.weights.suffix != ".safetensors"])
        return True
    written = {"model_cfg": encoder.model, "preprocess_cfg": encoder.preprocess}
    write_bytes(folder / CONFIG_FILE, json.dumps(written, indent=1).encode())
    shutil.copyfile(encoder.weights, folder / f"open_clip_model{encoder.weights.suffix}")
    for name in _tokenizer_files(encoder):
        shutil.copyfile(Path(encoder.tokenizer_source.removeprefix(LOCAL)) / name, folder / name)
    return True


def _tokenizer_files(encoder: EncoderIdentity) -> list[str]:
    files = encoder.tokenizer.get("files")
    return list(files) if isinstance(files, Mapping) else []


def _flags(one: Recorded) -> str:
    if one.fields is None:
        return "--model NAME --pretrained TAG" if one.number == 1 else "--also-model NAME"
    return named(one.stated, one)
