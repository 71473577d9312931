"""What a request asks: images, and what is to be said of them; as JSON or as a multipart form, bounded before it is taken apart."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xmap.pipeline.serve.allowed import Allowed
from xmap.pipeline.serve.forms import FORM, media_type, parts_of
from xmap.pipeline.serve.limits import Limits
from xmap.pipeline.serve.refusals import Refused
from xmap.stages.datasets.places.place import Remote
from xmap.stages.images.read import Held
from xmap.store.errors import InputError

JSON = "application/json"
LONGEST_NAME = 255
# Signs that structure JSON. Images have a few each, and base64 has none.
STRUCTURE = (b"{", b"[", b",", b":")
PLENTY = 64
SHOWN = 80
TOP = "How many classes `probabilities` lists, the most probable first."
SETS = "Also the set of classes that has the right one for this share of images, as 0.9."
SETS_BY = "Whether the share holds over `all` classes, or for each `class` that has samples enough."
REJECT = "No class for an image of none of them, where this share of the others is accepted, as 0.95."

Share = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
Source = Held | Remote


class Wanted(BaseModel):
    """What answers say; what is not given is as the server was started."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    top: Annotated[int | None, Field(ge=1, le=1_000_000, description=TOP)] = None
    sets: Annotated[Share | None, Field(description=SETS)] = None
    sets_by: Annotated[Literal["all", "class"] | None, Field(description=SETS_BY)] = None
    reject: Annotated[Share | None, Field(description=REJECT)] = None

    def over(self, usual: Wanted) -> Wanted:
        """This, with what is `usual` where nothing is said."""
        return usual.model_copy(update=self.model_dump(exclude_none=True))


class SentImage(BaseModel):
    """One image: its file in base64, or the S3 path where it lies."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(max_length=LONGEST_NAME, description="What answers call it. [its place, or its S3 path]")] = ""
    base64: Annotated[str | None, Field(description="The image file: JPEG, PNG, WebP, TIFF and others.")] = None
    s3: Annotated[str | None, Field(max_length=1100, description="`s3://bucket/key`, below a prefix that the server allows.")] = None


class JsonQuestion(Wanted):
    """A request in JSON."""

    images: list[SentImage] = Field(min_length=1, description="The images, each with `base64` or `s3`.")


@dataclass(frozen=True)
class Question:
    """The images of a request, each in memory or at a URL that is allowed, with their names, and what is to be said of them."""

    names: tuple[str, ...]
    images: tuple[Source, ...]
    wanted: Wanted


def wanted_of(**given: object) -> Wanted:
    """What the server is told that answers say. Raises `InputError`."""
    try:
        return Wanted.model_validate(given)
    except ValidationError as error:
        raise InputError(f"--{_first(error).partition(';')[0].replace('_', '-')}.") from error


def kind_of(headers: Mapping[str, str]) -> str:
    """How a request asks, by its head alone: in JSON or by a form. Raises `Refused`."""
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Refused("unsupported", "the body is compressed; send it as it is.")
    kind = media_type(headers.get("content-type", ""))
    if kind not in (JSON, FORM):
        raise Refused("unsupported", f"the body is neither {JSON} nor {FORM}; send one of these and say which in content-type.")
    return kind


def question_of(body: bytes, headers: Mapping[str, str], limits: Limits, allowed: Allowed) -> Question:
    """What a request asks. Raises `Refused`."""
    return _of_json(body, limits, allowed) if kind_of(headers) == JSON else _of_form(body, headers["content-type"], limits)


def _of_json(body: bytes, limits: Limits, allowed: Allowed) -> Question:
    if sum(body.count(sign) for sign in STRUCTURE) > PLENTY * (limits.images + 1):
        raise Refused("malformed", "the JSON has far more parts than a request needs; send only what /openapi.json describes.")
    try:
        asked = JsonQuestion.model_validate_json(body, strict=True)
    except ValidationError as error:
        raise Refused("malformed", _first(error)) from error
    _require_few(len(asked.images), limits)
    images = tuple(_source(image, f"images[{place}]", allowed) for place, image in enumerate(asked.images))
    names = tuple(image.name or str(source) for image, source in zip(asked.images, images, strict=True))
    return Question(names, images, Wanted(**asked.model_dump(exclude={"images"})))


def _source(image: SentImage, where: str, allowed: Allowed) -> Source:
    if (image.base64 is None) == (image.s3 is None):
        raise Refused("malformed", f"{where} has not one of base64 and s3; give one.")
    if image.s3 is not None:
        return allowed.place(image.s3)
    try:
        return Held(image.name or where, b64decode(image.base64 or "", validate=True))
    except (binascii.Error, ValueError) as error:
        raise Refused("malformed", f"{where}.base64 is no base64; encode the file's bytes.") from error


def _of_form(body: bytes, sent: str, limits: Limits) -> Question:
    wanted: dict[str, str] = {}
    images: list[Held] = []
    for part in parts_of(body, sent, limits.images + len(Wanted.model_fields)):
        if part.filename is not None:
            images.append(Held(part.filename[:LONGEST_NAME] or f"images[{len(images)}]", part.content))
        else:
            wanted[part.name] = part.content[:SHOWN].decode("utf-8", "replace")
    _require_few(len(images), limits)
    if not images:
        raise Refused("malformed", "the form has no file; send each image as a part with a filename.")
    try:
        return Question(tuple(image.name for image in images), tuple(images), Wanted.model_validate(wanted))
    except ValidationError as error:
        raise Refused("malformed", _first(error)) from error


def _require_few(count: int, limits: Limits) -> None:
    if count > limits.images:
        raise Refused("too-large", f"the request has {count:,} images, at most {limits.images:,} are taken; send several requests.")


def _first(error: ValidationError) -> str:
    """The first thing that is wrong, without what was sent."""
    found: Sequence[object] = ()
    message = "it is not what is taken"
    for each in error.errors(include_input=False, include_url=False, include_context=False):
        found, message = each["loc"], each["msg"]
        break
    where = ".".join(map(str, found))[:SHOWN] or "the body"
    return f"{where}: {message[:200]}; /openapi.json says what is taken."
