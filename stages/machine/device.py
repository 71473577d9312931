"""Which device the work runs on, and repeatable arithmetic on it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from xmap.store.errors import InputError, UnknownName

DEVICES = ("auto", "cpu", "cuda")


def resolve_device(name: str) -> str:
    """`cpu` or `cuda`; `auto` takes a GPU where torch sees one. Raises `InputError` for `cuda` without a GPU."""
    if name not in DEVICES:
        raise UnknownName("device", name, DEVICES)
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise InputError("--device cuda: torch sees no GPU; use --device cpu, or check the driver with `nvidia-smi`.")
    return "cuda" if available and name != "cpu" else "cpu"


@contextmanager
def repeatable(seed: int, device: str) -> Iterator[None]:
    """Seed torch and ask it for deterministic kernels; the caller's random state and mode come back afterwards.

    Operations without a deterministic kernel warn instead of failing: a method is not refused for one of them.
    """
    if device == "cuda":
        # cuBLAS reads this when its first handle is made; later it is too late, and torch then warns.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # Not by use_deterministic_algorithms, which imports torch's compiler: that takes as long as torch itself.
    mode = torch.get_deterministic_debug_mode()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if device == "cuda" else []):
        torch.manual_seed(seed)
        torch.set_deterministic_debug_mode("warn")
        try:
            yield
        finally:
            torch.set_deterministic_debug_mode(mode)
