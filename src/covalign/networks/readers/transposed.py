"""Is a stored convolution transposed, so that its first axis is what it receives?

A file does not say. Evidence, strongest first: a bias, or the batch norm that follows, as long as the second
axis (times the groups) and not as the first; where both have that length, a module called after it; without
bias and norm, an even kernel whose first axis is what the layer before gives and whose second is not.
"""

import re
from collections.abc import Iterator
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


def transposition(name: str, weight: Tensor, file: Companions) -> Transposition | None:
    """Say whether companions or the name show that a convolution is transposed."""
    if weight.ndim != 4:
        return None
    c_in, per_group = weight.shape[:2]
    beside = [("bias", vector) for vector in file.biases(name) if vector.ndim == 1]
    companions = beside or [("batch norm", vector) for vector in _norms(name, file)]
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


def _norms(name: str, file: Companions) -> Iterator[Tensor]:
    """Return the statistics of the norm that follows a convolution, judging by names alone."""
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
        yield from (own[leaf] for leaf in STATISTICS if leaf in own and own[leaf].ndim == 1)
        if not any(leaf in own for leaf in STATISTICS):
            yield from (v for leaf, v in own.items() if leaf == "weight" and v.ndim == 1)
