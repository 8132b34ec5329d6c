"""Which update of a weight do the factors of an adapter make?

The formulas stand in `covalign.networks.readers.adapter`, which finds the factors.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Update:
    """The update of one weight.

    Attributes:
        target: what the adapter calls the module that it updates.
        factors: by role.
        scale: s, with which their product is multiplied.
        magnitude: m of DoRA; None elsewhere.
    """

    target: str
    factors: dict[str, Tensor]
    scale: float
    magnitude: Tensor | None = None

    def product(self) -> Float64[Tensor, "..."]:
        """Return D, not scaled."""
        part = {role: factor.detach().double() for role, factor in self.factors.items()}
        if stored := part.keys() & {"diff", "whole"}:
            return part[stored.pop()]
        if "singular" in part:
            return part["up"] @ (part["singular"].reshape(-1, 1) * part["down"])
        if "mid" in part:
            up, down = part["up"].flatten(1), part["down"].flatten(1)
            return torch.einsum("or,rs...,si->oi...", up, part["mid"], down)
        if "up" in part:
            return torch.einsum("or,ri...->oi...", part["up"].flatten(1), part["down"])
        if "hada_t1" in part:
            return _core(part["hada_t1"], part["hada_w1_a"], part["hada_w1_b"]) * _core(
                part["hada_t2"], part["hada_w2_a"], part["hada_w2_b"]
            )
        if "hada_w1_a" in part:
            return (part["hada_w1_a"] @ part["hada_w1_b"]) * (part["hada_w2_a"] @ part["hada_w2_b"])
        one, two = (_kronecker_factor(part, f"lokr_w{index}") for index in (1, 2))
        return torch.kron(one.reshape(*one.shape, *[1] * (two.ndim - one.ndim)), two)


def _kronecker_factor(part: Mapping[str, Tensor], name: str) -> Tensor:
    if name in part:
        return part[name]
    one, two = part[f"{name}_a"], part[f"{name}_b"]
    if (core := name.replace("w", "t")) in part:
        return _core(part[core], one, two)
    return torch.einsum("or,ri...->oi...", one, two)


def _core(core: Tensor, one: Tensor, two: Tensor) -> Tensor:
    """Return sum_ij t_ij.. a_ip b_jr, a convolution from its core over space."""
    return torch.einsum("ij...,ip,jr->pr...", core, one, two).contiguous()
