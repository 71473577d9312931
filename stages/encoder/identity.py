"""Which encoder a config means, decided without loading it: everything about the model that determines a feature's bytes.

Planning needs this on every run, so nothing here imports torch or open_clip. Model configs are JSON files, in the model's own
folder or among those that open_clip installs; only a pretrained tag or a hub name has to be asked of open_clip, once, and the
answer is kept as a record in the store. The weights are always identified by the hash of their bytes, never by a name.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from xmap.stages.config import EncoderConfig
from xmap.stages.encoder.allowed import require_plain_config
from xmap.stages.encoder.found import Found, image_folder, is_with_texts, safe_weights
from xmap.stages.encoder.names import (
    BUNDLED,
    CONFIG_FILE,
    CONFIG_LIMIT,
    HUB,
    LOCAL,
    MODELS,
    TIMM,
    TINY,
    builtin_config,
    is_file,
    open_clip_folder,
    placed,
    require_activation,
)
from xmap.store.artifacts.fingerprint import SHORT, Fields, Json, fingerprint
from xmap.store.artifacts.identity import safe_name
from xmap.store.disk.files import make_folder, read_plain, write_bytes
from xmap.store.errors import InputError
from xmap.store.memory.hashes import hash_known
from xmap.store.memory.notes import Notes

PREFERRED = (
    "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin", "open_clip_pytorch_model.pth",
    "model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth",
)  # fmt: skip
# open_clip's own defaults, for models whose preprocessing is not stated.
PREPROCESS: Mapping[str, Any] = {
    "size": 224, "mode": "RGB", "mean": (0.48145466, 0.4578275, 0.40821073), "std": (0.26862954, 0.26130258, 0.27577711),
    "interpolation": "bicubic", "resize_mode": "shortest", "fill_color": 0,
}  # fmt: skip


@dataclass(frozen=True)
class EncoderIdentity:
    """The encoder that a config means.

    `fields` enter fingerprints and hold no path. `name` is for people, `weights` and `tokenizer_source` are what
    `stages.encoder.model.Encoder.load` opens.
    """

    name: str
    model: Mapping[str, Any]
    preprocess: Mapping[str, Any]
    precision: str
    tokenizer: Fields
    weights_hash: str
    weights: Path
    tokenizer_source: str
    cache_dir: str

    @cached_property
    def fields(self) -> Fields:
        """What determines the features' bytes."""
        return {
            "model": self.model,
            "preprocess": self.preprocess,
            "precision": self.precision,
            "weights": self.weights_hash,
            **({"tokenizer": self.tokenizer} if self.has_texts else {}),
        }

    @property
    def has_texts(self) -> bool:
        """Whether it has a text tower; an image encoder has none."""
        return is_with_texts(self.model)

    @property
    def hosted(self) -> tuple[str, ...]:
        """The parts that are on a hub, by their names there: a text tower's config, a tokenizer."""
        names = (self.model.get("text_cfg", {}).get("hf_model_name"), self.tokenizer.get("name"))
        return tuple(str(name) for name in names if name)

    @property
    def width(self) -> int:
        """C, the width of its features."""
        return int(self.model["embed_dim"])


def resolve(config: EncoderConfig, notes: Notes, records: Path | None) -> EncoderIdentity:
    """The identity of the encoder in `config`; `records` is the folder that remembers what open_clip was asked, if any.

    Raises `InputError` for an unknown model or tag, weights that cannot be had, a QuickGELU mismatch, a missing tokenizer, and a
    config that says more than sizes and options.
    """
    found = at_hand(config) or _recorded(config, records)
    require_plain_config(found.name, found.model, found.preprocess)
    model, texts = deepcopy(dict(found.model)), is_with_texts(found.model)
    if texts:
        model["quick_gelu"] = bool(config.force_quick_gelu or model.get("quick_gelu", False))
    require_activation(config, found.quick_gelu)
    return EncoderIdentity(
        name=found.name,
        model=model,
        preprocess=_preprocess(found) if texts else {**PREPROCESS, **found.preprocess},
        precision=config.precision,
        tokenizer=_tokenizer(found, notes) if texts else {},
        weights_hash=_hash(found.weights, notes),
        weights=found.weights,
        tokenizer_source=found.tokenizer,
        cache_dir=config.cache_dir,
    )


def at_hand(config: EncoderConfig) -> Found | None:
    """The model in `config` if it is on this machine by its name or file; None where open_clip has to be asked for its weights.

    No weights are read, so that a slip in a name is told at once. Raises `InputError`.
    """
    if config.model in BUNDLED:
        return _local(MODELS / config.model, config.model, "this installation is incomplete, install xmap again")
    if config.model.startswith(LOCAL):
        folder = placed(config.model.removeprefix(LOCAL))
        return _local(folder, folder.resolve().name, f"give --model {LOCAL}PATH a folder with {CONFIG_FILE} and weights")
    if config.model.startswith(f"{TIMM}{LOCAL}"):
        return image_folder(placed(config.model.removeprefix(f"{TIMM}{LOCAL}")))
    if config.model.startswith((HUB, TIMM)):
        return None
    model = builtin_config(config.model)
    if not config.pretrained:
        raise InputError(f"model {config.model!r} needs weights; give --pretrained a tag or a weight file, or use --model {TINY}.")
    file = placed(config.pretrained)
    if is_file(config.pretrained):
        return Found(f"{config.model}-{file.stem}", model, {}, safe_weights(file), config.model, _openai(file))
    if len(file.parts) > 1 or file.suffix in (".pt", ".pth", ".bin", ".safetensors"):
        raise InputError(f"there is no weight file {file}; give --pretrained a tag or an existing file.")
    return None


def _local(folder: Path, name: str, remedy: str) -> Found:
    """A model in a folder of its own, as open_clip's `local-dir:` reads it."""
    if not os.path.isdir(folder):
        raise InputError(f"there is no model folder {folder}; {remedy}.")
    try:
        written = json.loads(read_plain(folder / CONFIG_FILE, CONFIG_LIMIT))
        model, preprocess = written["model_cfg"], written.get("preprocess_cfg") or {}
    except OSError as error:
        raise InputError(f"cannot read {folder / CONFIG_FILE}: {error.strerror}; {remedy}.") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{folder / CONFIG_FILE} is not a model config; {remedy}.") from error
    return Found(name, model, preprocess, safe_weights(_checkpoint(folder, remedy)), f"{LOCAL}{folder}")


def _checkpoint(folder: Path, remedy: str) -> Path:
    """The weight file that open_clip would choose in `folder`: a usual name first, safetensors before others, then by name."""
    files = [path for path in folder.iterdir() if path.suffix in (".safetensors", ".bin", ".pth")]
    if not files:
        raise InputError(f"{folder} holds no weight file; {remedy}.")
    usual = {name: place for place, name in enumerate(PREFERRED)}
    return min(files, key=lambda path: (usual.get(path.name, len(usual)), path.suffix != ".safetensors", path.name))


def _recorded(config: EncoderConfig, records: Path | None) -> Found:
    """A model whose weights open_clip finds or downloads: from the record of an earlier answer, or by asking now."""
    hub, image = config.model.startswith(HUB), config.model.startswith(TIMM)
    model = {} if hub or image else builtin_config(config.model)
    question = {"model": config.model, "tag": "" if hub else config.pretrained, "cache_dir": config.cache_dir}
    library, package = ("timm", "timm") if image else ("open_clip", "open_clip_torch")
    question[library] = version(package)
    # A file of weights has a place and a name that are its owner's.
    name = config.model.removeprefix(HUB).removeprefix(TIMM) if hub or image else f"{config.model}-{config.pretrained}"
    path = records and records / f"{safe_name(name)}-{fingerprint(question)[:SHORT]}.json"
    answer = _read_record(path, question) if path else None
    if answer is None:
        answer = _ask(config)
        if path and not path.parent.is_symlink():
            make_folder(path.parent)
            write_bytes(path, json.dumps({"question": question, "answer": answer}, indent=1).encode())
    found = Found(name, answer["model"] or model, answer["preprocess"], Path(answer["weights"]), config.model, answer["quick_gelu"])
    return replace(found, weights=safe_weights(found.weights))


def _ask(config: EncoderConfig) -> dict[str, Any]:
    if config.model.startswith(TIMM):
        from xmap.stages.encoder.image_models import ask_timm

        return ask_timm(config)
    from xmap.stages.encoder.ask import ask_open_clip

    return ask_open_clip(config)


def _read_record(path: Path, question: Mapping[str, Json]) -> dict[str, Any] | None:
    """The remembered answer, unless it is damaged or its weight file has gone."""
    try:
        record = json.loads(read_plain(path, CONFIG_LIMIT, path.parent.parent))
        answer: dict[str, Any] = record["answer"]
        complete = record["question"] == question and {"model", "preprocess", "quick_gelu"} <= answer.keys()
        usable = complete and Path(answer["weights"]).is_file()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return answer if usable else None


def _openai(file: Path) -> bool | None:
    """True for a file of OpenAI's weights, as far as its name or its folder in the hub's cache shows; all of these are QuickGELU."""
    parts = file.resolve().parts
    return True if "openai" in file.name.lower() or any(part.endswith(".openai") for part in parts) else None


def _preprocess(found: Found) -> Mapping[str, Any]:
    """The whole preprocessing, with the size that the model's image side has, in JSON's own types."""
    given = {key: value for key, value in found.preprocess.items() if key in PREPROCESS and value is not None}
    size = found.model["vision_cfg"].get("image_size", PREPROCESS["size"])
    whole = {**PREPROCESS, **given, "size": [size, size] if isinstance(size, int) else list(size)}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in whole.items()}


def _tokenizer(found: Found, notes: Notes) -> Fields:
    """What identifies the tokenizer: the hash of its files where they are at hand, else its name on the hub."""
    text = found.model["text_cfg"]
    options = {"context_length": text.get("context_length", 77), "options": text.get("tokenizer_kwargs", {})}
    name = text.get("hf_tokenizer_name")
    if not name:
        return {"kind": "clip-bpe", "vocabulary": _hash(open_clip_folder() / "bpe_simple_vocab_16e6.txt.gz", notes), **options}
    if find_spec("transformers") is None:
        raise InputError(f"model {found.name!r} needs the tokenizer {name!r}; run `pip install transformers`, or choose another model.")
    if not found.tokenizer.startswith(LOCAL):
        return {"kind": "hub", "name": name, **options}
    folder = Path(found.tokenizer.removeprefix(LOCAL))
    files = sorted(path for path in folder.iterdir() if path.suffix in (".json", ".txt", ".model") and path.name != CONFIG_FILE)
    if not files:
        raise InputError(
            f"unknown tokenizer {name!r}: {folder / CONFIG_FILE} names it, but its files are not in the folder; copy them there."
        )
    return {"kind": "files", "files": {path.name: _hash(path, notes) for path in files}, **options}


def _hash(path: Path, notes: Notes) -> str:
    digest = hash_known(path, notes)
    if digest is None:
        raise InputError(f"cannot read {path}; check that the file is there and may be read.")
    return digest
