"""The frozen CLIP model. open_clip is imported when a model is needed, not before.

`resolve` says which model a config means; `Encoder.load` builds exactly that one, from the very file that was hashed.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xmap.stages.encoder.allowed import require_fitting
from xmap.stages.encoder.identity import EncoderIdentity, resolve
from xmap.stages.encoder.names import CONFIG_FILE, LOCAL
from xmap.stages.machine.imports import uncollected
from xmap.store.artifacts.fingerprint import SHORT
from xmap.store.disk.files import read_plain
from xmap.store.disk.headers import require_header
from xmap.store.errors import InputError, NotPlain
from xmap.store.formats.tables import Array, first_line

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from xmap.stages.encoder.text_tower import TextTower

__all__ = ["Encoder", "EncoderIdentity", "plain_transform", "resolve"]


class Encoder:
    """A loaded model. Features are raw: float32, not normalised."""

    def __init__(self, identity: EncoderIdentity, model: Any, tokenizer: Any, device: str) -> None:
        self.identity, self.device = identity, device
        self._model, self._tokenizer = model, tokenizer

    @classmethod
    def load(cls, identity: EncoderIdentity, device: str, texts: bool = True) -> Encoder:
        """Build the model of `identity` on `device` (cpu or cuda, as `stages.machine.device.resolve_device` gives it).

        Without `texts` no tokenizer is loaded, and the model encodes images alone. Nothing is asked of a hub unless the config names
        a tower or a tokenizer there. Raises `InputError` where the weights do not fit the model config or hold more than tensors,
        and for a tokenizer that cannot be loaded.
        """
        if not identity.has_texts:
            from xmap.stages.encoder.image_models import load_image_model

            return cls(identity, load_image_model(identity, device), None, device)
        open_clip = _open_clip()
        require_fitting(identity.name, identity.model, identity.weights)
        with _as_local_folder(identity) as folder, _no_code_from_hubs(identity):
            try:
                if identity.weights.suffix == ".safetensors":
                    require_header(identity.weights)
                model = open_clip.create_model_from_pretrained(
                    f"{LOCAL}{folder}", precision=identity.precision, device=device, return_transform=False, weights_only=True
                )
            # open_clip lets through whatever its parts raise: torch, safetensors, timm, and TypeErrors for unknown config keys.
            except Exception as error:
                reason = error.problem if isinstance(error, NotPlain) else f"{type(error).__name__}: {first_line(error)}"
                raise InputError(
                    f"cannot load model {identity.name!r} from {identity.weights} ({reason}); give weights made for this model config."
                ) from error
            return cls(identity, model.eval(), _load_tokenizer(identity, folder) if texts else None, device)

    @property
    def module(self) -> Any:
        """The torch module itself, with `encode_image`."""
        return self._model

    @property
    def logit_scale(self) -> float | None:
        """The factor between cosines and logits that the model was trained with; an image encoder has none."""
        return None if not self.identity.has_texts else float(self._model.logit_scale.detach().float().exp())

    def encode_images(self, batch: Tensor) -> Array:
        """Features (B, C) float32 of preprocessed images (B, 3, H, W) float32."""
        import torch

        dtype = _open_clip().get_input_dtype(self.identity.precision)
        with torch.inference_mode(), exact():
            return _numpy(self._model.encode_image(batch.to(self.device, dtype=dtype, non_blocking=True)))

    def encode_texts(self, texts: Sequence[str]) -> Array:
        """Features (B, C) float32 of prompts, all in one forward pass. A prompt beyond the context length is cut."""
        import torch

        with torch.inference_mode(), exact():
            return _numpy(self._model.encode_text(self._tokenizer(list(texts)).to(self.device)))

    def unprojected(self, texts: Sequence[str]) -> Array:
        """What `encode_texts` gives before the tower's projection: features (B, E) float32. Raises `InputError` where it has none."""
        from xmap.stages.encoder.projection import unprojected

        with unprojected(self._model, self.identity.name):
            return self.encode_texts(texts)

    def text_projection(self) -> Array:
        """The projection (E, C) float32 at the end of the text tower. Raises `InputError` where it is no matrix."""
        from xmap.stages.encoder.projection import text_projection

        return _numpy(text_projection(self._model, self.identity.name))

    def text_tower(self) -> TextTower:
        """The text tower for context vectors; the model's weights are frozen from here on. Raises `InputError` for an unknown kind."""
        from xmap.stages.encoder.text_tower import TextTower

        return TextTower(self._model, self._tokenizer, self._tokenizer.context_length, self.identity.name, self.device)

    def too_long(self, texts: Sequence[str]) -> list[str]:
        """The prompts that do not fit the context length. Empty for tokenizers other than CLIP's own, which do not tell."""
        if self.identity.tokenizer["kind"] != "clip-bpe":
            return []
        # With room for one more token, only a prompt that needs it fills the last place.
        longer = self._tokenizer(list(texts), context_length=self._tokenizer.context_length + 1)
        return [text for text, last in zip(texts, longer[:, -1].tolist(), strict=True) if last]


def plain_transform(preprocess: Mapping[str, Any]) -> Callable[[Image], Tensor]:
    """The model's own evaluation preprocessing: an RGB image to (3, H, W) float32. Nothing random."""
    from open_clip.transform import PreprocessCfg, image_transform_v2

    transform: Callable[[Image], Tensor] = image_transform_v2(PreprocessCfg(**preprocess), is_train=False)
    return transform


def _open_clip() -> Any:
    with uncollected():
        import open_clip

    return open_clip


@contextmanager
def _as_local_folder(identity: EncoderIdentity) -> Iterator[Path]:
    """A folder that open_clip reads as `local-dir:`, with the resolved config and a link to the hashed weights.

    One way in for names, files and folders alike: what was fingerprinted is what is loaded, whatever open_clip would choose.
    """
    suffix = identity.weights.suffix
    if suffix in (".npz", ".npy"):
        raise InputError(f"{identity.weights} is a numpy archive, which xmap does not load; give the weights as safetensors.")
    name = "open_clip_model.safetensors" if suffix == ".safetensors" else "open_clip_pytorch_model.bin"
    with tempfile.TemporaryDirectory(prefix=f"xmap-{identity.weights_hash[:SHORT]}-") as folder:
        config = {"model_cfg": identity.model, "preprocess_cfg": identity.preprocess}
        (Path(folder) / CONFIG_FILE).write_text(json.dumps(config), encoding="utf-8")
        (Path(folder) / name).symlink_to(identity.weights.resolve())
        yield Path(folder)


def _load_tokenizer(identity: EncoderIdentity, folder: Path) -> Any:
    """The tokenizer of the checked config: CLIP's own, or one of transformers, of the hub or from the hashed files, copied to `folder`."""
    tokenizers, text = _open_clip().tokenizer, identity.model["text_cfg"]
    options = {"context_length": text.get("context_length", 77), **(text.get("tokenizer_kwargs") or {})}
    remote = {"tokenizer_mode": text.get("tokenizer_mode"), "cache_dir": identity.cache_dir or None, "trust_remote_code": False}
    try:
        if identity.tokenizer["kind"] == "clip-bpe":
            return _clip_bpe(json.dumps(options))
        name = text["hf_tokenizer_name"] if identity.tokenizer["kind"] == "hub" else str(_copy_tokenizer(identity, folder))
        return tokenizers.HFTokenizer(name, **remote, **options)
    # transformers has its own errors for a name it does not know, for files it cannot read and for no network.
    except Exception as error:
        raise InputError(
            f"cannot load the tokenizer of {identity.name!r} ({first_line(error)}); put its files into a --model {LOCAL}PATH folder."
        ) from error


@lru_cache(4)
def _clip_bpe(options: str) -> Any:
    """CLIP's own tokenizer, with `options` as JSON. Its vocabulary is the same in all and takes a while to sort, so it is kept."""
    return _open_clip().tokenizer.SimpleTokenizer(**json.loads(options))


def _copy_tokenizer(identity: EncoderIdentity, folder: Path) -> Path:
    """The hashed files of a tokenizer in a folder of their own, without the paths of other files that its config may name."""
    target, source = folder / "tokenizer", Path(identity.tokenizer_source.removeprefix(LOCAL))
    target.mkdir()
    files = identity.tokenizer["files"]
    for name in files if isinstance(files, Mapping) else ():
        data = read_plain(source / name)
        if name == "tokenizer_config.json":
            written = json.loads(data)
            data = json.dumps({key: value for key, value in written.items() if not key.endswith("_file")}).encode()
        (target / name).write_bytes(data)
    return target


@contextmanager
def _no_code_from_hubs(identity: EncoderIdentity) -> Iterator[None]:
    """Let transformers run no code that comes with a model, and nobody ask a hub unless the config names a part of the model there."""
    from huggingface_hub import constants

    hosted = identity.hosted
    for name in hosted:
        # transformers takes a folder of the working directory for the hub's repository of that name.
        if Path(name).exists():
            raise InputError(f"{identity.name!r} needs {name!r} of the hub, but a file or folder of that name lies here; go elsewhere.")
    if identity.model["text_cfg"].get("hf_model_name") and find_spec("transformers"):
        from transformers import dynamic_module_utils

        # Without time to answer, it refuses instead of asking on the terminal whether the code may run.
        dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not hosted
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


@contextmanager
def exact() -> Iterator[None]:
    """Repeatable kernels in the precision that was asked for: cuDNN would otherwise round float32 convolutions to TF32."""
    import torch

    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield


def require_finite(features: Array, encoder: EncoderIdentity) -> None:
    """Raise `InputError` for features that are not finite."""
    if not np.isfinite(features).all():
        raise InputError(f"encoder {encoder.name!r} gives features that are not finite at --precision {encoder.precision}; use fp32.")


def _numpy(features: Tensor) -> Array:
    array: Array = features.float().cpu().numpy()
    return array
