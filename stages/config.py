"""The frozen configs of all stages, in one place that imports neither torch nor faiss.

Every field is documented here once: `xmap init` writes these texts into xmap.toml, and the command line shows them as help.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from xmap.stages.several import FILES, TEXTS
from xmap.store.artifacts.fingerprint import Fields
from xmap.store.disk.plain import fits_a_path

Template = Annotated[str, StringConstraints(pattern=r"\{\}")]
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["fp32", "fp16", "bf16", "auto"]
Depth = Literal["auto"] | Annotated[int, Field(ge=8, le=16)]
# Which validation samples settings are chosen on.
Protocol = Literal["few", "paper"]
TopK = Literal["all"] | Annotated[int, Field(ge=1)]
# How much of a pool without labels is of each class: as a file says, as it looks, or nothing is believed.
PoolShares = Literal["given", "estimated", "free"]
Near = Literal["auto"] | Annotated[float, Field(gt=0, le=1)]

AUTO: Literal["auto"] = "auto"
# Pillow's own bound for "this is a decompression bomb".
MAX_PIXELS = 2 * 89_478_485


class Config(BaseModel):
    """A frozen config: an unknown field is an error, and so is a text that no path can hold, as most are paths or become parts of one."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _fits_a_path(cls, value: Any) -> Any:
        if not all(fits_a_path(text) for text in (value if isinstance(value, tuple) else (value,)) if isinstance(text, str)):
            raise ValueError("it has a sign that no path can hold, such as NUL; leave it out")
        return value


class DataConfig(Config):
    """Which images, in which classes and splits."""

    data: str = Field(
        "", description="Class folders, CSV or Parquet table, tars or Parquet of images, coop:NAME, NAME:PATH of a plug-in; path or URL."
    )
    root: str = Field("", description="Folder that holds the benchmarks in CoOp's layout, for coop:NAME; see `xmap datasets`.")
    classes: str = Field(
        "", description="Text file of classes: their order, `class<TAB>name` lines, or names in order where classes are numbers."
    )
    labels: Annotated[tuple[str, ...], FILES] = Field(
        (), description="Table of sample_id or path and label, over the data's labels; new images join training. Later tables win."
    )
    templates: Annotated[tuple[Template, ...], Field(min_length=1), TEXTS] = Field(
        ("a photo of a {}.",), description="Prompts, averaged; {} is the class name."
    )
    descriptions: str = Field(
        "",
        description="JSON (class: list of sentences) or CSV or TSV (class, sentence): sentences that describe classes, beside the prompts.",
    )
    split_seed: int = Field(1, description="Draws the splits where the data has none.")
    val_share: float = Field(0.2, ge=0.0, lt=1.0, description="Share of each class that becomes validation where there is no split.")
    test_share: float = Field(0.3, gt=0.0, lt=1.0, description="Share of each class that becomes test where there is no split.")
    group_by: str = Field(
        "", description="Keeps in one split what belongs together: parent (the folder), or a REGEX of sample ids, whose (...) is the group."
    )
    drop_leaks: bool = Field(False, description="Leave out validation and test images that are in training too, byte for byte.")
    train_per_class: int | None = Field(None, ge=1, description="Training images kept a class, drawn by split_seed; default all.")


class EncoderConfig(Config):
    """Which frozen CLIP model."""

    model: str = Field("ViT-B-32-quickgelu", description="open_clip model name, local-dir:PATH, hf-hub:ORG/REPO, or xmap-tiny.")
    pretrained: str = Field("openai", description="open_clip weight tag or a weight file; unused with local-dir:, hf-hub: and xmap-tiny.")
    precision: Precision = Field("fp32", description="Number format of the encoder; auto: bf16 or fp16 where there are units for it.")
    force_quick_gelu: bool = Field(False, description="Use QuickGELU although the model config does not say so.")
    cache_dir: str = Field("", description="Where open_clip keeps downloaded weights.")


class ExtractConfig(Config):
    """How features are computed. Worker count and device never change what is stored."""

    views: int = Field(4, ge=0, le=1000, description="Augmented views of each training image, beside the plain one.")
    view_seed: int = Field(1, description="Seeds the augmentations.")
    batch_size: int = Field(64, ge=1, description="Images in one forward pass; part of the fingerprint, because it changes the last bits.")
    shard_batches: int = Field(16, ge=1, description="Batches in one Parquet shard, the unit of resuming.")
    depth: Depth = Field("auto", description="Bits of the values in images of more than 8: auto (as declared, else as held) or 8 to 16.")
    max_pixels: int = Field(MAX_PIXELS, ge=1, description="A larger image is a bad one, as is one that resizing would make larger.")


def read_as(fields: Fields) -> Fields:
    """What the fields of image features say of how pixels were read."""
    return {name: fields[name] for name in ("depth", "max_pixels") if name in fields}


class TextConfig(Config):
    """Where class texts come from: the prompts as they are, or CoOp's context vectors tuned on the support's cached features."""

    text: Literal["prompts", "coop"] = Field("prompts", description="Class texts: hand-written prompts, or prompts tuned by CoOp.")
    context: int = Field(0, ge=0, description="CoOp's context vectors, drawn at random; 0: start from the first prompt's words before {}.")
    context_epochs: int | None = Field(None, ge=1, description="CoOp's passes; default 50, 100 or 200 for 1, 2 to 4, or more shots.")
    context_rate: float = Field(2e-3, gt=0, description="CoOp's learning rate at logit scale 100: SGD, momentum 0.9, cosine decay.")
    context_batch: int = Field(32, ge=1, description="Queries a step of CoOp.")


class CacheConfig(Config):
    """The few-shot support and its two caches."""

    shots: int = Field(16, ge=1, description="Labelled training images a class.")
    short: Literal["error", "keep"] = Field("error", description="A class with fewer images than shots: refuse, or take what it has.")
    index: str = Field("Flat", description="FAISS factory string of the image keys' index, or auto.")
    recall: float = Field(0.95, gt=0, le=1, description="Share of the nearest keys that an index other than Flat is to find.")
    index_memory: float = Field(4.0, gt=0, description="GB that an index chosen by auto may take.")


class EvalConfig(Config):
    """How adapters are evaluated."""

    top_k: TopK = Field(
        "all", description="Image keys retrieved per query, while tip-adapter is trained too: all (the dense formula) or a number."
    )
    neighbors: int = Field(5, ge=1, le=1000, description="Nearest cached images logged for each test sample.")
    bins: int = Field(15, ge=2, description="Bins of the expected calibration error.")
    sets: float = Field(0.9, gt=0, lt=1, description="How often the prediction sets measured are to hold the true class.")


class PairsConfig(Config):
    """Which images count as nearly the same. No result depends on it; `xmap sql leaks` and `duplicates` show them."""

    near: Near = Field("auto", description="Cosine from which two images are near duplicates; auto: by how alike training images are.")
