"""timm's image encoders, such as DINOv2: what a name means, the width and preprocessing of a model, and the model itself.

They have no text tower. timm is imported when it is asked, once for a name, and when a model is needed; a folder as timm saves them says
all by itself. What a config may say is in `allowed`; weights are tensors alone.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from xmap.stages.config import EncoderConfig
from xmap.stages.encoder.allowed import require_bytes
from xmap.stages.encoder.ask import downloading
from xmap.stages.encoder.found import POOLING
from xmap.stages.encoder.names import TIMM, is_file, placed
from xmap.stages.machine.imports import uncollected
from xmap.store.disk.headers import require_header
from xmap.store.errors import InputError, NotPlain
from xmap.store.formats.tables import first_line

if TYPE_CHECKING:
    from xmap.stages.encoder.identity import EncoderIdentity

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
WEIGHTS = "model.safetensors"


def ask_timm(config: EncoderConfig) -> dict[str, Any]:
    """What timm knows of a model, and its weights: the file that `config` names, else the (downloaded) ones of the name.

    Raises `InputError` for an unknown model and for weights that cannot be had.
    """
    timm, name = _timm(), config.model.removeprefix(TIMM)
    if not timm.is_model(name.partition(".")[0]):
        near = difflib.get_close_matches(name, timm.list_models(), 4, 0.5)
        raise InputError(f"timm has no model {name!r}; near names: {', '.join(near) or 'none, see timm.list_models()'}.")
    try:
        known = timm.get_pretrained_cfg(name)
    # timm's word for a tag that it has not.
    except RuntimeError as error:
        raise InputError(
            f"timm has no weights {name!r} ({first_line(error)}); leave out what follows the dot, or name other ones."
        ) from error
    model = _sketch(name)
    width = int(getattr(model, "head_hidden_size", model.num_features))
    return {
        "model": {"timm": name.partition(".")[0], "embed_dim": width},
        "preprocess": preprocess_of(timm.data.resolve_model_data_config(model, None if known is None else known.to_dict()), name),
        "quick_gelu": None,
        "weights": str(_weights(config, name, known).absolute()),
    }


def preprocess_of(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    """timm's data config as preprocessing. Raises `InputError` for a way of cutting that xmap has not."""
    try:
        channels, height, width = data["input_size"]
        how = (data.get("crop_mode") or "center", channels, height == width)
        found = {
            "size": [int(height), int(width)],
            **{key: [float(value) for value in data[key]] for key in ("mean", "std")},
            "interpolation": str(data["interpolation"]),
            "crop_pct": float(data.get("crop_pct") or 1.0),
        }
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"what timm's model {name!r} says of its preprocessing is odd; use another model.") from error
    if how != ("center", 3, True):
        raise InputError(
            f"timm's model {name!r} cuts images in a way that xmap does not know ({how[0]}, {channels} channels); use another."
        )
    return found


def _weights(config: EncoderConfig, name: str, known: Any) -> Path:
    if config.pretrained:
        file = placed(config.pretrained)
        if not is_file(config.pretrained):
            raise InputError(f"there is no weight file {file}; give timm's {name!r} one that is there, as {TIMM}{name}=FILE.")
        return file
    if known is None or not known.hf_hub_id:
        raise InputError(f"timm has no weights for {name!r} that it names; give a file, as {TIMM}{name}=FILE.")
    from huggingface_hub import hf_hub_download

    with downloading(f"{TIMM}{name}", f"give --also-model {TIMM}{name}=FILE, or {TIMM}local-dir:PATH"):
        return Path(hf_hub_download(known.hf_hub_id, known.hf_hub_filename or WEIGHTS, cache_dir=config.cache_dir or None))


class ImageModel(torch.nn.Module):
    """A model of timm that is asked as one of open_clip is."""

    def __init__(self, model: torch.nn.Module, identity: EncoderIdentity) -> None:
        super().__init__()
        self.model, self._name, self._width = model, identity.name, identity.width

    def encode_image(self, batch: Tensor) -> Tensor:
        """Features (B, C) of preprocessed images (B, 3, H, W). Raises `InputError` where the model gives something else."""
        features: Tensor = self.model(batch)
        if features.dim() != 2 or features.shape[1] != self._width:
            raise InputError(f"model {self._name!r} gives no features of width {self._width} for an image; use another.")
        return features


def load_image_model(identity: EncoderIdentity, device: str) -> ImageModel:
    """The model of `identity` with its weights, on `device`. Raises `InputError` for weights of another model, or of more than tensors."""
    name = str(identity.model["timm"])
    try:
        _require_fitting(identity)
        model = _timm().create_model(name, pretrained=False, num_classes=0, **_pooling(identity))
        state = _tensors(identity.weights)
        heads = _heads(model)
        state = {key: value for key, value in state.items() if not key.startswith(heads)}
        model.load_state_dict(state)
    except InputError:
        raise
    # timm, torch and safetensors each raise whatever a config or file leads to.
    except Exception as error:
        reason = error.problem if isinstance(error, NotPlain) else f"{type(error).__name__}: {first_line(error)}"
        raise InputError(
            f"cannot load model {identity.name!r} from {identity.weights} ({reason}); give weights made for timm's {name}."
        ) from error
    return ImageModel(model.to(device, DTYPES[identity.precision]), identity).eval()


def _pooling(identity: EncoderIdentity) -> dict[str, Any]:
    """How its model pools, where its config says so."""
    return {key: value for key, value in identity.model.items() if key == POOLING}


def _sketch(name: str, **arguments: Any) -> Any:
    """A model without any numbers: what it would be, before it takes memory."""
    with torch.device("meta"):
        return _timm().create_model(name, pretrained=False, num_classes=0, **arguments)


def _require_fitting(identity: EncoderIdentity) -> None:
    """Raise `InputError` where the weight file is too small for the model: what that asks for would be allocated first."""
    least = sum(tensor.numel() for tensor in _sketch(str(identity.model["timm"]), **_pooling(identity)).state_dict().values())
    require_bytes(f"the model {identity.name!r}", least, identity.weights)


def _heads(model: Any) -> tuple[str, ...]:
    """How the tensors of a classifier begin, which a model without classes has no place for."""
    named = model.pretrained_cfg.get("classifier") or ()
    return tuple(f"{head}." for head in ((named,) if isinstance(named, str) else named))


def _tensors(path: Path) -> Mapping[str, Tensor]:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        require_header(path)
        return load_file(path)
    found = torch.load(path, map_location="cpu", weights_only=True)
    inner = found.get("state_dict", found.get("model", found))
    return {str(key): value for key, value in inner.items() if isinstance(value, Tensor)}


def _timm() -> Any:
    with uncollected():
        import timm
        import timm.data

    return timm
