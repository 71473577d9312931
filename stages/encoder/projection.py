"""The last linear map of a text tower, and the tower without it (as SeMoBridge goes back through it)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from xmap.store.errors import InputError

# Of CLIP, CustomTextCLIP and CoCa; of towers of transformers.
NAMES = ("text_projection", "proj")


def text_projection(model: Any, name: str) -> Tensor:
    """The projection (E, C) float32 at the end of the text tower. Raises `InputError` where it has none, or more than a matrix."""
    found = getattr(*_place(model, name))
    if isinstance(found, nn.Linear) and found.bias is None:
        found = found.weight.T
    if not isinstance(found, Tensor) or found.dim() != 2:
        raise InputError(f"the text tower of {name!r} does not end in a linear projection, which semobridge needs; choose another method.")
    return found.detach().float().cpu()


@contextmanager
def unprojected(model: Any, name: str) -> Iterator[None]:
    """The model, whose texts meanwhile stay as they are before the projection."""
    tower, field = _place(model, name)
    projection = getattr(tower, field)
    try:
        # Towers of open_clip leave out a projection that is None, those of transformers call theirs.
        setattr(tower, field, None if field == NAMES[0] else nn.Identity())
        yield
    finally:
        setattr(tower, field, projection)


def _place(model: Any, name: str) -> tuple[Any, str]:
    tower = getattr(model, "text", model)
    field = next((field for field in NAMES if getattr(tower, field, None) is not None), None)
    if field is None:
        raise InputError(f"the text tower of {name!r} has no projection, which semobridge goes back through; choose another method.")
    return tower, field
