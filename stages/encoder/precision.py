"""What `--precision auto` means: the number format that an encoder works fast in here, settled before anything is fingerprinted.

On processors without units for it bfloat16 is slower than float32. With them a ViT-B-32 was 1.7 times as fast (AVX512-BF16) and
more (AMX); fp16, which no processor here multiplies in, is for older GPUs.
"""

from __future__ import annotations

from dataclasses import dataclass

from xmap.stages.config import AUTO, EncoderConfig
from xmap.stages.machine.kind import may_have_gpu
from xmap.store.disk.processor import processor_flags

FULL, HALF, BRAIN = "fp32", "fp16", "bf16"
# Linux's names of the units of a processor that multiply bfloat16, the fastest first.
UNITS = ("amx_bf16", "avx512_bf16")
# The compute capabilities from which on a GPU has such units, by format, the newest first.
CAPABLE = {BRAIN: 8, HALF: 7}


@dataclass(frozen=True)
class Fast:
    """A number format (fp32, fp16 or bf16), and in words why it is the fast one."""

    precision: str
    why: str

    def __str__(self) -> str:
        return f"--precision auto: {self.precision}, as {self.why}"


def settled(encoder: EncoderConfig, device: str) -> tuple[EncoderConfig, tuple[str, ...]]:
    """The config with a format in place of auto, and a remark that says which. Raises `InputError` for a GPU that is not there."""
    if encoder.precision != AUTO:
        return encoder, ()
    found = fastest(device)
    return encoder.model_copy(update={"precision": found.precision}), (str(found),)


def fastest(device: str) -> Fast:
    """The format for `device` (auto, cpu or cuda). Raises `InputError` for a GPU that is not there."""
    if may_have_gpu(device):
        import torch

        from xmap.stages.machine.device import resolve_device

        if resolve_device(device) == "cuda":
            return of_gpu(torch.cuda.get_device_name(), torch.cuda.get_device_capability()[0])
    return of_processor(processor_flags())


def of_gpu(name: str, capability: int) -> Fast:
    """The format for a GPU of this compute capability (its first number)."""
    found = next((precision for precision, least in CAPABLE.items() if capability >= least), FULL)
    return Fast(found, f"{name} has units for it" if found != FULL else f"{name} has units for no shorter format")


def of_processor(flags: frozenset[str]) -> Fast:
    """The format for a processor with these flags."""
    units = next((unit for unit in UNITS if unit in flags), "")
    return Fast(BRAIN, f"the processor has {units}") if units else Fast(FULL, "the processor has no units for bf16")
