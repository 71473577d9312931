"""A model as it is found on this machine. No torch: planning imports this."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmap.stages.encoder.names import CONFIG_LIMIT, LOCAL, TIMM
from xmap.store.disk.files import read_plain
from xmap.store.disk.headers import archive_names
from xmap.store.errors import InputError

if TYPE_CHECKING:
    from xmap.stages.encoder.identity import EncoderIdentity

# What a folder holds as timm saves it.
IMAGE_CONFIG, IMAGE_WEIGHTS = "config.json", ("model.safetensors", "pytorch_model.bin")
POOLING = "global_pool"


@dataclass(frozen=True)
class Found:
    """A model as it was found: its config and preprocessing as written there, its weight file, and how its tokenizer is named.

    `quick_gelu` is the activation the weights were trained with, None where nothing says.
    """

    name: str
    model: Mapping[str, Any]
    preprocess: Mapping[str, Any]
    weights: Path
    tokenizer: str
    quick_gelu: bool | None = None


def is_with_texts(model: Mapping[str, Any]) -> bool:
    """Whether the config of a model has a text tower: those of image encoders say their architecture in timm alone."""
    return "text_cfg" in model


def image_folder(folder: Path) -> Found:
    """An image encoder in a folder of its own, as timm saves them: a config and weights. Raises `InputError`."""
    remedy = f"give {TIMM}{LOCAL}PATH a folder with {IMAGE_CONFIG} and {IMAGE_WEIGHTS[0]}, as timm saves them"
    try:
        written = json.loads(read_plain(folder / IMAGE_CONFIG, CONFIG_LIMIT))
        given = written["pretrained_cfg"]
        model = {"timm": str(written["architecture"]), "embed_dim": written["num_features"]}
        channels, *size = given["input_size"]
        arguments = dict(written.get("model_args") or {})
        model |= {POOLING: arguments[POOLING]} if POOLING in arguments else {}
        odd = _asks_for_more(arguments, size) or (given.get("crop_mode") or "center") != "center"
        odd = odd or channels != 3 or size[1:] != size[:-1]
    except OSError as error:
        raise InputError(f"cannot read {folder / IMAGE_CONFIG}: {error.strerror}; {remedy}.") from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{folder / IMAGE_CONFIG} is not a config of timm's; {remedy}.") from error
    if odd:
        raise InputError(
            f"{folder / IMAGE_CONFIG} asks for arguments, channels or a way of cutting that xmap does not know; use another model."
        )
    preprocess = {
        "size": size,
        "crop_pct": given.get("crop_pct") or 1.0,
        **{name: given.get(name) for name in ("mean", "std", "interpolation")},
    }
    weights = next((path for path in (folder / name for name in IMAGE_WEIGHTS) if path.is_file()), None)
    if weights is None:
        raise InputError(f"{folder} holds no {IMAGE_WEIGHTS[0]}; {remedy}.")
    return Found(folder.resolve().name, model, preprocess, safe_weights(weights), "")


def _asks_for_more(arguments: Mapping[str, Any], size: list[int]) -> bool:
    """Whether a model was made with arguments that say more than timm writes of every model."""
    usual: Mapping[str, tuple[Any, ...]] = {"in_chans": (3,), "img_size": (size, size[0])}
    rest = {name: value for name, value in arguments.items() if name not in (POOLING, "num_classes")}
    return any(value not in usual.get(name, ()) for name, value in rest.items())


def image_config(identity: EncoderIdentity) -> bytes:
    """The config of a folder that holds an image encoder alone, as timm saves it."""
    preprocess = identity.preprocess
    data = {"input_size": [3, *preprocess["size"]], **{key: preprocess[key] for key in ("mean", "std", "interpolation", "crop_pct")}}
    written = {"architecture": identity.model["timm"], "num_features": identity.width, "pretrained_cfg": {**data, "crop_mode": "center"}}
    pooling = {name: value for name, value in identity.model.items() if name == POOLING}
    written |= {"model_args": pooling} if pooling else {}
    return json.dumps(written, indent=1).encode()


def safe_weights(path: Path) -> Path:
    """`path`, unless it is a TorchScript archive (these hold code, and opening one would run it) or unpacks to more than it is."""
    if path.suffix == ".safetensors":
        return path
    try:
        names = archive_names(path)
    except OSError as error:
        raise InputError(f"cannot read the weights {path}: {error.strerror}; give a plain weight file, best as safetensors.") from error
    if any(name.endswith("constants.pkl") for name in names):
        raise InputError(f"{path} is a TorchScript archive, which holds code; give the same weights as safetensors, or by their tag.")
    return path
