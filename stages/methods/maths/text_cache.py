"""The text cache of XMAdapter: one key a class, reached by queries through a small map.

    m_c = norm(MetaNet(t_c)),   q = norm(Img2TxtNet(f)),   A_txt = exp(-beta_t (1 - q . m_c))

All keys of a class share its text key, so the text side is computed at B x N. The paper gives the nets as linear with an
unknown width and start; depth, width, start and kernel are options here (reconstruction, see docs/methods.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize, relu

from xmap.stages.methods.maths.affinity import affinity

Kernel = Literal["exp", "relative"]
Start = Literal["shared", "random"]


def start_nets(width: int, inner: int, depth: int, start: Start, seed: int, device: torch.device) -> dict[str, Tensor]:
    """Weights of MetaNet and Img2TxtNet for features of `width`.

    `inner` is D, the width of the common space (0: that of the features); `depth` 1 is linear, 2 has one ReLU layer.
    `shared` starts both from the same near-identity map, so that the cosines begin as CLIP's own; `random` from two draws.
    """
    out = inner or width
    generator = torch.Generator().manual_seed(seed)
    shared = _orthogonal(out, width, generator)
    maps = {"meta": shared, "image": shared.clone()} if start == "shared" else {
        name: torch.randn(out, width, generator=generator) / width**0.5 for name in ("meta", "image")
    }  # fmt: skip
    nets = {f"{name}.0": weight for name, weight in maps.items()}
    if depth == 2:
        for name in maps:
            nets[f"{name}.1"] = torch.randn(out, max(out // 4, 1), generator=generator) * 1e-3
            nets[f"{name}.2"] = torch.randn(max(out // 4, 1), out, generator=generator) / out**0.5
    return {name: weight.to(device) for name, weight in nets.items()}


def apply_net(nets: Mapping[str, Tensor], name: str, vectors: Tensor) -> Tensor:
    """`vectors` (B, C) through one net, as unit vectors (B, D)."""
    mapped = vectors @ nets[f"{name}.0"].T
    if f"{name}.1" in nets:
        mapped = mapped + relu(mapped @ nets[f"{name}.2"].T) @ nets[f"{name}.1"].T
    return normalize(mapped, dim=-1)


def text_affinity(nets: Mapping[str, Tensor], texts: Tensor, features: Tensor, beta: float, kernel: Kernel) -> Tensor:
    """The text affinities (B, N) of unit features (B, C) and class texts (N, C).

    `relative` measures from the query's best class, which closes the modality gap: `exp(-beta_t (max_c q.m_c - q.m_c))`.
    """
    similarity = apply_net(nets, "image", features) @ apply_net(nets, "meta", texts).T
    if kernel == "relative":
        return torch.exp((similarity - similarity.amax(1, keepdim=True).detach()) * beta)
    return affinity(similarity, beta)


def _orthogonal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """The identity where it fits; else a random orthogonal projection, which keeps cosines best on average."""
    if rows == columns:
        return torch.eye(rows)
    square = torch.linalg.qr(torch.randn(max(rows, columns), max(rows, columns), generator=generator))[0]
    projection: Tensor = square[:rows, :columns].contiguous()
    return projection
