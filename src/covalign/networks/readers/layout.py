"""In which order does a file store the axes of its weights?

PyTorch stores ``[c_out, c_in, k_h, k_w]``; TensorFlow, Keras and Flax store ``[k_h, k_w, c_in, c_out]``, dense
layers ``[c_in, c_out]``, and depthwise kernels ``[k_h, k_w, c_in, multiplier]``. Weights vote: a bias is as
long as the axis of the neurons, and kernels are small beside channels. Views are permuted; nothing is copied
but depthwise kernels.
"""

from collections.abc import Mapping

from torch import Tensor

from covalign.networks.readers.judging import Companions, companions
from covalign.networks.readers.names import says, split

KERNEL = 11
"""Sides up to which an axis may be that of a kernel (our choice)."""


def channels_last(tensors: Mapping[str, Tensor]) -> bool:
    """Whether most weights show the neurons along their last axis."""
    beside = companions(tensors)
    votes = [
        vote
        for name, tensor in tensors.items()
        if 1 < tensor.ndim < 6 and (vote := _bias_vote(name, tensor, beside) or _kernel_vote(name, tensor))
    ]
    return sum(votes) > 0


def channels_first(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a file that stores channels last in PyTorch's order."""
    return {name: _permuted(name, tensor) for name, tensor in tensors.items()}


def _bias_vote(name: str, tensor: Tensor, beside: Companions) -> int:
    first, last = len(tensor), tensor.shape[-1]
    lengths = {len(vector) for vector in beside.biases(name) if vector.ndim == 1}
    if len(lengths) != 1 or first == last:
        return 0
    length = lengths.pop()
    return (length == last) - (length == first)


def _kernel_vote(name: str, tensor: Tensor) -> int:
    """Judge by which pair of axes is a kernel, and by the name where the shape does not say."""
    named = split(name)[1].endswith("kernel")
    if tensor.ndim != 4:
        return int(named)
    first, last = (
        max(pair) <= KERNEL and pair[0] == pair[1] for pair in (tensor.shape[:2], tensor.shape[2:])
    )
    return int(first) - int(last) or int(named)


def _permuted(name: str, tensor: Tensor) -> Tensor:
    owner, leaf = split(name)
    if tensor.ndim == 3 and (attention := _attention(owner, tensor)) is not None:
        return attention
    if tensor.ndim == 4 and says(leaf, ("depthwise_kernel", "depthwise_weights")):
        return tensor.permute(2, 3, 0, 1).reshape(-1, 1, *tensor.shape[:2])
    if says(leaf, ("embedding", "embeddings", "pos_embedding")):
        return tensor
    return tensor.permute(-1, -2, *range(tensor.ndim - 2)) if tensor.ndim > 1 else tensor


def _attention(owner: str, tensor: Tensor) -> Tensor | None:
    """Return projections of attention, which have an axis for the heads, with heads and their features as one."""
    module = owner.rpartition(".")[2]
    if says(module, ("query", "key", "value")):
        return tensor.flatten(1).T
    return tensor.flatten(0, 1).T if says(module, ("out", "attention_output")) else None
