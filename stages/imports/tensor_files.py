"""The tensors in files of others: plain, of plain numbers, fit to be features or labels. The only module that opens `.pt` files.

No code in a file is run: one that holds anything but a tensor is refused.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from xmap.store.disk.headers import archive_names
from xmap.store.errors import InputError

KEPT = (torch.float16, torch.float32)
FLOATS = (*KEPT, torch.bfloat16, torch.float64)
WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
# Below this length a vector has no direction: torch divides by it at least.
SHORTEST = 1e-12


def read_matrix(path: Path) -> Tensor:
    """A matrix of finite float16 or float32 numbers, at least one by one; wider and narrower kinds are cast to float32.

    Raises `InputError`, also for numbers that are not finite once they are float32.
    """
    tensor = read_tensor(path)
    if tensor.dim() != 2 or tensor.dtype not in FLOATS or not tensor.numel():
        raise InputError(f"{path} is {shape_of(tensor)} of {tensor.dtype}; it should be a matrix of floating-point numbers.")
    kept = tensor if tensor.dtype in KEPT else tensor.float()
    bad = ~torch.isfinite(kept).all(1)
    if bool(bad.any()):
        what = "too large for float32" if bool(torch.isfinite(tensor).all()) else "not finite"
        raise InputError(f"{path} holds numbers that are {what}, the first in row {_first(bad)}; extract it again.")
    return kept


def read_labels(path: Path, count: int, classes: int) -> Tensor:
    """`count` class numbers below `classes` (int64). Raises `InputError`, with the place of one that is out of range."""
    labels = read_tensor(path)
    if labels.dim() != 1 or labels.dtype not in WHOLE or len(labels) != count:
        raise InputError(f"{path} is {shape_of(labels)} of {labels.dtype}; it should be {count} whole numbers.")
    labels = labels.long()
    outside = (labels < 0) | (labels >= classes)
    if bool(outside.any()):
        low, high = int(labels.min()), int(labels.max())
        place = f"{int(outside.sum()):,} outside, the first in row {_first(outside)}"
        raise InputError(f"{path} has labels from {low} to {high}; {classes} classes need 0 to {classes - 1} ({place}).")
    return labels


def undirected(vectors: Tensor) -> Tensor:
    """Which rows of (rows, C) have no direction: all zero, or so small or large that their length is 0 or infinite in float32."""
    lengths: Tensor = torch.linalg.vector_norm(vectors.float(), dim=1)
    lost: Tensor = (lengths < SHORTEST) | ~torch.isfinite(lengths)
    return lost


def require_directions(vectors: Tensor, path: Path, what: str) -> None:
    """Raise `InputError`, with count and place, where a row of (rows, C), called `what`, has no direction."""
    lost = undirected(vectors)
    if bool(lost.any()):
        raise InputError(
            f"{path}: {int(lost.sum()):,} of {len(lost):,} {what} have length 0 or none that float32 can hold, the first is number "
            f"{_first(lost)}; fill them in, or leave them out with their labels."
        )


def read_tensor(path: Path) -> Tensor:
    """The tensor in a file. Raises `InputError` for anything but one plain tensor, and `NotPlain`."""
    archive_names(path)
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # torch raises whatever the broken bytes lead to; whichever it is, the file is no tensor.
        raise InputError(f"{path} is not a plain tensor file ({_first_line(error)}); save the tensor alone with torch.save.") from error
    if not isinstance(loaded, Tensor) or loaded.layout != torch.strided or loaded.is_quantized or loaded.is_meta:
        raise InputError(f"{path} holds a {type(loaded).__name__}, not one plain tensor; save the tensor alone with torch.save.")
    if loaded.untyped_storage().nbytes() < loaded.numel() * loaded.element_size():
        # A few bytes that call themselves a matrix of any size.
        raise InputError(f"{path} says {shape_of(loaded)} and holds fewer numbers; save the tensor after .contiguous().")
    return loaded.detach()


def shape_of(tensor: Tensor) -> str:
    """The shape, for messages."""
    return " x ".join(str(size) for size in tensor.shape) or "one number"


def _first(flags: Tensor) -> int:
    return int(flags.int().argmax())


def _first_line(error: Exception) -> str:
    if "weights_only" in str(error).lower() or "unsupported" in str(error).lower():
        return "it holds more than tensors, and xmap runs no code from files"
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:120]}"
