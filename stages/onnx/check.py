"""Whether a written file says what torch says: run by onnxruntime on a few pictures before it is called good."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from xmap.stages.onnx.form import FILE
from xmap.stages.onnx.network import REMEDY, Network
from xmap.stages.onnx.session import Session
from xmap.stages.onnx.write import sample_pixels
from xmap.store.errors import InputError

# What a probability may differ by, and of numbers beyond 1 the share of the largest.
TOLERANCE = 1e-4
COUNTS = (5, 1)


def require_agreement(network: Network, folder: Path) -> float:
    """The largest difference of a probability between the file in `folder` and torch. Raises `InputError` where they disagree."""
    session, largest = Session((folder / FILE).read_bytes(), folder), 0.0
    # Another number of images than it was traced with, and one alone.
    for count in COUNTS:
        pixels = sample_pixels(count, session.size)
        with torch.inference_mode():
            expected = {name: value.numpy() for name, value in network(torch.from_numpy(pixels)).items()}
        found = session.run(pixels)
        for name in expected.keys() - {"neighbors"}:
            scale = max(1.0, float(np.abs(expected[name]).max()))
            difference = float(np.abs(found[name].astype(np.float64) - expected[name]).max())
            if not difference <= TOLERANCE * scale:
                raise InputError(f"the ONNX file and torch disagree: their {name} differ by {difference:.2g}; {REMEDY}.")
            largest = max(largest, difference if name == "probabilities" else 0.0)
    return largest
