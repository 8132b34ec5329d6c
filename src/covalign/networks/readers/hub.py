"""Which module does a name build?

``timm:NAME`` and ``torchvision:NAME`` are published networks, with the normalization and image size they
were trained with; these libraries are imported only when such a name is used. ``package.module:factory``
and ``file.py:factory`` are anything else: a function, or a class, that takes no arguments and returns an
`nn.Module`. Naming a factory runs its code; nothing else in this package runs code that came with a
network.
"""

import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from covalign.data.normalization import NORMALIZATIONS, Normalization
from covalign.errors import InputError, nearest, optional
from covalign.networks.readers.torch_file import one_line


@dataclass(frozen=True, eq=False)
class Built:
    """A module and what its maker says of its images.

    Attributes:
        module: the network.
        normalization: of its input pixels, where the maker states it.
        resolution: side of its images, where the maker states it.
    """

    module: nn.Module
    normalization: Normalization | None = None
    resolution: int | None = None


def is_factory(name: str) -> bool:
    """Whether ``name`` has the form of ``timm:NAME``, ``torchvision:NAME`` or ``module.path:factory``."""
    return bool(re.fullmatch(r"(timm|torchvision):\S+|[\w.]+:[\w.]+|.*\.py:[\w.]+", name))


def build(name: str, pretrained: bool = True) -> Built:
    """Build the module that ``name`` stands for.

    Args:
        name: ``timm:NAME``, ``torchvision:NAME``, ``package.module:factory`` or ``file.py:factory``.
        pretrained: whether published networks come with their weights.

    Raises:
        InputError: a missing library, an unknown name, a factory that fails or returns no module.
    """
    place, _, attribute = name.rpartition(":")
    if name.startswith("timm:"):
        return _timm(name.removeprefix("timm:"), pretrained)
    if place == "torchvision":
        return _torchvision(attribute, pretrained)
    factory = attribute_of(name)
    if isinstance(factory, nn.Module):
        return Built(factory)
    try:
        made = factory()
    except Exception as error:  # a stranger's factory may raise anything
        raise InputError(
            f"{name}: failed with {type(error).__name__}: {one_line(error)}; expected a factory that works "
            "without arguments"
        ) from error
    if not isinstance(made, nn.Module):
        raise InputError(f"{name}: gave a {type(made).__name__}, expected a torch.nn.Module")
    return Built(made)


def attribute_of(name: str) -> Any:
    """Import what ``package.module:attribute`` or ``file.py:attribute`` names.

    Raises:
        InputError: no such module or attribute, or an import that fails.
    """
    place, _, attribute = name.rpartition(":")
    known: list[str] = []
    try:
        found: Any = _from_file(Path(place)) if place.endswith(".py") else _from_package(place)
        for part in attribute.split("."):
            known = [each for each in dir(found) if not each.startswith("_")]
            found = getattr(found, part)
    except Exception as error:  # importing runs the module, which may raise anything
        raise InputError(
            f"{name}: cannot be imported ({type(error).__name__}: {one_line(error)}); expected "
            "module.path:factory, importable from here, or path/to/file.py:factory"
            f"{nearest(part, known) if known else ''}"
        ) from error
    return found


def _from_package(place: str) -> ModuleType:
    with _importable(Path.cwd()):
        return importlib.import_module(place)


def _from_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with _importable(path.parent):
        spec.loader.exec_module(module)
    return module


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Let modules beside the user be imported, as ``python -m`` does and a console script does not."""
    sys.path.insert(0, str(folder.resolve()))
    try:
        yield
    finally:
        sys.path.remove(str(folder.resolve()))


def _timm(name: str, pretrained: bool) -> Built:
    timm = optional("timm", "hub")
    try:
        module = timm.create_model(name, pretrained=pretrained)
    except Exception as error:  # unknown name, no network, damaged download
        raise InputError(
            f"timm:{name}: {type(error).__name__}: {one_line(error)}; see timm.list_models() for names, "
            "and check the connection for weights"
        ) from error
    config = getattr(module, "pretrained_cfg", {})
    side = config.get("input_size", (3, None, None))[-1]
    return Built(module, _normalization(f"timm:{name}", config.get("mean"), config.get("std")), side)


def _torchvision(name: str, pretrained: bool) -> Built:
    models = optional("torchvision.models", "hub")
    try:
        weights = models.get_model_weights(name).DEFAULT
        options = {"weights": weights if pretrained else None}
        if "weights_backbone" in inspect.signature(models.get_model_builder(name)).parameters:
            options["weights_backbone"] = None  # else fetched even for untrained networks
        module = models.get_model(name, **options)
        images = weights.transforms()
    except Exception as error:  # unknown name, no network, damaged download
        raise InputError(
            f"torchvision:{name}: {type(error).__name__}: {one_line(error)}; see "
            "torchvision.models.list_models() for names, and check the connection for weights"
        ) from error
    crop = getattr(images, "crop_size", None) or [None]
    mean, std = getattr(images, "mean", None), getattr(images, "std", None)
    return Built(module, _normalization(f"torchvision:{name}", mean, std), crop[0])


def _normalization(name: str, mean: Any, std: Any) -> Normalization | None:
    """Return the constants a source states, under the usual name where they are the usual ones."""
    if mean is None or std is None:
        return None
    stated = Normalization(name, tuple(map(float, mean)), tuple(map(float, std)))
    usual = (n for n in NORMALIZATIONS.values() if (n.mean, n.std) == (stated.mean, stated.std))
    return next(usual, stated)
