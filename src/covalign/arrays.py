"""What counts as a usable array: the one gate through which numbers enter the analysis.

Analysis is float64 on the device where the data is. Torch tensors of any real dtype, NumPy arrays
and nested sequences are accepted; empty or non-finite input is refused by name.
"""

import math
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from covalign.errors import InputError

ArrayLike: TypeAlias = Tensor | np.ndarray | list[Any] | tuple[Any, ...]


def as_float64(value: ArrayLike, name: str, dims: str | None = None) -> Tensor:
    """Return ``value`` as a float64 tensor, or say by ``name`` why it cannot be used.

    Args:
        value: a real array.
        name: how the array is called in error messages.
        dims: expected axes, separated by spaces (``"c_out d"``); None accepts any number of axes.

    Raises:
        InputError: complex, empty, non-finite, not an array, or a wrong number of axes.
    """
    try:
        tensor = value.detach() if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{name}: got {type(value).__name__}, expected a tensor or an array ({error})"
        ) from error
    if tensor.is_complex():
        raise InputError(f"{name}: got complex values, expected real ones; pass the real part")
    shape = tuple(tensor.shape)
    if dims is not None and tensor.ndim != len(dims.split()):
        raise InputError(f"{name}: got shape {shape}, expected [{', '.join(dims.split())}]")
    if tensor.numel() == 0:
        raise InputError(f"{name}: got an empty array of shape {shape}, expected at least one number")
    tensor = tensor.to(torch.float64)
    if not math.isfinite(float(tensor.sum())) and (
        bad := int((~torch.isfinite(tensor)).sum())
    ):  # a sum may overflow
        raise InputError(
            f"{name}: {bad} of {tensor.numel()} values are not finite (NaN or infinite); "
            "was the training divergent or the file damaged?"
        )
    return tensor
