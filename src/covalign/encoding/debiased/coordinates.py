"""In which coordinates do two layers meet?

Rows w_1 ``[n1, d1]`` and w_2 ``[n2, d2]`` are what multiplies the layer input. With A ``[d2, d1]`` the alignment of
the inputs, they meet in the coordinates of the narrower network: for d1 <= d2 row v of network 2 becomes A^T v. A
neuron of a convolution is a matrix ``[c, s]`` of c channels and s places (or slots), columns ordered (c, s), and A
acts on its channels.

The scale of an input channel is a gauge where the channel may be rescaled without changing the network: then the
measured root-mean-square of every channel is folded into the columns, and the alignment is that of the rescaled
inputs. The r leading common directions can be removed, so that one strong direction does not hide all others.

Shapes: blocks ``[n, c, s]`` with d = c s; A ``[c2, c1]``.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from covalign.arrays import ArrayLike, as_float64
from covalign.errors import InputError
from covalign.kernels.orthonormal import largest_error

DUST = 1e-9
"""Share of its length below which what a projection leaves of a neuron is rounding; our choice."""

ORTHONORMAL = 1e-5
"""Largest entry of A^T A - I that still counts as rounding (alignments may come from float32); our choice."""


@dataclass(frozen=True, eq=False)
class Layer:
    """Neurons of one network in common coordinates.

    Attributes:
        blocks: ``[n, c, s]``, one matrix a neuron.
        kept: which row each neuron was.
        dropped: number of rows that were zero, or are zero in common coordinates.
        unit: whether every neuron has length 1.
        leverage: ``[n, m]``, minus whose inner products a projection made neurons correlated; None without one.
    """

    blocks: Float64[Tensor, "n c s"]
    kept: Int64[Tensor, " n"]
    dropped: int = 0
    unit: bool = False
    leverage: Float64[Tensor, "n m"] | None = None

    @property
    def rows(self) -> Float64[Tensor, "n d"]:
        """Neurons as rows, columns ordered (c, s)."""
        return self.blocks.flatten(1)

    def only(self, mask: Bool[Tensor, " n"]) -> "Layer":
        """Return the neurons for which ``mask`` is true; the others count as dropped."""
        if bool(mask.all()):
            return self
        dropped = self.dropped + int((~mask).sum())
        leverage = self.leverage if self.leverage is None else self.leverage[mask]
        return Layer(self.blocks[mask], self.kept[mask], dropped, self.unit, leverage)


def layer(rows: ArrayLike, name: str, places: int = 1, *, unit_length: bool = True) -> Layer:
    """Read rows ``[n, d]`` as neurons; zero rows are dropped, and the others brought to unit length.

    Raises:
        InputError: not a finite matrix, or a width that is no multiple of ``places``.
    """
    values = as_float64(rows, name, "n d")
    if places < 1 or values.shape[1] % places:
        raise InputError(
            f"{name}: got {values.shape[1]} columns for {places} places a channel, expected a multiple; columns "
            "are ordered (channel, place)"
        )
    everyone = torch.arange(len(values), device=values.device)
    found = Layer(values.reshape(len(values), -1, places), everyone)
    found = found.only(_largest(found.blocks) > 0)
    return with_unit_length(found) if unit_length else found


def with_unit_length(layer: Layer) -> Layer:
    """Divide every neuron by its length; the largest entry goes first, so that nothing over- or underflows."""
    if layer.unit or not len(layer.blocks):
        return layer
    scaled = layer.blocks / _largest(layer.blocks)[:, None, None]
    return replace(layer, blocks=scaled.div_(scaled.flatten(1).norm(dim=1)[:, None, None]), unit=True)


def _largest(blocks: Float64[Tensor, "n c s"]) -> Float64[Tensor, " n"]:
    largest: Tensor = torch.linalg.vector_norm(blocks.flatten(1), torch.inf, dim=1)
    return largest


def checked_rotation(rotation: ArrayLike | None, wide: int, narrow: int) -> Float64[Tensor, "c2 c1"] | None:
    """Return A ``[wide, narrow]``, or None for the identity.

    Raises:
        InputError: another shape, columns (or, where it maps into fewer channels, rows) that are not
            orthonormal, or no rotation between different widths.
    """
    if rotation is None:
        if wide != narrow:
            raise InputError(
                f"layers of {narrow} and {wide} input channels need a rotation [{wide}, {narrow}]; align their inputs"
            )
        return None
    matrix = as_float64(rotation, "rotation", "c2 c1")
    if matrix.shape != (wide, narrow):
        raise InputError(
            f"rotation: got shape {tuple(matrix.shape)}, expected [{wide}, {narrow}]: from the input channels of "
            "network 1 to those of network 2"
        )
    tall = matrix if wide >= narrow else matrix.T
    error = largest_error(tall, ORTHONORMAL)
    if error > ORTHONORMAL:
        raise InputError(
            f"rotation: A^T A differs from the identity by {error:.2g}, expected orthonormal columns; solve the "
            "Procrustes problem first"
        )
    return matrix


def slot_rotations(
    rotation: ArrayLike | None, slots: int, wide: int, narrow: int
) -> Float64[Tensor, "s c2 c1"] | None:
    """Return one rotation a slot, from a rotation of all inputs that keeps slots, or from one of the channels.

    Raises:
        InputError: a rotation that mixes slots, or has neither shape.
    """
    if rotation is None:
        return checked_rotation(None, wide, narrow)
    matrix = as_float64(rotation, "rotation", "d2 d1")
    if matrix.shape == (wide, narrow):
        checked_rotation(matrix, wide, narrow)
        return matrix.expand(slots, -1, -1)
    checked_rotation(matrix, wide * slots, narrow * slots)
    kept = matrix.reshape(wide, slots, narrow, slots).diagonal(dim1=1, dim2=3).movedim(2, 0)
    mixed = 1 - float(kept.square().sum() / matrix.square().sum())
    if mixed > ORTHONORMAL:
        raise InputError(
            f"rotation: {mixed:.0%} of it mixes slots, expected one that keeps them; leave `slots` out and compare "
            "with the level of turned channels"
        )
    return kept


def carried(layer: Layer, rotation: Float64[Tensor, "*slot c2 c1"], *, unit_length: bool = True) -> Layer:
    """Return neurons of the wider network in the coordinates of the narrower; what is outside them is dropped."""
    return remaining(layer, on_range(rotation, layer.blocks), unit_length=unit_length)


def on_range(
    rotation: Float64[Tensor, "*slot c2 c1"], blocks: Float64[Tensor, "n c2 s"]
) -> Float64[Tensor, "n c1 s"]:
    """Return A^T v for every neuron v ``[c2, s]``, or A_s^T v_s slot by slot."""
    if rotation.ndim == 2:  # one large product, not one a neuron
        neurons, channels, places = blocks.shape
        turned: Tensor = blocks.mT.reshape(-1, channels) @ rotation
        return turned.reshape(neurons, places, -1).mT
    return torch.einsum("sij,nis->njs", rotation, blocks)


def remaining(layer: Layer, blocks: Float64[Tensor, "n c s"], *, unit_length: bool = True) -> Layer:
    """Replace the neurons by their projections; those of which only rounding is left are dropped."""
    before, after = (x.flatten(1).norm(dim=1) for x in (layer.blocks, blocks))
    left = replace(layer, blocks=blocks, unit=False).only(after > DUST * before)
    return with_unit_length(left) if unit_length else left
