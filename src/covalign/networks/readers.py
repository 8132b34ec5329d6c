"""How does a name, a file or a module become a `Network`?"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from covalign.data.normalization import Normalization
from covalign.data.normalization import normalization as named_normalization
from covalign.errors import InputError
from covalign.networks.activations import ModuleSource
from covalign.networks.modules import read_module, unwrap
from covalign.networks.network import Network


def load_network(
    source: str | Path | nn.Module | Network,
    architecture: str | nn.Module | None = None,
    *,
    name: str | None = None,
    normalization: str | Normalization | None = None,
) -> Network:
    """Read a network.

    Args:
        source: an `nn.Module` (or a `Network`, returned with the options applied).
        architecture: for weight files, what builds the module that the weights belong to.
        name: short name for tables; the default is taken from the source.
        normalization: how this network's pixels are normalized; the default is what the source itself says.
    """
    if isinstance(normalization, str):
        normalization = named_normalization(normalization)
    if isinstance(source, Network):
        network = source
    elif isinstance(source, nn.Module):
        network = module_network(source, name or type(source).__name__)
    else:
        raise InputError(f"network: got {source!r}, expected a module")
    return replace(network, name=name or network.name, normalization=normalization or network.normalization)


def module_network(
    module: nn.Module,
    name: str,
    *,
    normalization: Normalization | None = None,
    resolution: int | None = None,
    details: dict[str, Any] | None = None,
) -> Network:
    """Return a module as a network: its layers, and its layer inputs through forward hooks."""
    module = unwrap(module)
    reading = read_module(module, resolution)
    return Network(
        name,
        reading.layers,
        reading.skipped,
        ModuleSource(module, name),
        normalization,
        resolution,
        {"architecture": type(module).__name__, **reading.details, **(details or {})},
    )
