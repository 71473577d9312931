"""A pretended GPU: a device whose tensors the CPU works on, and which refuses to work on them together with tensors of the CPU.

What a GPU refuses is refused in the same words: so a tensor that was left behind is found where there is no GPU. It goes by the name of
torch's device without memory, which autograd takes on any machine; numbers are the CPU's, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = "meta"
REFUSED = "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!"
# Operations that take tensors of two devices: copies, and rows that are named by a list of the CPU's.
BETWEEN = ("aten::copy_", "aten::_to_copy", "aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")
MAKERS = (torch.tensor, torch.as_tensor)


class Pretended(torch.Tensor):
    """A tensor on the pretended GPU; `inner` has its numbers."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> Pretended:
        made: Pretended = torch.Tensor._make_wrapper_subclass(
            cls, inner.size(), inner.stride(), inner.storage_offset(), dtype=inner.dtype, device=torch.device(DEVICE)
        )
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, operation: Any, types: Any, given: Any = (), named: Any = None) -> Any:  # type: ignore[override]
        return _done(operation, given, named or {})


class _Dispatch(TorchDispatchMode):
    def __torch_dispatch__(self, operation: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        return _done(operation, given, named or {})


class _Functions(TorchFunctionMode):
    """Makers that ask for the device would make tensors without memory before anything is dispatched."""

    def __torch_function__(self, function: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        named = dict(named or {})
        if function in MAKERS and str(named.get("device")) == DEVICE:
            del named["device"]
            return function(*given, **named).to(DEVICE)
        if function is torch.Tensor.tolist and isinstance(given[0], Pretended):
            # A GPU's tensors have it; those of subclasses do not.
            return given[0].inner.tolist()
        return function(*given, **named)


@contextmanager
def pretended_gpu() -> Iterator[str]:
    """A block in which tensors may be on the pretended GPU; its name."""
    with _Functions(), _Dispatch():
        yield DEVICE


def _done(operation: Any, given: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
    """What an operation gives, on the pretended GPU where it was asked for there, or works on what lies there."""
    name, asked = operation._schema.name, named.get("device")
    tensors = [leaf for leaf in tree_leaves((given, named)) if isinstance(leaf, torch.Tensor)]
    there = any(isinstance(tensor, Pretended) for tensor in tensors)
    if there and name not in BETWEEN and any(tensor.dim() and not isinstance(tensor, Pretended) for tensor in tensors):
        raise RuntimeError(f"{REFUSED} ({name})")
    plain, options = tree_map(lambda leaf: leaf.inner if isinstance(leaf, Pretended) else leaf, (given, dict(named)))
    found = operation(*plain, **options | ({} if asked is None else {"device": "cpu"}))
    if name.endswith("_") and not name.endswith("__"):
        return given[0]
    if "out" in named:
        return named["out"]
    # Of an operation between devices the first tensor says where its result lies, unless it is asked for elsewhere.
    stays = isinstance(given[0], Pretended) if given and name in BETWEEN else there
    if str(asked) == DEVICE or (asked is None and stays):
        return tree_map(lambda leaf: Pretended(leaf) if isinstance(leaf, torch.Tensor) else leaf, found)
    return found
