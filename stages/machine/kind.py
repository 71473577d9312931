"""What decides the last bits of a feature: the kind of machine that encodes, planned once and held by every worker."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field

from xmap.store.artifacts.manifest import versions
from xmap.store.errors import InputError

# What a GPU's driver puts there: without any of them torch sees no GPU, and is not asked, which would take seconds.
DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
# What decides the last bits of a feature, beside the kind of device.
DECISIVE = ("platform", "torch", "open_clip_torch", "pillow", "numpy")
# What the libraries beneath torch are told through the environment.
SETTINGS = ("ATEN_", "CUBLAS_", "CUDNN_", "DNNL_", "MKL_", "NVIDIA_TF32_", "OMP_", "ONEDNN_", "TORCH_")


@dataclass(frozen=True)
class Machine:
    """What encodes: `device` is cpu or cuda, `made_by` the libraries and the kind of device, which decide a feature's last bits.

    `arithmetic` is what else may: threads, instructions, settings. Where it changes, rows are not made anew.
    """

    device: str
    made_by: Mapping[str, str]
    arithmetic: Mapping[str, str] = field(default_factory=dict)


def this_machine(device: str) -> Machine:
    """What would encode here on `device` (auto, cpu or cuda). Raises `InputError` for a GPU that is not there."""
    import torch

    from xmap.stages.machine.device import resolve_device

    place = resolve_device(device)
    return Machine(place, _made_by(torch.cuda.get_device_name() if place == "cuda" else place), _arithmetic(place))


def likely_made_by(device: str) -> Mapping[str, str]:
    """What would be `this_machine(device).made_by`, told without torch where there is no GPU. Raises as that does."""
    return this_machine(device).made_by if may_have_gpu(device) else _made_by("cpu")


def may_have_gpu(device: str) -> bool:
    """Whether torch has to be asked which GPU `device` (auto, cpu or cuda) is."""
    return device == "cuda" or (device != "cpu" and any(map(os.path.exists, DRIVERS)))


def _made_by(device: str) -> dict[str, str]:
    return {**{name: found for name, found in versions().items() if name in DECISIVE}, "device": device}


def _arithmetic(place: str) -> Mapping[str, str]:
    import torch

    found = {name: value for name, value in os.environ.items() if name.startswith(SETTINGS)}
    if place == "cuda":
        return {**found, "cuda": str(torch.version.cuda), "cudnn": str(torch.backends.cudnn.version())}  # type: ignore[no-untyped-call]
    return {**found, "threads": str(torch.get_num_threads()), "instructions": torch.backends.cpu.get_cpu_capability()}


def require_kind(planned: Machine) -> None:
    """Raise `InputError` where this machine is of another kind: no rerun would give the bytes of an artifact that several kinds made."""
    here = this_machine(planned.device).made_by
    differing = [f"{name} {here.get(name)} in place of {wanted}" for name, wanted in planned.made_by.items() if here.get(name) != wanted]
    if differing:
        raise InputError(f"machine {platform.node()} has {', '.join(differing)}; extract on machines of one kind.")
