"""One portable folder from an adapter: all that prediction needs, and a README that says what it is.

The folder is a store of three artifacts, copied byte for byte with their manifests, so that `xmap verify --store DIR` checks it and
the same code loads it. Weights that nobody else could fetch by name come along in `encoder/`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from xmap.pipeline.adapters.adapter import Adapter
from xmap.pipeline.adapters.encoder import (
    encoder_config,
    encoder_of,
    is_followed,
    is_on_disk,
    named,
    stated_encoder,
)
from xmap.pipeline.adapters.onnx_file import write_onnx
from xmap.stages.encoder.identity import EncoderIdentity
from xmap.stages.encoder.names import CONFIG_FILE, LOCAL
from xmap.stages.onnx.form import FILE
from xmap.stages.workplace.progress import Progress
from xmap.store.artifacts.artifact import Artifact
from xmap.store.artifacts.exported import ENCODER, README, write_export
from xmap.store.artifacts.manifest import MANIFEST, versions
from xmap.store.artifacts.root import EXPORT, is_exported
from xmap.store.artifacts.usable import usable
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
        bundled = _copy_encoder(adapter, partial / ENCODER)
        progress.advance(1)
        for part in parts:
            _copy(part, partial / part.stage / part.path.name)
            progress.advance(1)
        if onnx:
            write_onnx(adapter, partial)
            progress.advance(1)
        facts = _facts(adapter)
        write_bytes(partial / README, _readme(adapter, facts, bundled, onnx).encode())
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


def _copy_encoder(adapter: Adapter, folder: Path) -> bool:
    """Copy an encoder that lies on this disk, as a `local-dir:` folder; whether there was one to copy."""
    if "encoder" not in adapter.texts.fields or not (is_exported(adapter.store.root) or is_followed(adapter.store, adapter.texts)):
        return False
    config = encoder_config(adapter.store, adapter.texts)
    encoder = encoder_of(adapter.store, adapter.texts, config)
    # What a hub identifies by a name would be another one from a folder, and nothing is fetched because a folder says so.
    if not is_on_disk(config) or encoder.hosted:
        return False
    make_folder(folder)
    written = {"model_cfg": encoder.model, "preprocess_cfg": encoder.preprocess}
    write_bytes(folder / CONFIG_FILE, json.dumps(written, indent=1).encode())
    shutil.copyfile(encoder.weights, folder / f"open_clip_model{encoder.weights.suffix}")
    for name in _tokenizer_files(encoder):
        shutil.copyfile(Path(encoder.tokenizer_source.removeprefix(LOCAL)) / name, folder / name)
    return True


def _tokenizer_files(encoder: EncoderIdentity) -> list[str]:
    files = encoder.tokenizer.get("files")
    return list(files) if isinstance(files, Mapping) else []


def _facts(adapter: Adapter) -> dict[str, Any]:
    """What the folder holds and where it comes from."""
    summary, texts = adapter.artifact.summary, adapter.texts
    accuracy = _accuracy(adapter)
    return {
        "adapter": adapter.artifact.fingerprint,
        "method": summary["method"],
        "shots": summary["shots"],
        "seed": summary["seed"],
        "settings": summary["settings"],
        "selected_on": summary["selection"]["selected_on"],
        **{name: summary[name] for name in ("calibration", "kept") if name in summary},
        "classes": list(adapter.classes),
        "encoder": texts.name,
        "encoder_weights": texts.fields.get("encoder", {}).get("weights"),
        **({"test_accuracy": accuracy} if accuracy is not None else {}),
        "command": adapter.artifact.manifest["command"],
        "versions": versions(),
        "exported": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _accuracy(adapter: Adapter) -> float | None:
    """The accuracy (percent) of this very adapter in the newest evaluation that scored it."""
    summary = adapter.artifact.summary
    for evaluation in reversed(adapter.store.artifacts("eval")):
        if evaluation.inputs.get(f"adapter {summary['method']} seed {summary['seed']}") != adapter.artifact.fingerprint:
            continue
        for row in usable(evaluation).summary["results"]:
            by_seed = dict(zip(row["seeds"], row["accuracies"], strict=False))
            if row["method"] == summary["method"] and summary["seed"] in by_seed:
                return float(by_seed[summary["seed"]])
    return None


def _flags(adapter: Adapter) -> str:
    return named(stated_encoder(adapter.texts)) if "encoder" in adapter.texts.fields else "--model NAME --pretrained TAG"


def _calibrated(facts: Mapping[str, Any]) -> str:
    found = facts.get("calibration")
    if not found or not found["samples"]:
        return "Its probabilities are as trained, not calibrated."
    return f"Its probabilities are calibrated: temperature {found['temperature']:g}, fitted on {found['calibrated_on']}."


def _kept(facts: Mapping[str, Any]) -> str:
    found = facts.get("kept")
    return f"Prediction sets stand on {found['samples']:,} samples: {found['source']}. " if found and found["samples"] else ""


def _readme(adapter: Adapter, facts: Mapping[str, Any], bundled: bool, onnx: bool) -> str:
    name, count = adapter.artifact.name, len(adapter.classes)
    measured = f"It had {facts['test_accuracy']:.2f} % of the test images right.\n" if "test_accuracy" in facts else ""
    encoder = (
        "The encoder is in `encoder/`; nothing has to be downloaded."
        if bundled
        else f"The encoder, {facts['encoder']}, is not in here, and nothing is fetched because a folder says so: name it."
    )
    flags = "" if bundled else f" {_flags(adapter)}"
    loaded = "" if bundled else ', encoder=adapter.encoder("NAME", "TAG")'
    listed = "\n".join(f"{label}. {name}" for label, name in enumerate(adapter.classes))
    row = f"| `{FILE}` | encoder, caches and texts as one file for onnxruntime; its metadata say how it is used |\n" if onnx else ""
    return f"""# {name}

An image classifier of {count} classes: a frozen CLIP model and a `{facts["method"]}` adapter of {facts["shots"]} labelled images a class
(seed {facts["seed"]}), made by xmap. {measured}
## Use

```sh
xmap predict photo.jpg --adapter .{flags}
xmap predict photos/ --adapter . --explain --json{flags}
xmap predict photos/ --adapter . --sets 0.9{flags}
xmap verify --store .
```

```python
import xmap
adapter = xmap.load("path/of/this/folder")
print(adapter.predict("photo.jpg"{loaded})[0].top(3))
```

{encoder} Another encoder than the one it was made with is refused.

## What is in it

| part | what |
|---|---|
| `adapter/` | the adapter's tensors and settings, its training log, and its scores of samples that chose nothing of it |
| `cache/` | the key-value caches: features of the labelled images, their names and classes, and the class texts; no images |
| `texts/` | the text features of the classes and the prompts |
{row}| `{EXPORT}` | these facts for programs: classes, settings, provenance, versions |

Settings were chosen on: {facts["selected_on"]}. {_calibrated(facts)} {_kept(facts)}It was made by

```sh
{facts["command"]}
```

It names one of its classes for every image, also for one that shows none of them.

## Classes

{listed}
"""
