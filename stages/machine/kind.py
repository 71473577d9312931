"""What decides the last bits of a feature: the kind of machine that encodes, planned once and held by every worker."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from xmap.stages.machine.device import resolve_device
from xmap.store.artifacts.manifest import versions
from xmap.store.errors import InputError

# What decides the last bits of a feature, beside the kind of device.
DECISIVE = ("platform", "torch", "open_clip_torch", "pillow", "numpy")


@dataclass(frozen=True)
class Machine:
    """What encodes: `device` is cpu or cuda, `made_by` the libraries and the kind of device, which decide a feature's last bits."""

    device: str
    made_by: Mapping[str, str]


def this_machine(device: str) -> Machine:
    """What would encode here on `device` (auto, cpu or cuda). Raises `InputError` for a GPU that is not there."""
    place = resolve_device(device)
    made_by = {name: found for name, found in versions().items() if name in DECISIVE}
    made_by["device"] = torch.cuda.get_device_name() if place == "cuda" else place
    return Machine(place, made_by)


def require_kind(planned: Machine) -> None:
    """Raise `InputError` where this machine is of another kind: no rerun would give the bytes of an artifact that several kinds made."""
    here = this_machine(planned.device).made_by
    differing = [f"{name} {here.get(name)} in place of {wanted}" for name, wanted in planned.made_by.items() if here.get(name) != wanted]
    if differing:
        raise InputError(f"machine {platform.node()} has {', '.join(differing)}; extract on machines of one kind.")
