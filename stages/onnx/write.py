"""From a `Network` to an ONNX file: traced, stripped of what tells of this machine, and named. Only here onnx is imported."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from xmap.stages.onnx.form import FILE, OUTPUTS, PIXELS, About
from xmap.stages.onnx.network import REMEDY, Network
from xmap.store.errors import InputError
from xmap.store.formats.tables import Array, first_line

OPSET = 18
# Bytes of weights in the file itself: one message of its format may have 2 GB.
MOST = (2 << 30) - (64 << 20)
# Images of one call while it is traced: methods that work in chunks of so many rows are then in one piece, whatever the file is given.
ROWS = 512


def write_network(network: Network, about: About, size: tuple[int, int], folder: Path, most: int = MOST) -> None:
    """Write `model.onnx` for pixels of a size (height, width), and its weights beside it where they have more than `most` bytes.

    Raises `InputError` for a model or method that cannot be traced.
    """
    tensors = [*network.parameters(), *network.buffers(), *network.tensors()]
    apart = sum(tensor.numel() * tensor.element_size() for tensor in tensors) > most
    program = _traced(network, sample_pixels(2, size))
    with _silence():
        program.save(str(folder / FILE), external_data=apart)
    _strip(folder / FILE, about)


def sample_pixels(count: int, size: tuple[int, int]) -> Array:
    """Pictures (B, H, W, 3) uint8 of nothing, from flat to busy, always the same."""
    from PIL import Image

    random, (height, width) = np.random.default_rng(1), size
    coarse = [random.integers(0, 256, (2 + 3 * number, 3 + 2 * number, 3), dtype=np.uint8) for number in range(count)]
    return np.stack([np.asarray(Image.fromarray(pixels).resize((width, height))) for pixels in coarse])


def _traced(network: Network, pixels: Array) -> Any:
    import torch

    sample = torch.from_numpy(pixels)
    with torch.inference_mode():
        names = list(network(sample))
    dynamic = {PIXELS: {0: torch.export.Dim("images", max=ROWS)}}
    try:
        with _silence():
            return torch.onnx.export(
                network,
                (sample,),
                dynamo=True,
                dynamic_shapes=dynamic,
                input_names=[PIXELS],
                output_names=names,
                opset_version=OPSET,
                verbose=False,
            )
    # The exporter lets through whatever its parts raise at an operation that they do not know.
    except Exception as error:
        raise InputError(f"it cannot be traced into an ONNX file ({type(error).__name__}: {first_line(error)}); {REMEDY}.") from error


def _strip(path: Path, about: About) -> None:
    """Leave nodes and values without the traces of source files that the exporter gives them, and say what the file is."""
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    graph = model.graph
    for named in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        named.ClearField("doc_string")
        named.ClearField("metadata_props")
    del graph.value_info[:]
    graph.name, model.producer_name, model.producer_version = "xmap", "xmap", ""
    for value in graph.output:
        value.doc_string = OUTPUTS[value.name]
    onnx.helper.set_model_props(model, about.metadata())
    path.write_bytes(model.SerializeToString(deterministic=True))


@contextmanager
def _silence() -> Iterator[None]:
    """The exporter warns of each optimisation that it leaves out."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
