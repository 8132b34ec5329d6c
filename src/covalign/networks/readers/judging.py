"""Is a stored tensor the weight of a layer, judging by names, shapes and companions?

No single sign decides. The name says what its maker calls it; the shape what it can multiply; the tensors
beside it in the same module, its companions, what it is used for: a bias as long as its rows makes a weight of
it, a bias of its own shape an elementwise gain, a recurrent weight beside it a cell. A file also has a
convention: where weights are called ``weight`` (or ``kernel``), what has another name and no bias is a
parameter that some module uses in its own way. The numbers decide last: kernels that are all equal are a fixed
filter, zeros and ones alone are a mask. What is doubtful is left out, with the doubt, and a person can insist
on it.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from covalign.networks.readers.composed import is_binary, is_mask, is_of_ones
from covalign.networks.readers.lexicon import (
    ADAPTERS,
    AVERAGES,
    CELLS,
    CONSTANTS,
    EMBEDDINGS,
    EXPERTS,
    FILTERS,
    GAINS,
    GATES,
    MAPS,
    MEASURED,
    OPTIMIZER,
    POSITIONS,
    RECURRENT,
    SCALES,
    STATISTICS,
    TOKENS,
)
from covalign.networks.readers.names import says, split, subject, words
from covalign.networks.readers.pairs import gates, partners, state


class NotALayer(Enum):
    """What a tensor of two or more axes is that is no layer, or may be none; the value is the sentence for people."""

    NOT_REAL = "stored as {} (quantized?), expected real numbers"
    COMPLEX = "complex numbers ({}), expected real ones"
    SPARSE = "stored as a sparse tensor, expected a dense one"
    EMPTY = "empty"
    BIAS = "a bias, or a table that is added to attention"
    SCALE = "scales or zero points of quantized weights"
    MASK = "a mask of zeros and ones, not applied"
    MASK_OF_ONES = "a mask of ones alone, which prunes nothing"
    SOFT_MASK = "called a mask and not of zeros and ones: it is not applied to anything"
    MEASURED = "gradients or importances of weights, not weights"
    MASK_SCORES = "scores that a pruning mask is made of"
    OPTIMIZER = "state of the optimizer"
    ADAPTER = "a factor of an update (adapter); with the base: covalign diff BASE ADAPTER"
    FACTOR = (
        "doubtful: the file holds pairs of factors alone, this one of a product of rank {} with {}, as an update "
        "(adapter) is stored"
    )
    AVERAGE = "a running copy of {}"
    BESIDE = "beside {} of the same shape: a copy of it, or what goes with it"
    RECURRENT = "weight of a recurrent layer"
    STATISTIC = "statistics (mean, standard deviation)"
    POSITION = "a table of positions, not a layer"
    TOKEN = "learned tokens, not a layer"
    EMBEDDING = "an embedding (a table of vectors by index), not a layer"
    MAYBE_EMBEDDING = "doubtful: many rows and no bias, as of an embedding or a tied readout"
    RESAMPLING = "one kernel for every channel by itself: a fixed filter (resampling), not learned"
    FILTER = "a fixed filter (blur, resampling, edges or a transform), not learned"
    EQUAL_ROWS = "all its kernels are equal: a fixed filter, or not yet trained"
    GAIN = "gains or gates, one number a channel"
    ELEMENTWISE = "has the shape of its bias: gains of a normalization, not a layer"
    CONSTANT = "a constant input or noise, not a layer"
    OWN_NAME = "doubtful: a parameter with a name of its own and no bias, in a file that calls weights {!r}"
    COMPUTED = (
        "part of a weight that is computed (weight norm, spectral norm or pruning), without its other parts"
    )
    EXPERTS = "weights of several experts in one: [{}], expected a matrix for each"
    LINE = "a one-dimensional convolution [c_out, c_in, k], expected a two-dimensional one"
    MAYBE_LINE = "doubtful: [{}], a one-dimensional convolution or a table"
    SOLID = "5 axes: a three-dimensional convolution, or one for each sample; expected a two-dimensional one"
    MANY_AXES = "{} axes: not a two-dimensional convolution"


@dataclass(frozen=True)
class Verdict:
    """Why a tensor is not taken for a layer.

    Attributes:
        kind: what it is.
        values: the numbers and names of the case.
    """

    kind: NotALayer
    values: tuple[str | int, ...] = ()

    def __str__(self) -> str:
        """The sentence of this case."""
        return self.kind.value.format(*self.values)


CONVENTIONS = ("weight", "kernel", "w")
"""What files call the weights of modules; the commonest decides."""

MANY_ROWS, TALL = 1000, 4
"""From how many rows, and how many times more rows than columns, it may be an embedding (our choice)."""


@dataclass(frozen=True, eq=False)
class Companions:
    """The tensors of a file by the modules that own them.

    Attributes:
        owned: by module, its tensors by their own names.
        convention: what this file calls the weights of modules; "" where no name stands out.
        biased: whether linear layers of this file have biases as a rule.
        partners: by factor of a product, the other one, where the file holds nothing else; else empty.
    """

    owned: dict[str, dict[str, Tensor]]
    convention: str
    biased: bool
    partners: Mapping[str, str]

    def at(self, name: str) -> Tensor | None:
        """Return the tensor of this name, if there is one."""
        owner, leaf = split(name)
        return self.owned.get(owner, {}).get(leaf)

    def whole(self, name: str) -> Tensor | None:
        """Return the tensor below which this one is named (``weight`` of ``weight.momentum``), if there is one."""
        return self.at(split(name)[0])

    def beside(self, name: str) -> dict[str, Tensor]:
        """Return the other tensors of the module that owns ``name``."""
        owner, leaf = split(name)
        return {other: tensor for other, tensor in self.owned[owner].items() if other != leaf}

    def biases(self, name: str) -> list[Tensor]:
        """Return the vectors that may be this weight's bias, by name."""
        found = self.beside(name)
        _, leaf = split(name)
        expected = {leaf.replace(call, own) for call, own in _BIAS.items() if call in leaf}
        named = [found[own] for own in sorted(expected) if own in found]
        if named or any(tensor.ndim > 1 for tensor in found.values()):
            return named
        return [v for other, v in found.items() if words(other)[-1:] in (("bias",), ("b",), ("biases",))]


_BIAS = {"weight": "bias", "kernel": "bias", "W": "b", "w": "b", "weights": "biases"}


def companions(tensors: Mapping[str, Tensor]) -> Companions:
    """Sort the tensors of a file by the modules that own them, and find its convention."""
    owned: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        owner, leaf = split(name)
        owned.setdefault(owner, {})[leaf] = tensor
    leaves = Counter(split(name)[1].lower() for name, tensor in tensors.items() if tensor.ndim > 1)
    usual = max(CONVENTIONS, key=lambda leaf: leaves[leaf])
    linear = [part for part in owned.values() if (w := part.get("weight")) is not None and w.ndim == 2]
    biased = sum("bias" in part for part in linear) * 2 >= len(linear) > 0
    return Companions(owned, usual if leaves[usual] else "", biased, partners(tensors))


def judge(name: str, tensor: Tensor, file: Companions) -> Verdict | None:
    """Say why a tensor of two or more axes is not taken for a layer; None where it is one.

    Only names, shapes and companions are asked; `judge_numbers` asks the rest.
    """
    return stored_otherwise(tensor) or _by_place(name, tensor, file) or _by_shape(name, tensor, file)


def stored_otherwise(tensor: Tensor) -> Verdict | None:
    """Say why a tensor cannot be read as numbers, whatever it is."""
    if tensor.layout != torch.strided:
        return Verdict(NotALayer.SPARSE)
    if tensor.is_quantized or not is_real(tensor):
        kind = NotALayer.COMPLEX if tensor.is_complex() else NotALayer.NOT_REAL
        return Verdict(kind, (str(tensor.dtype).removeprefix("torch."),))
    return Verdict(NotALayer.EMPTY) if tensor.numel() == 0 else None


def judge_mask(verdict: Verdict, tensor: Tensor) -> Verdict:
    """Correct a verdict by name alone: what is called a mask may have other numbers, and what is not may be one."""
    if verdict.kind is NotALayer.MASK and not is_binary(tensor):
        return Verdict(NotALayer.SOFT_MASK)
    if verdict.kind is NotALayer.MASK and is_of_ones(tensor):
        return Verdict(NotALayer.MASK_OF_ONES)
    unclear = verdict.kind in (NotALayer.BESIDE, NotALayer.OWN_NAME) or tensor.dtype == torch.bool
    return (
        Verdict(NotALayer.MASK) if unclear and tensor.layout == torch.strided and is_mask(tensor) else verdict
    )


def judge_numbers(weight: Tensor) -> Verdict | None:
    """Say why numbers do not look learned: kernels that are all equal, or a mask's zeros and ones."""
    if is_mask(weight):
        return Verdict(NotALayer.MASK)
    first = weight[:1]
    if len(weight) > 1 and weight.ndim == 4 and first[0, 0].numel() > 1:
        if _is_resampling(weight):
            return Verdict(NotALayer.RESAMPLING)
        near = weight[:2]
        if bool(first.any()) and bool((near == near[:, :1]).all()) and bool((near == first).all()):
            return Verdict(NotALayer.EQUAL_ROWS) if bool((weight == first[:, :1]).all()) else None
    return None


def _is_resampling(weight: Tensor) -> bool:
    """Whether a convolution applies one kernel to every channel by itself."""
    count, channels = weight.shape[:2]
    if count != channels or bool(weight[0, 1].any()) or not bool((weight[0, 0] == weight[1, 1]).all()):
        return False
    own = weight.diagonal().permute(2, 0, 1)
    one_kernel = bool(own.any()) and bool((own == own[:1]).all())
    return one_kernel and int(weight.count_nonzero()) == int(own.count_nonzero())


def is_real(tensor: Tensor) -> bool:
    """Whether a tensor holds real numbers of a type that weights have when they are not quantized."""
    return tensor.dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def _by_place(name: str, tensor: Tensor, file: Companions) -> Verdict | None:
    """Judge by what the path says wherever it says it, and by what stands beside."""
    _, leaf = split(name)
    parts = name.split(".")
    beside = file.beside(name)
    last = words(leaf)[-1:]
    if any(says(part, OPTIMIZER) for part in parts):
        return Verdict(NotALayer.OPTIMIZER)
    if any(says(part, ADAPTERS) for part in parts):
        return Verdict(NotALayer.ADAPTER)
    if last in (("bias",), ("biases",)):
        return Verdict(NotALayer.BIAS)
    if says(leaf, ("score", "scores")) and any(says(part, ("mask", "pruning")) for part in parts):
        return Verdict(NotALayer.MASK_SCORES)
    if says(leaf, ("mask", "masks")) and not (_is_called(leaf, file) or says(leaf, TOKENS)):
        return Verdict(NotALayer.MASK)
    if ".parametrizations." in f".{name}" or leaf in ("weight_g", "weight_v", "weight_u", "weight_orig"):
        return Verdict(NotALayer.COMPUTED)
    if says(leaf, SCALES) and not _is_called(leaf, file):
        return Verdict(NotALayer.SCALE)
    if (
        says(leaf, RECURRENT)
        or says(subject(split(name)[0]), RECURRENT)
        or any(says(other, RECURRENT) for other in beside)
    ):
        return Verdict(NotALayer.RECURRENT)
    if (leaf.lower() != "weight" and _is_cell(name, tensor, file)) or _is_gate(name, tensor):
        return Verdict(NotALayer.RECURRENT)
    if _is_half_of_cell(name, tensor, file):
        return Verdict(NotALayer.RECURRENT)
    if partner := file.partners.get(name):
        return Verdict(NotALayer.FACTOR, (min(tensor.shape[:2]), partner))
    if says(leaf, MEASURED):
        return Verdict(NotALayer.MEASURED)
    if says(leaf, STATISTICS) and not _is_called(leaf, file):
        return Verdict(NotALayer.STATISTIC)
    if says(leaf, AVERAGES):
        twin = next((other for other, t in beside.items() if t.shape == tensor.shape), "another tensor")
        return Verdict(NotALayer.AVERAGE, (twin,))
    if (whole := file.whole(name)) is not None and whole.shape == tensor.shape:
        return Verdict(NotALayer.BESIDE, (split(split(name)[0])[1],))
    usual = beside.get(file.convention)
    if usual is not None and usual.shape == tensor.shape and leaf != file.convention:
        return Verdict(NotALayer.BESIDE, (file.convention,))
    return _by_subject(name, tensor, file)


def _by_subject(name: str, tensor: Tensor, file: Companions) -> Verdict | None:
    """Judge by what the tensor, or else the module that owns it, is called."""
    owner, leaf = split(name)
    called = _is_called(leaf, file)
    part = subject(owner) if called else leaf
    fits = any(_fits(vector, tensor) for vector in file.biases(name))
    maps = called and says(part, MAPS)
    filters = says(part, FILTERS) or says(subject(owner), FILTERS)
    if filters and not (fits or maps) and (not called or tensor.ndim < 4 or tensor.shape[1] == 1):
        return Verdict(NotALayer.FILTER)
    along = sum(length > 1 for length in tensor.shape)
    if tensor.ndim == 3 and called and along < 2 and not file.biases(name):
        return Verdict(NotALayer.GAIN)
    if tensor.ndim == 3 and not called and any(says(each, EXPERTS) for each in name.split(".")):
        return Verdict(NotALayer.EXPERTS, (_shape(tensor),))
    if fits or maps or (called and tensor.ndim > 2):
        return None
    if says(part, POSITIONS):
        return Verdict(NotALayer.POSITION)
    if says(part, EMBEDDINGS):
        return Verdict(NotALayer.EMBEDDING)
    if says(part, ("token", "tokens") if called else TOKENS):
        return Verdict(NotALayer.TOKEN)
    if called:
        many = len(tensor) >= MANY_ROWS and len(tensor) >= TALL * tensor.shape[1]
        return Verdict(NotALayer.MAYBE_EMBEDDING) if many and file.biased and tensor.ndim == 2 else None
    if says(part, GAINS) or along < 2:
        return Verdict(NotALayer.GAIN)
    if says(part, CONSTANTS):
        return Verdict(NotALayer.CONSTANT)
    return Verdict(NotALayer.OWN_NAME, (file.convention,)) if file.convention else None


def _by_shape(name: str, tensor: Tensor, file: Companions) -> Verdict | None:
    vectors = file.biases(name)
    if any(vector.shape == tensor.shape for vector in vectors):
        return Verdict(NotALayer.ELEMENTWISE)
    if tensor.ndim == 3:
        if any(_fits(vector, tensor) for vector in vectors) or _is_called(split(name)[1], file):
            return Verdict(NotALayer.LINE)
        return Verdict(NotALayer.MAYBE_LINE, (_shape(tensor),))
    if tensor.ndim == 5:
        return Verdict(NotALayer.SOLID)
    return Verdict(NotALayer.MANY_AXES, (tensor.ndim,)) if tensor.ndim > 4 else None


def _shape(tensor: Tensor) -> str:
    return ", ".join(map(str, tensor.shape))


def _is_called(leaf: str, file: Companions) -> bool:
    """Whether a tensor is called as this file calls weights (``weight``, ``in_proj_weight``, ``kernel``)."""
    said = words(leaf)
    calls = {file.convention} if file.convention else set(CONVENTIONS)
    return bool(said) and (said[-1] in calls or (len(said) > 1 and said[-1].isdigit() and said[-2] in calls))


def _fits(vector: Tensor, tensor: Tensor) -> bool:
    """Whether a vector can be the bias of a weight, transposed and grouped ones included."""
    if vector.ndim != 1:
        return False
    transposed = tensor.ndim > 2 and len(vector) % max(1, tensor.shape[1]) == 0
    return len(vector) == len(tensor) or transposed


def _is_gate(name: str, tensor: Tensor) -> bool:
    """Whether a linear map is one of a cell: named as Flax names it, or of input and state together as Haiku's."""
    *above, last = split(name)[0].split(".")
    if not above or not says(above[-1], CELLS) or tensor.ndim != 2:
        return False
    state, rest = divmod(len(tensor), 4)
    return last in GATES or (last == "linear" and not rest and tensor.shape[1] > state)


def _is_half_of_cell(name: str, tensor: Tensor, file: Companions) -> bool:
    """Whether a matrix stands beside those that its name makes it a cell with: of the state, or of other gates."""
    if tensor.ndim != 2:
        return False
    for one, other in state(name):
        of_input, of_state = file.at(one), file.at(other)
        if of_input is None or of_state is None or of_state.ndim != 2 or of_input.ndim != 2:
            continue
        for axis in (0, 1):  # stored [state, input], or turned
            made, kept = of_state.shape[axis], of_state.shape[1 - axis]
            if of_input.shape[axis] == made and made in (kept, 3 * kept, 4 * kept):
                return True
    for each in gates(name):
        found = [file.at(other) for other in each]
        if len(tensor) < tensor.shape[1] and all(o is not None and o.shape == tensor.shape for o in found):
            return True
    return False


def _is_cell(name: str, tensor: Tensor, file: Companions) -> bool:
    """Whether a weight stands beside another of as many rows, three or four for each state, as in a cell."""
    owner, leaf = split(name)
    others = [t for t in file.beside(name).values() if t.ndim == 2 and tensor.ndim == 2]
    named = says(subject(owner), CELLS) and words(leaf)[:1] in (("w",), ("u",), ("r",), ("kernel",))
    pairs = [(tensor, other) for other in others if len(other) == len(tensor)]
    return named or any(
        len(one) in (3 * state, 4 * state) for pair in pairs for one in pair for state in (one.shape[1],)
    )
