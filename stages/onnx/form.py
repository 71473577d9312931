"""What the ONNX file of an adapter takes, gives and says of itself. No torch here, and no ONNX library.

    pixels -> encoder -> unit features -> the method's scores -> probabilities, and all that evidence, sets and rejection need

Its metadata are strings: JSON where they are more than a word.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xmap.store.errors import InputError

# Raise it when input, outputs or metadata change their meaning.
FORMAT = 1
FILE = "model.onnx"
# Weights of a model that is larger than one file of its kind may be.
WEIGHTS = "model.onnx.data"
# uint8 (B, H, W, 3): RGB after the encoder's own crop.
PIXELS = "pixels"
# The outputs, B rows each; those that say so are there where the method has them.
OUTPUTS: Mapping[str, str] = {
    "probabilities": "(B, N) float32, calibrated",
    "logits": "(B, N) float32, as trained",
    "zero_shot": "(B, N) float32, the probabilities that the encoder alone would give",
    "affinity_image": "(B, N) float32, the class sums of the image cache, where the method has them",
    "affinity_text": "(B, N) float32, the class sums of the text cache, where the method has them",
    "gamma": "(B,) float32, the share of the image side, where the method has it",
    "strangeness": "(B,) float64, how far the image is from everything known, 0 to 1",
    "neighbors": "(B, k) int64, the rows of the nearest cached images, best first",
    "affinities": "(B, k) float32, their affinities to the image",
}
ALWAYS = ("probabilities", "logits", "zero_shot", "strangeness", "neighbors", "affinities")


@dataclass(frozen=True)
class About:
    """What the metadata say: the fingerprint of the adapter, its method, the class names in order, the temperature that is in the
    probabilities, the encoder's preprocessing, and where in the exported folder the names of the cached images are (a Parquet table,
    row by row, with `sample_id` and `class_name`)."""

    fingerprint: str
    method: str
    labels: tuple[str, ...]
    temperature: float
    preprocess: Mapping[str, Any]
    cached: str

    def metadata(self) -> dict[str, str]:
        """As the file holds them."""
        return {
            "format": str(FORMAT),
            "fingerprint": self.fingerprint,
            "method": self.method,
            "labels": json.dumps(self.labels, ensure_ascii=False),
            "temperature": repr(self.temperature),
            "preprocess": json.dumps(dict(self.preprocess)),
            "cached": self.cached,
        }

    @classmethod
    def of(cls, found: Mapping[str, str]) -> About:
        """From the metadata of a file. Raises `InputError` for those of another format."""
        if found.get("format") != str(FORMAT):
            raise InputError(f"its format is {found.get('format', 'not stated')}, this xmap reads {FORMAT}; export it again with --onnx.")
        try:
            labels, preprocess = json.loads(found["labels"]), json.loads(found["preprocess"])
            return cls(found["fingerprint"], found["method"], tuple(labels), float(found["temperature"]), preprocess, found["cached"])
        except (KeyError, ValueError, TypeError, RecursionError) as error:
            raise InputError("its metadata are not those that xmap writes; export it again with --onnx.") from error
