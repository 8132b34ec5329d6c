"""Is a stored convolution transposed, so that its first axis is what it receives?

A file does not say. Evidence, strongest first: a bias, or the batch norm that follows, as long as the second
axis (times the groups) and not as the first; where both have that length, a module called after it; without
bias and norm, an even kernel whose first axis is what the layer before gives and whose second is not.

A norm that goes by the convolution's number may stand before it (residual networks of the second version,
DenseNet); then it is as long as the second axis of an ordinary convolution. Files that keep an order say which it
is. Elsewhere the convolutions of the file vote: where more norms are as long as what their convolution receives
than as what it gives, norms come before.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from covalign.networks.readers.judging import Companions
from covalign.networks.readers.names import phrases, says, split, subject

CALLED = phrases(
    """
    deconv transpose transposed upconv conv_transpose convtranspose conv_t up_conv deconvolution upsample
    """
)
NORMS = ("bn", "norm", "batchnorm", "batch_norm", "instancenorm", "gn")
STATISTICS = ("running_var", "moving_variance", "running_mean")


@dataclass(frozen=True)
class Transposition:
    """That a convolution is transposed.

    Attributes:
        groups: how many groups it has.
        why: the evidence, in words.
    """

    groups: int
    why: str


def norms_before(weights: Mapping[str, Tensor], file: Companions, ordered: bool) -> frozenset[str]:
    """Return the convolutions whose norm, called by their number, comes before them.

    Args:
        weights: of layers, by name.
        file: all tensors.
        ordered: whether the file keeps the order in which the network registered them.
    """
    place = {owner: index for index, owner in enumerate(file.owned)}
    numbered = {
        name: (owner, vector)
        for name, weight in weights.items()
        if weight.ndim == 4 and not split(name)[0].rpartition(".")[2].isdigit()
        for owner, vector in _norms(name, file)
    }
    if ordered:
        return frozenset(
            name for name, (owner, _) in numbered.items() if place[owner] < place[split(name)[0]]
        )
    votes = [
        (len(vector) == weights[name].shape[1]) - (len(vector) == len(weights[name]))
        for name, (_, vector) in numbered.items()
    ]
    return frozenset(numbered) if sum(votes) > 0 else frozenset()


def transposition(
    name: str, weight: Tensor, file: Companions, before: frozenset[str] = frozenset()
) -> Transposition | None:
    """Say whether companions or the name show that a convolution is transposed.

    Args:
        name: of the weight.
        weight: of a layer.
        file: all tensors.
        before: convolutions whose norm says nothing, since it comes before them (`norms_before`).
    """
    if weight.ndim != 4:
        return None
    c_in, per_group = weight.shape[:2]
    beside = [("bias", vector) for vector in file.biases(name) if vector.ndim == 1]
    after = () if name in before else _norms(name, file)
    companions = beside or [("batch norm", vector) for _, vector in after]
    called = says(subject(split(name)[0]), CALLED)
    for kind, vector in companions:
        groups, rest = divmod(len(vector), per_group)
        if called and len(vector) == c_in != per_group and not rest and c_in % groups == 0:
            return Transposition(groups, "it is called so")
        if len(vector) != c_in and not rest and c_in % groups == 0:
            return Transposition(groups, f"its {kind} fits the second axis and not the first")
    undecided = c_in == per_group or not companions
    if undecided and called:
        return Transposition(1, "it is called so")
    return None


def doubt(weight: Tensor, received: int) -> str:
    """Say that a convolution that receives its first axis must be grouped or transposed; "" where it need not be."""
    if weight.ndim != 4 or not 1 < weight.shape[1] < len(weight) == received or received % weight.shape[1]:
        return ""
    groups = received // weight.shape[1]
    return (
        f"an ordinary convolution of {weight.shape[1]} channels; if it receives all {received} of the layer "
        f"before, it has {groups} groups or is transposed"
    )


def chained_transposition(name: str, weight: Tensor, received: int, file: Companions) -> Transposition | None:
    """Say whether a convolution without companions must be transposed to receive what the layer before gives."""
    if (
        weight.ndim != 4
        or weight.shape[2] % 2
        or weight.shape[3] % 2
        or file.biases(name)
        or _has_norm(name, file)
    ):
        return None
    if len(weight) == received != weight.shape[1] and weight.shape[1] > 1:
        return Transposition(1, "its first axis is what the layer before gives, and its second is not")
    return None


def _has_norm(name: str, file: Companions) -> bool:
    return next(_norms(name, file), None) is not None


def _norms(name: str, file: Companions) -> Iterator[tuple[str, Tensor]]:
    """Return name and statistics of the norm that goes with a convolution, judging by names alone."""
    owner, _ = split(name)
    above, _, last = owner.rpartition(".")
    prefix = f"{above}." if above else ""
    if last.isdigit():
        others = [f"{prefix}{int(last) + 1}"]
    else:
        number = re.sub(r"\D", "", last)
        others = [f"{prefix}{norm}{number}" for norm in NORMS] + [
            f"{prefix}{norm}_{number}" for norm in NORMS
        ]
    for other in others:
        own = file.owned.get(other, {})
        yield from ((other, own[leaf]) for leaf in STATISTICS if leaf in own and own[leaf].ndim == 1)
        if not any(leaf in own for leaf in STATISTICS):
            yield from ((other, v) for leaf, v in own.items() if leaf == "weight" and v.ndim == 1)
