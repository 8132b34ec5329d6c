"""What does each layer of a network receive for given images?

A layer's input is what its weights multiply, as ``[n, channels, positions ...]``: feature maps for
convolutions, ``[n, features]`` for linear layers on vectors, and ``[n, features, ...]`` for linear layers
applied at many positions or tokens. A layer called several times in one pass gives all its inputs, along the
positions. Layers that are rows of one product receive the same; the output projection of attention receives the
values of all heads side by side (`covalign.networks.readers.attention`).
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from covalign.errors import InputError
from covalign.networks.intake import ANY, Intake, arranged
from covalign.networks.readers.attention import read_by, reader
from covalign.networks.readers.torch_file import one_line
from covalign.networks.readers.tracing import evaluation, first_tensor, is_linear


class ModuleSource:
    """Layer inputs of an `nn.Module`, by forward hooks.

    The module runs in evaluation mode without gradients, and is afterwards as it was: its hooks removed,
    every submodule in its own mode. A float16 or bfloat16 module is copied to float32 first.
    """

    def __init__(self, module: nn.Module, name: str, intake: Intake = ANY) -> None:
        dtypes = {p.dtype for p in module.parameters() if p.is_floating_point()}
        if dtypes & {torch.float16, torch.bfloat16}:
            module = copy.deepcopy(module).float()
        self.module = module
        self.name = name
        self.intake = intake

    def on(self, device: str) -> "ModuleSource":
        """Move the module to a device, where it then runs; layer inputs come back to the CPU."""
        return ModuleSource(self.module.to(device), self.name, self.intake)

    def inputs(
        self, batch: Float[Tensor, "n c h w"], names: Sequence[str]
    ) -> dict[str, Float[Tensor, "n channels ..."]]:
        """Return the inputs of the named layers for one batch of normalized images.

        Raises:
            InputError: a name that is no module, a batch the network cannot take, or a layer it did not call.
        """
        parts: dict[str, nn.Module] = dict(self.module.named_modules())
        readers = {name: reader(name, parts) for name in names}
        if unknown := [name for name, found in readers.items() if found is None]:
            raise InputError(
                f"network {self.name!r} has no layer {unknown[0]!r}; expected names of its layers"
            )
        tokens_first = any(isinstance(p, nn.MultiheadAttention) and not p.batch_first for p in parts.values())
        wanted: dict[nn.Module, dict[str, list[Tensor]]] = {}
        seen: dict[str, list[Tensor]] = {}
        for name, (part, what) in ((name, found) for name, found in readers.items() if found is not None):
            seen[name] = wanted.setdefault(part, {}).setdefault(
                what, []
            )  # rows of one product share one list
        asked: set[nn.Module] = set()

        def keep(part: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Any]) -> None:
            if part in asked:  # attention that is run once more, to see its heads
                return
            asked.add(part)
            for what, found in wanted[part].items():
                if what:
                    received = read_by(part, what, args, kwargs).movedim(-1, 1)
                else:
                    received = first_tensor(args, kwargs).detach()
                    received = channels_second(received, len(batch), is_linear(part), tokens_first)
                found.append(received.float().clone().cpu())
            asked.remove(part)

        handles = [part.register_forward_pre_hook(keep, with_kwargs=True) for part in wanted]
        try:
            with evaluation(self.module):
                self.module(arranged(batch, self.intake).to(next(self.module.parameters())))
        except Exception as error:  # a stranger's forward pass may raise anything
            shape = "x".join(map(str, batch.shape[1:]))
            raise InputError(
                f"network {self.name!r} cannot run on images of {shape} (channels x height x width), channels "
                f"{'last' if self.intake.channels_last else 'first'}: {one_line(error)}; give images of the size and "
                "channels it was made for, or state --resolution or --layout"
            ) from error
        finally:
            for handle in handles:
                handle.remove()
        if missing := [name for name in names if not seen[name]]:
            raise InputError(
                f"network {self.name!r} did not call its layer {missing[0]!r} in the forward pass; "
                "choose other layers"
            )
        return {name: along_positions(calls) for name, calls in seen.items()}


def channels_second(
    x: Tensor, images: int, linear: bool, tokens_first: bool = False
) -> Float[Tensor, "n channels ..."]:
    """Bring a layer's input to ``[n, channels, positions ...]``.

    A linear layer has its features on the last axis; where it was handed more rows than there are images
    (windows of an image, say), the rows of one image are taken to be consecutive. Networks with PyTorch's attention
    may have tokens before images: ``tokens_first`` says that they do where the second axis has as many as there are
    images.
    """
    if not linear:
        return x
    if tokens_first and x.ndim == 3 and x.shape[1] == images:
        x = x.transpose(0, 1)
    if len(x) != images and len(x) % images == 0:
        x = x.view(images, -1, *x.shape[1:])
    return x.movedim(-1, 1)


def along_positions(calls: Sequence[Tensor]) -> Float[Tensor, "n channels ..."]:
    """Join the inputs of several calls along the positions; a single call stays as it is."""
    if len(calls) == 1:
        return calls[0]
    return torch.cat([call.flatten(2) if call.ndim > 2 else call[..., None] for call in calls], 2)
