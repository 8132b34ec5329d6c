"""How are a frozen bank, ReLU, batch norm and a pointwise convolution applied without writing their maps?

The stage has maps ``y_fc = g_f * x_c`` of F filters, rectified with both signs to ``z = (ReLU(y), ReLU(-y))``,
standardized to ``(z_k - m_k) s_k`` with ``s_k = (v_k + eps)^(-1/2)``, and mixed by W. With ``V = W diag(s)``,

    out = V z - V m.

With D the gradient of ``out``, P the number of positions (images included) and sums over positions,

    dW = (sum D z^T - (sum D) m^T) diag(s)
    dz = V^T D + a + b z,   b_k = -s_k^2 (W^T dW)_kk / P,   a_k = -s_k (W^T sum D)_k / P - b_k m_k
    dy = [y > 0] dz_+ - [y < 0] dz_-,

where a = b = 0 if m and v are given rather than those of the batch. Only y is kept, a quarter of what the chain of
modules keeps; z and dz live in blocks of a few pixels of all images, which stay in the cache.

Images come last in memory, ``[h, w, c, n]``, so that each step is a dense matrix product: filters map a window of
pixels to a block of pixels, ``[block f, window] [window, c n]``, with zeros where a filter does not reach; W maps
``[2 f c, n]`` pixel by pixel. Tensors keep the shape ``[n, c, h, w]`` outside: the order in memory is a matter of
strides, and stages that follow one another find it as they need it.

Maps in bfloat16 keep moments, and sums over blocks of what the weights receive, in float32.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from covalign.kernels.folded_weights import Back, FoldedWeights, Met
from covalign.kernels.pixel_blocks import Block, Geometry
from covalign.kernels.rectified import led_back, rectified
from covalign.kernels.threads import each


class Moments(NamedTuple):
    """Moments by which rectified maps are standardized, ``[2 f c]``, the slots of a channel consecutive."""

    mean: Float[Tensor, " k"]
    variance: Float[Tensor, " k"]


def factorized_stage(
    x: Float[Tensor, "n c h w"],
    filters: Float[Tensor, "f k k"],
    weight: Float[Tensor, "c_out slots"],
    given: Moments | None,
    eps: float,
) -> tuple[Float[Tensor, "n c_out h w"], Moments]:
    """Return W applied to the standardized ``(ReLU(g * x), ReLU(-g * x))``, and the moments that were used.

    Differentiable once, in x and weight.

    Args:
        x: maps, of any strides.
        filters: of odd side, applied with zero padding; their negatives are implied.
        weight: on coordinates ``2 f c``: channel by channel, the filters and then their negatives.
        given: moments to standardize by; None takes those of the batch, with the biased variance.
        eps: added to the variance.
    """
    mean, variance = (None, None) if given is None else given
    arguments = x, filters, weight, mean, variance, eps
    out, mean, variance = _FactorizedStage.apply(*arguments)  # type: ignore[no-untyped-call]
    return out, Moments(mean, variance)


class _FactorizedStage(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        filters: Tensor,
        weight: Tensor,
        mean: Tensor | None,
        variance: Tensor | None,
        eps: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        geometry = Geometry.of(x, len(filters), filters.shape[-1])
        images_last = x.permute(2, 3, 1, 0).contiguous()
        given = not (mean is None or variance is None)
        stage, measured = _Stage.of(images_last, filters, geometry, not given)
        if mean is not None and variance is not None:
            measured = Moments(*(geometry.by_channel(v).flatten() for v in (mean, variance)))
        assert measured is not None
        mean, variance = measured
        scale = torch.rsqrt(variance + eps)
        out = stage.mixed(*FoldedWeights(weight, mean, scale, geometry).forward(x.dtype))
        ctx.geometry, ctx.given = geometry, given
        ctx.save_for_backward(stage.y, filters, weight, mean, scale)
        moments = geometry.by_slot(mean).T.flatten(), geometry.by_slot(variance).T.flatten()
        ctx.mark_non_differentiable(*moments)
        return out.permute(3, 2, 0, 1), *moments

    @staticmethod
    @once_differentiable
    @torch.autocast("cpu", enabled=False)  # type: ignore[untyped-decorator]
    def backward(  # type: ignore[override]
        ctx: Any, gradient: Tensor, *_: Tensor
    ) -> tuple[Tensor | None, ...]:
        y, filters, weight, mean, scale = ctx.saved_tensors
        geometry: Geometry = ctx.geometry
        stage = _Stage(y, filters, geometry)
        into_x, _, into_weight, *_ = ctx.needs_input_grad
        d = gradient.permute(2, 3, 1, 0).contiguous().view(geometry.pixels, -1, geometry.images)
        met = stage.products(d) if into_weight or not ctx.given else None
        folded = FoldedWeights(weight, mean, scale, geometry)
        back, d_weight = folded.backward(d.dtype, met, measured=not ctx.given)
        d_x = stage.backprojected(d, back).permute(3, 2, 0, 1) if into_x else None
        return d_x, None, d_weight, None, None, None


@dataclass(frozen=True)
class _Stage:
    """What is computed of the kept maps y, block by block, each thread its own blocks.

    Args:
        y: filtered maps, pixels first.
        filters: the bank.
        geometry: how pixels are cut.
    """

    y: Float[Tensor, "hw fc n"]
    filters: Float[Tensor, "f k k"]
    geometry: Geometry

    @classmethod
    def of(
        cls, x: Float[Tensor, "h w c n"], filters: Tensor, geometry: Geometry, measured: bool
    ) -> "tuple[_Stage, Moments | None]":
        """Filter x; return mean and biased variance of the rectified maps as well if they are to be measured."""
        columns, wide = geometry.channels * geometry.images, _sums_in(x.dtype)
        y = x.new_empty(geometry.pixels, geometry.filters * geometry.channels, geometry.images)
        stage, matrix = cls(y, filters, geometry), _matrices(filters.to(x.dtype))

        def work(blocks: Sequence[Block]) -> tuple[Tensor, Tensor]:
            total = y.new_zeros(geometry.slots, dtype=torch.float64)
            squares = torch.zeros_like(total)
            z = stage._room()
            exact = z if wide == z.dtype else torch.empty_like(z, dtype=wide)
            for block in blocks:
                part = y[block.pixels]
                window = x[block.window].reshape(-1, columns)
                torch.mm(matrix(block), window, out=part.view(-1, columns))
                if measured:
                    maps = rectified(part, z)
                    if wide != maps.dtype:
                        maps = exact[: len(part)].copy_(maps)
                    total += maps.sum(2).sum(0)
                    squares += torch.linalg.vector_norm(maps, 2, 2).square().sum(0)
            return total, squares

        parts = each(work, geometry.parts())
        if not measured:
            return stage, None
        mean, square = (torch.stack(sums).sum(0) / geometry.positions for sums in zip(*parts, strict=True))
        variance = (square - mean.square()).clamp(min=0)
        return stage, Moments(mean.to(wide), variance.to(wide))

    def mixed(
        self, folded: Float[Tensor, "c_out slots"], constant: Float[Tensor, " c_out"]
    ) -> Float[Tensor, "h w c_out n"]:
        """Return ``folded z + constant``."""
        geometry = self.geometry
        out = self.y.new_empty(geometry.pixels, len(folded), geometry.images)

        def work(blocks: Sequence[Block]) -> None:
            z = self._room()
            for block in blocks:
                maps, part = rectified(self.y[block.pixels], z), out[block.pixels]
                torch.baddbmm(constant[:, None], folded.expand(len(maps), -1, -1), maps, out=part)

        each(work, geometry.parts())
        return out.view(geometry.height, geometry.width, len(folded), geometry.images)

    def products(self, d: Float[Tensor, "hw c_out n"]) -> Met:
        """Return the sums of D z^T and of D over positions, one product for the pixels of a stretch."""
        geometry, wide = self.geometry, _sums_in(d.dtype)
        shape = d.shape[1], geometry.slots
        parts = geometry.stretches(d.shape[1])
        longest = max(pixels.stop - pixels.start for part in parts for pixels in part)

        def work(stretches: Sequence[slice]) -> Met:
            room = d.new_empty(geometry.slots * longest * geometry.images)
            total, product = d.new_zeros(shape, dtype=wide), d.new_empty(shape)
            sums = total.new_zeros(len(total))
            for pixels in stretches:
                y = self.y[pixels]
                maps = room[: 2 * y.numel()].view(geometry.slots, len(y), -1)
                rectified(y, maps.transpose(0, 1))
                columns = d[pixels].transpose(0, 1).reshape(d.shape[1], -1)
                sums += columns.sum(1, dtype=wide)
                if wide == d.dtype:
                    total.addmm_(columns, maps.flatten(1).T)
                else:
                    total += torch.mm(columns, maps.flatten(1).T, out=product)
            return Met(total, sums)

        (total, sums), *others = each(work, parts)
        for products, of_d in others:
            total += products
            sums += of_d
        return Met(total, sums)

    def backprojected(self, d: Float[Tensor, "hw c_out n"], back: Back) -> Float[Tensor, "h w c n"]:
        """Return the gradient of x: that of z, where z is positive, filtered back.

        A row of ones in D meets the column of constants.
        """
        geometry = self.geometry
        columns = geometry.channels * geometry.images
        matrix = _matrices(self.filters.to(d.dtype))

        def work(blocks: Sequence[Block]) -> tuple[slice, Tensor]:
            z, d_z = self._room(), self._room()
            ones = d.new_ones(geometry.pixels_per_block, back.matrix.shape[1], geometry.images)
            rows = slice(blocks[0].window[0].start, blocks[-1].window[0].stop)
            d_x = self.y.new_zeros(rows.stop - rows.start, geometry.width, geometry.channels, geometry.images)
            for block in blocks:
                maps = rectified(self.y[block.pixels], z)
                gradient = torch.mul(maps, back.slope[:, None], out=d_z[: len(maps)])
                ones[: len(maps), :-1] = d[block.pixels]
                gradient.baddbmm_(back.matrix.expand(len(maps), -1, -1), ones[: len(maps)])
                d_y = led_back(gradient, maps, out=z)
                back_filtered = matrix(block).T
                down, along = block.window
                window = d_x[down.start - rows.start : down.stop - rows.start, along]
                if window.is_contiguous():
                    window.view(-1, columns).addmm_(back_filtered, d_y.view(-1, columns))
                else:
                    window += torch.mm(back_filtered, d_y.view(-1, columns)).view(window.shape)
            return rows, d_x

        parts = each(work, geometry.parts())
        if len(parts) == 1:
            return parts[0][1]
        total = self.y.new_zeros(geometry.height, geometry.width, geometry.channels, geometry.images)
        for rows, part in parts:
            total[rows] += part
        return total

    def _room(self) -> Float[Tensor, "block slots n"]:
        """Room for the rectified maps of a block."""
        return self.y.new_empty(self.geometry.pixels_per_block, self.geometry.slots, self.geometry.images)


def _matrices(filters: Tensor) -> Callable[[Block], Float[Tensor, "block_f window"]]:
    """Return what tells of a block which matrix filters its window; few are made, since blocks are much alike."""
    bank = functional.pad(filters.reshape(-1), (0, 1))
    made: dict[int, Tensor] = {}

    def matrix(block: Block) -> Tensor:
        key = id(block.reach)
        if key not in made:
            made[key] = bank[block.reach]
        return made[key]

    return matrix


def _sums_in(dtype: torch.dtype) -> torch.dtype:
    """In which numbers sums over positions of such maps are kept."""
    return torch.float32 if dtype == torch.bfloat16 else dtype
