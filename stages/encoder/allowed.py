"""What the config of a model may say: sizes and options of open_clip's own parts, and nothing that leads to a place or to code.

A config may come from anybody, in a folder, from a hub or in a record, and open_clip hands much of it on: `tokenizer_kwargs` to
transformers (where `trust_remote_code` runs what lies beside the config) or to a tokenizer that opens `bpe_path`, names of towers to
timm and transformers, which take folders and hubs for names. So every field and its values are listed here, and a config with any
other is refused. The config itself stays as it was written: it is part of fingerprints.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from xmap.store.errors import InputError

# A name of open_clip's or timm's own registry: no address, no path.
Registered = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?$", max_length=100)]
# A repository of a hub; that no folder here has that name is checked before it is used.
Hosted = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)?$", max_length=200)]
Option = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]*$", max_length=40)]
# No known model comes near these; one that asks for more asks for the machine's memory.
Width = Annotated[int, Field(ge=1, le=16_384)]
Depth = Annotated[int, Field(ge=0, le=256)]
Pixels = Annotated[int, Field(ge=1, le=4_096)]
Length = Annotated[int, Field(ge=1, le=8_192)]
Vocabulary = Annotated[int, Field(ge=1, le=4_000_000)]
Share = Annotated[float, Field(ge=0, le=1)]
Ratio = Annotated[float, Field(gt=0, le=64)]
Small = Annotated[float, Field(ge=-1000, le=1000)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class _NormOptions(_Part):
    eps: Share = 1e-5


class _ActivationOptions(_Part):
    approximate: Literal["none", "tanh"] = "none"


class _TokenizerOptions(_Part):
    """Options of open_clip's own tokenizers; none of transformers' goes through."""

    clean: Literal["canonicalize", "lower", "whitespace"] | None = None
    strip_sep_token: bool = False


class _Tower(_Part):
    """What image and text towers have in common."""

    layers: Depth | Annotated[list[Depth], Field(min_length=4, max_length=4)] = 12
    width: Width = 768
    mlp_ratio: Ratio = 4.0
    ls_init_value: Small | None = None
    output_tokens: bool = False
    act_kwargs: _ActivationOptions | None = None
    norm_kwargs: _NormOptions | None = None
    block_type: Literal["default", "custom"] | None = None
    qk_norm: bool = False
    scaled_cosine_attn: bool = False
    scale_heads: bool = False
    scale_attn_inner: bool = False
    scale_attn: bool = False
    scale_fc: bool = False
    final_ln_after_pool: bool = False


class _Vision(_Tower):
    head_width: Width = 64
    patch_size: Pixels | Annotated[list[Pixels], Field(min_length=2, max_length=2)] | None = 16
    image_size: Pixels | Annotated[list[Pixels], Field(min_length=2, max_length=2)] = 224
    patch_dropout: Share = 0.0
    attentional_pool: bool | Literal["parallel", "cascade"] = False
    attn_pooler_queries: Length = 256
    attn_pooler_heads: Width = 8
    no_ln_pre: bool = False
    pos_embed_type: Literal["learnable", "sin_cos_2d"] = "learnable"
    pool_type: Literal["tok", "avg", "none"] = "tok"
    timm_model_name: Registered | None = None
    timm_model_pretrained: Literal[False] | None = False
    timm_pool: Option | None = "avg"
    timm_proj: Literal["linear", "mlp", "none", ""] | None = "linear"
    timm_proj_bias: bool = False
    timm_drop: Share = 0.0
    timm_drop_path: Share | None = None


class _Text(_Tower):
    context_length: Length = 77
    vocab_size: Vocabulary = 49_408
    hf_tokenizer_name: Hosted | Literal[""] | None = None
    tokenizer_mode: Literal["clips", ""] | None = None
    tokenizer_kwargs: _TokenizerOptions | None = None
    heads: Width = 8
    embed_cls: bool = False
    pad_id: Annotated[int, Field(ge=0)] = 0
    eos_id: Annotated[int, Field(ge=0)] = 2
    no_causal_mask: bool = False
    pool_type: Literal["first", "last", "argmax", "eos", "none"] = "argmax"
    proj_bias: bool = False
    proj_type: Literal["linear", "none"] = "linear"
    hf_model_name: Hosted | Literal[""] | None = None
    hf_model_pretrained: Literal[False] | None = False
    hf_proj_type: Literal["linear", "mlp"] | None = "mlp"
    hf_pooler_type: Literal["mean_pooler", "max_pooler", "cls_pooler", "cls_last_hidden_state_pooler"] | None = "mean_pooler"


class _Decoder(_Text):
    """The second text tower of CoCa, which names nothing of its own."""

    hf_model_name: None = None
    hf_tokenizer_name: None = None
    dim_head: Width = 64
    n_queries: Length = 256
    attn_pooler_heads: Width = 8


class _Model(_Part):
    embed_dim: Width
    vision_cfg: _Vision
    text_cfg: _Text
    multimodal_cfg: _Decoder | None = None
    quick_gelu: bool = False
    custom_text: bool = False
    init_logit_scale: Small = 2.659
    init_logit_bias: Small | None = None
    nonscalar_logit_scale: bool = False
    output_dict: bool | None = None
    pad_id: Annotated[int, Field(ge=0)] = 0


class _Preprocess(BaseModel):
    """Other fields are the hub's own and never used."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    mode: Literal["RGB"] | None = None
    mean: Annotated[list[Small] | tuple[Small, ...], Field(min_length=3, max_length=3)] | None = None
    std: Annotated[list[Ratio] | tuple[Ratio, ...], Field(min_length=3, max_length=3)] | None = None
    interpolation: Literal["bicubic", "bilinear", "random"] | None = None
    resize_mode: Literal["shortest", "longest", "squash"] | None = None
    fill_color: Annotated[int, Field(ge=0, le=255)] | Annotated[list[int], Field(min_length=3, max_length=3)] | None = None


class _ImageModel(_Part):
    """An image encoder of timm's: nothing but its name there, the width of its features and, where said, how it pools them."""

    timm: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+$", max_length=100)]
    embed_dim: Width
    global_pool: Literal["avg", "max", "avgmax", "catavgmax", "token", "map"] = "avg"


class _ImagePreprocess(_Part):
    size: Annotated[list[Pixels], Field(min_length=2, max_length=2)]
    mean: Annotated[list[Small], Field(min_length=3, max_length=3)]
    std: Annotated[list[Ratio], Field(min_length=3, max_length=3)]
    interpolation: Literal["bicubic", "bilinear"]
    crop_pct: Annotated[float, Field(ge=0.25, le=1)]


def require_plain_config(name: str, model: object, preprocess: object) -> None:
    """Raise `InputError` where a config says anything but sizes and options of open_clip's own parts, or of an image encoder's."""
    image = isinstance(model, Mapping) and "timm" in model
    schemas: tuple[type[BaseModel], type[BaseModel]] = (_ImageModel, _ImagePreprocess) if image else (_Model, _Preprocess)
    for schema, given, section in zip(schemas, (model, preprocess), ("model_cfg", "preprocess_cfg"), strict=True):
        try:
            schema.model_validate(given)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            field = ".".join([section, *(str(part) for part in first["loc"])])
            raise InputError(
                f"the config of model {name!r} is refused: its field {field!r} {_reason(first)}; a config may hold sizes and options of "
                "open_clip's own parts, and nothing that names code, files or places."
            ) from error


def require_fitting(name: str, model: Mapping[str, Any], weights: Path) -> None:
    """Raise `InputError` where the weight file is too small for the sizes in the config: what they ask for would be allocated first."""
    require_bytes(f"the config of model {name!r}", _least_numbers(model), weights)


def require_bytes(what: str, least: int, weights: Path) -> None:
    """Raise `InputError` where the weight file has no byte for each of the numbers that `what` describes."""
    size = weights.stat().st_size
    if least > size:
        raise InputError(
            f"{what} describes at least {least:,} numbers, {weights} has {size:,} bytes; give weights made for this model config."
        )


def _least_numbers(model: Mapping[str, Any]) -> int:
    """Fewer numbers than the weights of a checked config have; each takes a byte or more, and parts of other libraries count nothing."""
    vision, text = _Vision.model_validate(model["vision_cfg"]), _Text.model_validate(model["text_cfg"])
    size = max(vision.image_size) if isinstance(vision.image_size, list) else vision.image_size
    patch = max(vision.patch_size) if isinstance(vision.patch_size, list) else vision.patch_size or size
    least = 0.0
    if not vision.timm_model_name:
        places = (size // 32) ** 2 * 32 if isinstance(vision.layers, list) else (size // patch) ** 2
        least += _blocks(vision) + vision.width * (places + model["embed_dim"])
    if not text.hf_model_name:
        least += _blocks(text) + text.width * (text.vocab_size + text.context_length)
    if model.get("multimodal_cfg") is not None:
        decoder = _Decoder.model_validate(model["multimodal_cfg"])
        # CoCa's decoder has two stacks of blocks, attention to itself and to the image.
        least += (decoder.layers if isinstance(decoder.layers, int) else 0) * 24 * decoder.width**2
    return int(least)


def _blocks(tower: _Tower) -> float:
    """The attention and the two layers after it in each block, or the 3 x 3 convolutions of a ResNet."""
    if isinstance(tower.layers, list):
        return sum(tower.layers) * 9 * tower.width**2
    return tower.layers * (4 + 2 * tower.mlp_ratio) * tower.width**2


def _reason(error: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        return "is none that xmap lets through"
    if error["type"] == "missing":
        return "is missing"
    return f"has a value that xmap does not let through ({error['msg'][:1].lower()}{error['msg'][1:]})"
