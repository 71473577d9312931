"""What /openapi.json says of requests and answers."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from xmap.pipeline.serve.forms import FORM
from xmap.pipeline.serve.questions import JSON, JsonQuestion, Wanted
from xmap.pipeline.serve.refusals import KINDS

ABOUT = """Classes of images, by one adapter of xmap.

Send images to `POST /predict`, as a multipart form or as JSON. Every answer says by `adapter` which adapter gave it, by its fingerprint:
the server may be given another at any time. Whatever is refused is refused in one form: a `kind` and a `message`."""


class Refusal(BaseModel):
    """Why a request is not answered."""

    kind: str = Field(description=f"One of: {', '.join(KINDS)}.")
    message: str = Field(description="One sentence: what is wrong, and what to do.")


class Answer(BaseModel):
    """What the adapter says of one image, in the fields of `xmap predict --json`; of one that cannot be read, `error` and `message`."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)

    path: str = Field(description="The image's name in the request.")
    class_name: str | None = Field(None, alias="class", description="The most probable class; empty for an image that is rejected.")
    probability: float | None = Field(None, description="Its calibrated probability.")
    second: str | None = Field(None, description="The second choice.")
    second_probability: float | None = Field(None, description="Its probability.")
    nearest: str | None = Field(None, description="With `reject`: the most probable class, also of an image that is rejected.")
    strangeness: float | None = Field(None, description="With `reject`: how far the image is from everything known, 0 to 1.")
    set: list[str] | None = Field(None, description="With `sets`: the classes in the set, the most probable first.")
    set_size: int | None = Field(None, description="With `sets`: how many these are.")
    zero_shot: str | None = Field(None, description="The class that the encoder alone would say.")
    zero_shot_probability: float | None = Field(None, description="Its probability by the encoder alone.")
    encoder_said: list[str] | None = Field(None, description="Of several encoders: the class that each alone says.")
    encoder_share: list[float] | None = Field(None, description="And how much of the answer comes from each, 0 to 1.")
    probabilities: dict[str, float] | None = Field(None, description="The `top` classes and their probabilities, best first.")
    error: str | None = Field(None, description="Of an image that cannot be read: what kind of fault.")
    message: str | None = Field(None, description="And what is wrong with it.")


class Answers(BaseModel):
    """The answers to one request, all by one adapter."""

    adapter: str = Field(description="The fingerprint of the adapter.")
    answers: list[Answer] = Field(description="One for each image, in the order of the request.")


class Served(BaseModel):
    """The adapter that answers, and where it comes from."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(description="Its name.")
    fingerprint: str = Field(description="Its fingerprint: another adapter has another.")
    dataset: str = Field(description="The data set that it was trained on.")
    classes: list[str] = Field(description="Its classes, in their order.")
    method: str = Field(description="How it was trained.")
    seed: int = Field(description="The seed of the training images that were drawn.")
    shots: int | None = Field(None, description="Training images a class.")
    selected_on: str | None = Field(None, description="What its settings were chosen on.")
    encoder: str | None = Field(None, description="The name of the encoder; none where it is a file of the one who trained it.")
    encoder_weights: str | None = Field(None, description="The hash of the encoder's weights.")
    made: str = Field(description="When it was trained.")


class Health(BaseModel):
    """That the server answers."""

    status: str = Field(description="`ready`: the adapter is loaded, and images are answered.")


def body_of_predict() -> dict[str, Any]:
    """The description of what `POST /predict` takes."""
    asked = JsonQuestion.model_json_schema()
    asked["properties"]["images"]["items"] = asked.pop("$defs")["SentImage"]
    wanted = Wanted.model_json_schema()["properties"]
    file = {"type": "string", "format": "binary", "description": "An image file; repeat the field for several."}
    form = {"type": "object", "required": ["image"], "properties": {"image": {"type": "array", "items": file}, **wanted}}
    return {"requestBody": {"required": True, "content": {FORM: {"schema": form}, JSON: {"schema": asked}}}}


def failures(*kinds: str) -> dict[int | str, dict[str, Any]]:
    """The responses that refuse: all kinds unless some are named."""
    return {status: {"model": Refusal, "description": when} for kind, (status, when) in KINDS.items() if not kinds or kind in kinds}
