"""Images as arrays and tensors: which layouts and values are taken, and refused for a reason that says what to hand over.

An array of one image is (height, width), (height, width, c) or (c, height, width), where c is 1 (grey), 3 (RGB) or 4 (RGB and alpha); where
both ends could be channels NumPy's are the last and a tensor's the first, as their libraries hold images. One axis more in front is a
batch. Values are uint8, or floats from 0 to 1, which are what torchvision's `ToTensor` makes of uint8: they come back as the same bytes.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from xmap.store.errors import InputError
from xmap.store.formats.tables import Array

if TYPE_CHECKING:
    from torch import Tensor

CHANNELS = (1, 3, 4)
LAYOUTS = "(height, width), (height, width, 1, 3 or 4) or (1, 3 or 4, height, width), with one axis more for a batch"


def is_tensor(entry: Any) -> TypeGuard[Tensor]:
    """Whether it is a torch tensor; nobody has one without having imported torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(entry, torch.Tensor)


def is_batch(entry: Any) -> bool:
    """Whether an array or tensor holds several images."""
    return (isinstance(entry, np.ndarray) or is_tensor(entry)) and entry.ndim == 4


def pixels_of(entry: Array | Tensor, name: str) -> Array:
    """The pixels (height, width) or (height, width, 3 or 4) uint8 of one array or tensor. Raises `InputError`."""
    kind = f"{name} is {'a tensor' if is_tensor(entry) else 'an array'} of shape {tuple(entry.shape)}"
    array = _on_host(entry, kind) if is_tensor(entry) else np.asarray(entry)
    if 0 in array.shape or array.ndim not in (2, 3):
        raise InputError(f"{kind}; taken are {LAYOUTS}, and features by predict_proba.")
    return np.ascontiguousarray(_bytes(_channels_last(array, is_tensor(entry), kind), kind))


def _on_host(tensor: Tensor, kind: str) -> Array:
    try:
        held = tensor.detach().cpu()
        found: Array = (held.float() if held.is_floating_point() else held).numpy()
    except (TypeError, RuntimeError, NotImplementedError) as error:
        raise InputError(f"{kind} that NumPy cannot hold ({str(error).splitlines()[0]}); hand over a plain dense one.") from error
    return found


def _channels_last(array: Array, first_wins: bool, kind: str) -> Array:
    if array.ndim == 2:
        return array
    first, last = array.shape[0] in CHANNELS, array.shape[2] in CHANNELS
    if not (first or last):
        raise InputError(f"{kind}; taken are {LAYOUTS}.")
    found = np.moveaxis(array, 0, 2) if first and (first_wins or not last) else array
    return found[..., 0] if found.shape[2] == 1 else found


def _bytes(array: Array, kind: str) -> Array:
    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise InputError(f"{kind} and type {array.dtype}; taken are uint8, 0 to 255, and floats, 0 to 1.")
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):
        held = f"values from {low:g} to {high:g}" if low <= high else "values that are no numbers"
        raise InputError(f"{kind} with {held}; floats are taken from 0 to 1: hand over pixels before they are normalised, or uint8.")
    return np.rint(array.astype(np.float32) * 255).astype(np.uint8)
