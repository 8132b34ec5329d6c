"""Is a module a norm of every token by itself, and with which gain?

    LayerNorm    gain (x - mean x) / sqrt(var x + eps) + shift      (Ba, Kiros & Hinton 2016)
    RMSNorm      gain x / sqrt(mean x^2 + eps)                      (Zhang & Sennrich 2019)

Makers name such modules in many ways, and some store the gain less 1. What they compute says which it is: of random
tokens x with both normalized forms known, gain and shift follow feature by feature from a straight line through the
responses, and the remaining tokens tell whether it is one.
"""

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from covalign.networks.network import TokenNorm
from covalign.networks.readers.tracing import evaluation, is_norm

TOKENS = 8
"""Random tokens that a norm is asked about: two fix a line, the others judge it."""
FIT = 1e-3
"""Largest deviation from the line, in units of the gain; our choice (half precision gives about this)."""


def is_candidate(part: nn.Module) -> bool:
    """Whether a part may be such a norm, by what it is called and owns: vectors of one length, or PyTorch's own."""
    if isinstance(part, nn.LayerNorm | nn.RMSNorm):
        return len(part.normalized_shape) == 1
    owned = [value for value in part._parameters.values() if value is not None]
    named = "norm" in type(part).__name__.lower() and not is_norm(part)
    alone = not any(True for _ in part.children())
    return named and alone and bool(owned) and all(v.ndim == 1 and v.shape == owned[0].shape for v in owned)


def token_norm(part: nn.Module) -> TokenNorm | None:
    """Return gain and shift of a norm of tokens; None where a module is none."""
    if not is_candidate(part):
        return None
    owned = [value for value in part._parameters.values() if value is not None]
    sizes = part.normalized_shape if isinstance(part, nn.LayerNorm | nn.RMSNorm) else owned[0].shape
    like = owned[0] if owned else torch.zeros(0)
    generator = torch.Generator().manual_seed(0)
    x = (
        torch.randn(1, TOKENS, sizes[0], generator=generator) + 0.5
    )  # the mean is not 0: that is what is asked
    try:
        with evaluation(part):
            y = part(x.to(like))
    except Exception:  # one for maps, or a stranger's
        return None
    if not isinstance(y, Tensor) or y.shape != x.shape:
        return None
    seen, given = x[0].double(), y[0].double().cpu()
    for centred in (True, False):
        if (line := _line(normalized(seen, centred), given)) is not None:
            return TokenNorm(*line, centred)
    return None


def normalized(x: Float64[Tensor, "n d"], centred: bool) -> Float64[Tensor, "n d"]:
    """Return tokens of root-mean-square 1, less their mean where ``centred``."""
    x = x - x.mean(1, keepdim=True) if centred else x
    return x / x.square().mean(1, keepdim=True).sqrt()


def _line(
    x: Float64[Tensor, "n d"], y: Float64[Tensor, "n d"]
) -> tuple[Float64[Tensor, " d"], Float64[Tensor, " d"]] | None:
    """Return slope and offset of y over x, feature by feature; None where they lie on no line."""
    at, over = x.mean(0), y.mean(0)
    slope = ((x - at) * (y - over)).sum(0) / (x - at).square().sum(0)
    offset = over - slope * at
    apart = (y - slope * x - offset).abs().max()
    return (slope, offset) if float(apart) <= FIT * float(slope.abs().max().clamp(min=1e-12)) else None
