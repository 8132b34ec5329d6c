"""What is one stage of a network: a joint or a factorized convolution.

Joint (Guth & Menard 2024, appendix B.1): convolution -> ReLU -> batch norm. Space and channels are learned
together. Factorized (B.2): frozen depthwise filters -> ReLU -> batch norm -> learned pointwise convolution,
so that the learned weights ``[c_out, K c_in, 1, 1]`` act on channels alone and receive standardized inputs.
No biases anywhere, batch norm without affine parameters; a max-pool may follow a stage.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from covalign.kernels.factorized_stage import Moments, factorized_stage
from covalign.kernels.max_pool import max_pool
from covalign.networks.filters import FilterBank

FEWEST_IMAGES = 32
"""Images from which on the fast path of a factorized stage is the faster one: it works on all images of a pixel at
once. Measured at width 0.25: 1/80 of the modules' speed on one image of 64x64, even at 32, 1.3 to
1.6 times at 128."""


class TrimmedConvolution(nn.Conv2d):
    """A convolution without bias that leaves out the taps which meet nothing but padding.

    Of a kernel of side k on maps of side h these are the taps further than h - 1 from the centre. The function is the
    same; but left in, they cost most of the time of a 7x7 kernel on 2x2 maps, and bfloat16 leaves their gradient
    undefined. Padding is k // 2 at stride 1, which keeps the size of the maps, and 0 at larger strides.
    """

    def __init__(self, c_in: int, c_out: int, kernel_size: int, stride: int = 1) -> None:
        self.pad = kernel_size // 2 if stride == 1 else 0
        super().__init__(c_in, c_out, kernel_size, stride, self.pad, bias=False)

    def _conv_forward(
        self, input: Tensor, weight: Tensor, bias: Tensor | None
    ) -> Float[Tensor, "n c_out h_out w_out"]:
        pad = [min(self.pad, side - 1) for side in input.shape[2:]]
        top, left = self.pad - pad[0], self.pad - pad[1]
        if top == left == 0:
            return functional.conv2d(input, weight, bias, self.stride, self.padding)
        height, width = weight.shape[2:]
        trimmed = weight[:, :, top : height - top, left : width - left]
        return functional.conv2d(input, trimmed, bias, self.stride, pad)


class JointStage(nn.Module):
    """Convolution, ReLU, batch norm (removable), and 2x2 max-pool where ``pool``.

    Maps keep their size at stride 1; at larger strides nothing is padded.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel_size: int,
        *,
        stride: int = 1,
        norm: bool = True,
        pool: bool = False,
    ) -> None:
        super().__init__()
        self.convolution = TrimmedConvolution(c_in, c_out, kernel_size, stride)
        self.norm = nn.BatchNorm2d(c_out, affine=False) if norm else nn.Identity()
        self.pool = nn.MaxPool2d(2) if pool else nn.Identity()

    def forward(self, x: Float[Tensor, "n c_in h w"]) -> Float[Tensor, "n c_out h_out w_out"]:
        """Apply the stage."""
        maps: Tensor = self.pool(self.norm(torch.relu(self.convolution(x))))
        return maps


class FactorizedStage(nn.Module):
    """Frozen depthwise bank of K filters per channel, ReLU, batch norm, learned pointwise convolution, pool.

    The K outputs of channel c are the consecutive coordinates cK ... cK + K - 1 of the pointwise input.

    The modules say what is computed. Where nobody looks at what they hand to one another, `kernels` computes the
    same, to rounding, without writing it, once there are images enough to gain by it.
    """

    def __init__(
        self, c_in: int, c_out: int, bank: FilterBank, *, norm: bool = True, pool: bool = False
    ) -> None:
        super().__init__()
        signed = bank.signed
        slots, size = len(signed), bank.kernel_size
        self.slots = slots
        self.depthwise = nn.Conv2d(c_in, slots * c_in, size, padding=size // 2, groups=c_in, bias=False)
        self.depthwise.weight = nn.Parameter(signed.repeat(c_in, 1, 1)[:, None].clone(), requires_grad=False)
        self.norm = nn.BatchNorm2d(slots * c_in, affine=False) if norm else nn.Identity()
        self.pointwise = nn.Conv2d(slots * c_in, c_out, 1, bias=False)
        self.pool = nn.MaxPool2d(2) if pool else nn.Identity()

    @property
    def filters(self) -> Float[Tensor, "count k k"]:
        """The frozen filters without their negatives."""
        return self.depthwise.weight.detach()[: self.slots // 2, 0]

    def forward(self, x: Float[Tensor, "n c_in h w"]) -> Float[Tensor, "n c_out h_out w_out"]:
        """Apply the stage."""
        if self.is_plain(x):
            x = x.to(self._computes_in(x))
            with torch.autocast("cpu", enabled=False):
                out = self._fused(x)
                return out if isinstance(self.pool, nn.Identity) else max_pool(out)
        maps: Tensor = self.pool(self.pointwise(self.norm(torch.relu(self.depthwise(x)))))
        return maps

    def is_plain(self, x: Tensor) -> bool:
        """Say whether the modules are as built, unwatched, on the CPU, in their own precision, with images enough."""
        inner = (self.depthwise, self.norm, self.pointwise, self.pool)
        weight = self.pointwise.weight
        return (
            not any(watched(module) for module in inner)
            and not torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
            and not torch.compiler.is_compiling()
            and x.device.type == weight.device.type == "cpu"
            and self._computes_in(x) is not None
            and x.ndim == 4
            and len(x) >= FEWEST_IMAGES
            and not self.depthwise.weight.requires_grad
            and self._is_standard()
            and self._is_signed()
            and self._pools_by_two(x)
        )

    def _computes_in(self, x: Tensor) -> torch.dtype | None:
        """Return in which numbers the fast path computes; None where it does not know them."""
        weight = self.pointwise.weight.dtype
        if torch.is_autocast_enabled("cpu"):
            lower = torch.get_autocast_dtype("cpu")
            known = lower == torch.bfloat16 and weight == torch.float32 and x.dtype in (lower, weight)
            return lower if known else None
        return x.dtype if x.dtype == weight and x.dtype in (torch.float32, torch.float64) else None

    def _is_standard(self) -> bool:
        """Say whether the norm, if there is one, is without parameters, and has what it needs."""
        norm = self.norm
        if not isinstance(norm, nn.BatchNorm2d):
            return isinstance(norm, nn.Identity)
        return not norm.affine and norm.running_mean is not None and norm.momentum is not None

    def _is_signed(self) -> bool:
        """Say whether every channel has the same filters, followed by their negatives."""
        bank = self.depthwise.weight.detach().unflatten(0, (-1, 2, self.slots // 2))[:, :, :, 0]
        return torch.equal(bank, torch.stack([self.filters, -self.filters]).expand_as(bank))

    def _pools_by_two(self, x: Tensor) -> bool:
        """Say whether the pool, if there is one, takes the largest of two by two pixels, and maps have as many."""
        pool = self.pool
        if not isinstance(pool, nn.MaxPool2d):
            return isinstance(pool, nn.Identity)
        stated = pool.kernel_size, pool.stride, pool.padding, pool.dilation
        plain = stated == (2, 2, 0, 1) and not pool.ceil_mode and not pool.return_indices
        return plain and min(x.shape[2:]) > 1

    def _fused(self, x: Tensor) -> Tensor:
        norm, weight = self.norm, self.pointwise.weight
        bank = self.filters.contiguous()
        if not isinstance(norm, nn.BatchNorm2d):
            ones = weight.new_ones(weight.shape[1])
            return factorized_stage(x, bank, weight.flatten(1), Moments(torch.zeros_like(ones), ones), 0.0)[0]
        assert norm.running_mean is not None
        assert norm.running_var is not None
        running = Moments(norm.running_mean, norm.running_var)
        out, moments = factorized_stage(
            x, bank, weight.flatten(1), None if norm.training else running, norm.eps
        )
        if norm.training:
            follow(norm, moments, x.numel() // x.shape[1])
        return out


def watched(module: nn.Module) -> bool:
    """Say whether calling a module does more than its forward pass: whether hooks are attached."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )


def follow(norm: nn.BatchNorm2d, batch: Moments, count: int) -> None:
    """Update running moments as `nn.BatchNorm2d` does: with the unbiased variance of ``count`` values."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    assert norm.momentum is not None
    norm.num_batches_tracked.add_(1)
    norm.running_mean.lerp_(batch.mean, norm.momentum)
    norm.running_var.lerp_(batch.variance * (count / (count - 1)), norm.momentum)
