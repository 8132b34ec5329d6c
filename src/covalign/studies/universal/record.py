"""What is a universal encoding, as a thing that can be kept and used?

Per layer a covariance from which neurons are drawn (the Bures-Wasserstein barycenter of the members', as a factor),
the
directions that members share with what shows it, and the numbers of `LayerRow`. Covariances need coordinates: those
of the inputs of a *reference network* that was itself drawn from the encoding, layer by layer, and comes with it. No
trained network's weights are in the file, and any images can be shown to the reference network, so that a new network
is aligned to it on its user's images.
"""

import html
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from covalign.data.normalization import normalization
from covalign.errors import InputError
from covalign.networks.filters import FilterBank
from covalign.networks.network import Network
from covalign.networks.readers.opening import read_network
from covalign.report.columns import frame
from covalign.showing import curve
from covalign.studies.result import SENTENCE, frame_html, shortened
from covalign.studies.structure import hidden_layers
from covalign.studies.universal.columns import LayerRow, MemberRow
from covalign.studies.universal.shipped import file_of
from covalign.studies.universal.storing import read, write
from covalign.training.run import build
from covalign.training.spec import TrainingSpec

KIND = "universal encoding"


@dataclass(frozen=True, eq=False)
class EncodedLayer:
    """What is common at one layer, in the coordinates of the reference network's inputs.

    Attributes:
        name: of the layer.
        form: factorized, joint or linear.
        channels: input coordinates c.
        kernel: height and width; d = c k_h k_w, columns ordered (channel, place).
        factor: K ``[d, r]``, columns orthogonal, strongest first. Neurons have covariance K K^T + rest I in units of
            their initial variance 1 / (3 d).
        rest: variance of every coordinate that stands for the columns that are left out.
        directions: ``[d, q]``, leading directions of the mean of traceless second moments, strongest first.
        variances: ``[s]``, debiased, in units of a neuron's squared length (`covalign.encoding.universal.sharing`).
        captured: ``[m, s]``, of every member by the directions of the others.
        most: ``[m, s]``, the largest share of every member that so many directions can capture.
        shared: ``[s]``, share of members that learned each direction; chance is 0.05.
        shared_rotated: the same of members turned at random.
        shared_untrained: the same of the untrained members; NaN where these are not known.
        cross: U_12 of all pairs of members ``[m, m]``; NaN on the diagonal and for pairs that share their initial
            weights.
    """

    name: str
    form: str
    channels: int
    kernel: tuple[int, int]
    factor: Float[Tensor, "d r"]
    rest: float
    directions: Float[Tensor, "d q"]
    variances: Float64[Tensor, " s"]
    captured: Float64[Tensor, "m s"]
    most: Float64[Tensor, "m s"]
    shared: Float64[Tensor, " s"]
    shared_rotated: Float64[Tensor, " s"]
    shared_untrained: Float64[Tensor, " s"]
    cross: Float64[Tensor, "m m"]

    @property
    def places(self) -> int:
        """Number of taps of a kernel."""
        return self.kernel[0] * self.kernel[1]

    @property
    def variance(self) -> float:
        """Mean variance of a neuron's coordinates, tr C / d."""
        return float(self.factor.double().square().sum()) / len(self.factor) + self.rest


@dataclass(frozen=True, eq=False)
class Reference:
    """A network drawn from the encoding, whose inputs are the encoding's coordinates.

    Attributes:
        spec: what it is built by, fields of a `TrainingSpec`.
        weights: parameters and buffers by name, floating point ones in half precision where that can hold them.
        bank: its frozen filters ``[count, k, k]``; None for joint networks.
    """

    spec: dict[str, Any]
    weights: dict[str, Tensor]
    bank: Float[Tensor, "count k k"] | None = None

    def module(self) -> nn.Module:
        """Build the network, in evaluation mode; its readout has one class and is not meant to be used.

        Raises:
            InputError: weights that do not belong to it.
        """
        spec = TrainingSpec.of(self.spec)
        bank = None if self.bank is None else FilterBank(self.bank.float(), {"name": "of an encoding"})
        with torch.random.fork_rng(devices=[]):
            module = build(spec, 1, bank)
        try:
            module.load_state_dict({name: full(value) for name, value in self.weights.items()})
        except RuntimeError as error:
            raise InputError(
                f"universal encoding: its reference network does not fit together ({error})"
            ) from error
        return module.eval()

    def network(self) -> Network:
        """Return the network with its layers and layer inputs."""
        pixels = normalization(TrainingSpec.of(self.spec).normalization)
        return read_network(self.module(), name="reference", normalization=pixels)


@dataclass(frozen=True, eq=False)
class UniversalEncoding:
    """What a population of networks has in common, and what new networks are drawn from.

    Attributes:
        layers: in forward order, the readout left out.
        rows: what is said of each.
        members: the networks it was built from.
        reference: fixes the coordinates.
        card: where it comes from and what terms hold: images, licences, recipe, versions; JSON-serializable.
    """

    layers: tuple[EncodedLayer, ...]
    rows: tuple[LayerRow, ...]
    members: tuple[MemberRow, ...]
    reference: Reference
    card: dict[str, Any] = field(default_factory=dict)

    @property
    def table(self) -> pd.DataFrame:
        """A row per layer; columns as `LayerRow` declares them."""
        return frame(self.rows, LayerRow)

    @property
    def population(self) -> pd.DataFrame:
        """A row per member; columns as `MemberRow` declares them."""
        return frame(self.members, MemberRow)

    def save(self, path: str | Path) -> Path:
        """Write everything as one safetensors file, whole or not at all, and return its path.

        Raises:
            InputError: the file cannot be written.
        """
        return write(self, Path(path), KIND)

    @classmethod
    def load(cls, path: str | Path) -> "UniversalEncoding":
        """Read what `save` wrote, or an encoding that comes with the package by its name; nothing in a file is run.

        Raises:
            InputError: no such file or name, another kind of file, or one that is damaged or does not fit together.
        """
        parts = (EncodedLayer, LayerRow, MemberRow, Reference)
        file = file_of(path)
        return checked(read(cls, file, KIND, parts), file)

    def __repr__(self) -> str:
        """Return numbers of layers and members, and the conditions."""
        conditions = ", ".join(dict.fromkeys(member.condition for member in self.members))
        return f"UniversalEncoding({len(self.layers)} layers of {len(self.members)} networks of {conditions})"

    def _repr_html_(self) -> str:
        """Return the table of layers, and how far the members agree at each, for notebooks."""
        agreement = curve("agreement of members, first to last layer", self.table["agreement"].tolist())
        return (
            f"<h4>{html.escape(shortened(repr(self), SENTENCE))}</h4>\n{frame_html(self.table)}\n{agreement}"
        )


def load_encoding(path: str | Path) -> UniversalEncoding:
    """Read a universal encoding.

    Args:
        path: what `UniversalEncoding.save` wrote, or the name of an encoding that comes with the package
            (`covalign.studies.universal.shipped`).

    Raises:
        InputError: no such file or name, another kind of file, or one that is damaged or does not fit together.
    """
    return UniversalEncoding.load(path)


def full(value: Tensor) -> Tensor:
    """Return a stored tensor in single precision where it was narrowed."""
    return value.float() if value.dtype == torch.float16 else value


def narrowed(value: Tensor) -> Tensor:
    """Return a tensor in half precision where that can hold it: an error of at most 1 / 2048, half the bytes."""
    half = value.detach().to(torch.float16)
    small = float(value.abs().max()) < 6e4 if value.is_floating_point() and value.numel() else False
    return half if small else value.detach().clone()


def checked(encoding: UniversalEncoding, path: Path) -> UniversalEncoding:
    """Refuse an encoding whose parts do not fit together.

    Raises:
        InputError: shapes that contradict each other, numbers that are not finite, or another reference network.
    """
    if not encoding.layers or len(encoding.layers) != len(encoding.rows):
        raise InputError(
            f"{path}: {len(encoding.layers)} layers and {len(encoding.rows)} rows, expected as many, at least one"
        )
    reference = hidden_layers(encoding.reference.network())
    if len(reference) != len(encoding.layers):
        raise InputError(
            f"{path}: the reference network has {len(reference)} layers and the encoding {len(encoding.layers)}"
        )
    for layer, own in zip(encoding.layers, reference, strict=True):
        d = layer.channels * layer.places
        fits = (
            len(layer.factor) == len(layer.directions) == d == own.dimension
            and layer.channels == own.channels
        )
        finite = all(
            bool(part.isfinite().all()) for part in (layer.factor, layer.directions, layer.variances)
        )
        if not fits or not finite or not layer.factor.any():
            raise InputError(
                f"{path}: layer {layer.name!r} does not fit its reference network ({own.dimension} inputs), or is "
                "not finite; get the file again"
            )
    return encoding
