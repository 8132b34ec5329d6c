"""How is a module filled as a whole, or left as it is?

A copy is filled, in float32 at least, and handed over in the module's own precision once nothing can fail any more.
"""

import copy

import torch
from torch import nn

from covalign.errors import InputError


def check_weights(module: nn.Module) -> None:
    """Refuse a module whose weights cannot be written.

    Raises:
        InputError: they are on the meta device, or were made under inference mode.
    """
    for name, held in module.state_dict(keep_vars=True).items():
        if held.is_meta:
            raise InputError(
                f"init_: {name!r} is on the meta device and holds nothing; give the module memory first: "
                'module.to_empty(device="cpu"), and initialize its readout'
            )
        if held.is_inference():
            raise InputError(
                f"init_: {name!r} was made under torch.inference_mode and cannot be written; make the module outside "
                "of it"
            )


def working_copy(module: nn.Module) -> nn.Module:
    """Return a copy to be filled, in float32 at least: a module is filled as a whole or left as it is."""
    copied = copy.deepcopy(module)
    small = any(each.dtype in (torch.float16, torch.bfloat16) for each in copied.parameters())
    return copied.float() if small else copied


def take_over(module: nn.Module, filled: nn.Module) -> None:
    """Write what was filled into the module itself, in its own precision."""
    there = filled.state_dict()
    with torch.no_grad():
        for name, own in module.state_dict().items():
            own.copy_(there[name])
