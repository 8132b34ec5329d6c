"""A network as covalign sees it: named layers with readable weights, and where possible their inputs.

Shape convention, used everywhere: a layer's weight is ``[c_out, c_in / groups, k_h, k_w]`` (linear layers
have ``k_h = k_w = 1``); one row of `Layer.matrix` is one neuron, flattened in the order (c_in, space).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, runtime_checkable

from jaxtyping import Float, Float64
from torch import Tensor

from covalign.data.normalization import Normalization
from covalign.errors import InputError
from covalign.networks.filters import FilterBank
from covalign.networks.intake import ANY, Intake

Kind = Literal["convolution", "grouped", "depthwise", "transposed", "linear"]

SHOWN = 12
"""Layers that a network's `repr` names."""


@dataclass(frozen=True, eq=False)
class BatchNorm:
    """A batch norm in evaluation mode: channel c of x becomes ``scale[c] x + shift[c]``."""

    scale: Float64[Tensor, " c"]
    shift: Float64[Tensor, " c"]


@dataclass(frozen=True, eq=False)
class TokenNorm:
    """A norm of every token by itself: x becomes ``gain * y + shift``, y of root-mean-square 1.

    Attributes:
        gain: one number a feature.
        shift: likewise; zero for most norms by the root-mean-square.
        centred: whether the mean over features is subtracted first (LayerNorm), or not (RMSNorm).
    """

    gain: Float64[Tensor, " d"]
    shift: Float64[Tensor, " d"]
    centred: bool


@dataclass(frozen=True, eq=False)
class Layer:
    """One learned linear map.

    Attributes:
        name: dotted path in the network.
        kind: what sort of map it is. A transposed convolution's weight is stored like any other,
            ``[c_out, c_in / groups, k_h, k_w]`` (the framework's own layout is transposed on reading).
        weight: ``[c_out, c_in / groups, k_h, k_w]``.
        initial: the weight before training, where it was kept.
        init_variance: variance of the initial weights, from the initializer's formula, where known.
        factorized: the input is a frozen depthwise bank, so that the map is learned on channels alone
            and each input coordinate counts as one dimension of the alignment.
        norm_before: the batch norm whose output the layer receives, where one precedes it directly.
        norm_after: the batch norm that receives the layer's output, where one follows it directly.
        token_norm: the norm of tokens (LayerNorm, RMSNorm) whose output the layer receives, where one precedes it
            directly.
        part_of: the stored product of several layers whose rows the weight is (queries, keys and values in one);
            "" for a product of its own.
        heads: number of heads of the attention that a layer is part of; 0 where there are none, or are not known.

    Example:
        >>> from torch import zeros
        >>> layer = Layer("conv", "convolution", zeros(4, 3, 5, 5))
        >>> layer.neurons, layer.dimension, layer.matrix.shape
        (4, 75, torch.Size([4, 75]))
    """

    name: str
    kind: Kind
    weight: Float[Tensor, "c_out c_in_per_group k_h k_w"]
    initial: Float[Tensor, "c_out c_in_per_group k_h k_w"] | None = None
    init_variance: float | None = None
    factorized: bool = False
    groups: int = 1
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    norm_before: BatchNorm | None = None
    norm_after: BatchNorm | None = None
    token_norm: TokenNorm | None = None
    part_of: str = ""
    heads: int = 0

    @property
    def form(self) -> str:
        """How the map was learned: "factorized", "joint" (space and channels together) or "linear"."""
        if self.kind == "linear":
            return "linear"
        return "factorized" if self.factorized else "joint"

    @property
    def neurons(self) -> int:
        """Number of output channels c_out."""
        return self.weight.shape[0]

    @property
    def channels(self) -> int:
        """Number of input channels c_in, over all groups."""
        return self.weight.shape[1] * self.groups

    @property
    def dimension(self) -> int:
        """Length d of a neuron: c_in / groups times the kernel's area."""
        return self.weight[0].numel()

    @property
    def matrix(self) -> Float64[Tensor, "c_out d"]:
        """The neurons as rows, flattened (c_in, space), float64."""
        return self.weight.detach().double().flatten(1)

    def __repr__(self) -> str:
        """Return name, kind and shape of the weight."""
        return f"Layer({self.name!r}, {self.kind}, {'x'.join(map(str, self.weight.shape))})"


@dataclass(frozen=True)
class Skipped:
    """A parameter that was not read as a layer, and why."""

    name: str
    reason: str


@runtime_checkable
class ActivationSource(Protocol):
    """Runs a network and hands out what chosen layers receive."""

    def inputs(
        self, batch: Float[Tensor, "n c h w"], names: Sequence[str]
    ) -> dict[str, Float[Tensor, "n channels ..."]]:
        """Return the inputs of the named layers for one batch of normalized images, in evaluation mode."""
        ...


@runtime_checkable
class Movable(Protocol):
    """A source that can run on another device."""

    def on(self, device: str) -> ActivationSource:
        """Return the source as it runs there."""
        ...


@dataclass(frozen=True, eq=False)
class Network:
    """Named, readable layers in forward order.

    Attributes:
        name: short name for tables and captions.
        layers: what was read.
        skipped: what was not read, and why.
        source: gives layer inputs; None for a bare weight file, which has no forward pass.
        normalization: how this network's input pixels are normalized, where known.
        resolution: height and width of the images it was trained on, where known.
        intake: what it fixes of its images.
        wiring: by layer, the layers whose output reaches it without another layer between ("" for the images); empty
            where no forward pass could be followed.
        filters: the frozen spatial filters of its factorized layers; None where there are none, or are not known.
        details: provenance for reports (path, architecture, training run ...), JSON-serializable.
    """

    name: str
    layers: tuple[Layer, ...]
    skipped: tuple[Skipped, ...] = ()
    source: ActivationSource | None = None
    normalization: Normalization | None = None
    resolution: int | None = None
    filters: FilterBank | None = None
    details: dict[str, Any] = field(default_factory=dict)
    intake: Intake = ANY
    wiring: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def on(self, device: str) -> "Network":
        """Return the network as it runs on a device ("cpu", "cuda", "mps"), where its source can.

        Layer inputs come back to the CPU, where the mathematics of weights is done.
        """
        return replace(self, source=self.source.on(device)) if isinstance(self.source, Movable) else self

    def layer(self, name: str) -> Layer:
        """Return the layer called ``name``."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        known = ", ".join(layer.name for layer in self.layers)
        raise InputError(f"network {self.name!r} has no layer {name!r}; its layers are: {known}")

    def __repr__(self) -> str:
        """Return the name, what was read in a line a layer, and how much was not."""
        shown = [repr(layer) for layer in self.layers[:SHOWN]]
        more = [f"and {len(self.layers) - SHOWN} more layers"] if len(self.layers) > SHOWN else []
        head = f"Network({self.name!r}: {len(self.layers)} layers, {len(self.skipped)} parameters skipped"
        return "\n  ".join([head, *shown, *more]) + ")"
