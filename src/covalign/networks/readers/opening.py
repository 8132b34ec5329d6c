"""How does a name, a file or a module become a `Network`?

What has a forward pass (modules, factories, published networks, runs, ONNX files, and weight files given
with an architecture) comes with its layer inputs; a weight file alone gives weights only.
"""

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from covalign.data.normalization import Normalization
from covalign.data.normalization import normalization as named_normalization
from covalign.errors import InputError
from covalign.networks.activations import ModuleSource
from covalign.networks.network import Network
from covalign.networks.readers.adapter import Adapter, adapter_of
from covalign.networks.readers.array_file import read_hdf5, read_keras, read_npz
from covalign.networks.readers.bare import read_bare, strip_common_prefix
from covalign.networks.readers.copies import chosen_part
from covalign.networks.readers.formats import refuse_foreign
from covalign.networks.readers.hub import Built, build, is_factory
from covalign.networks.readers.judging import is_real
from covalign.networks.readers.module import read_module, require_finite, unwrap
from covalign.networks.readers.onnx import read_onnx
from covalign.networks.readers.shards import is_sharded, read_shards, stem
from covalign.networks.readers.torch_file import TORCH_SUFFIXES, WeightFile, read_weight_file
from covalign.storage.folder import MANIFEST

WEIGHT_FILES: dict[str, Callable[[Path], WeightFile]] = {
    ".safetensors": read_weight_file,
    **dict.fromkeys(TORCH_SUFFIXES, read_weight_file),
    ".npz": read_npz,
    **dict.fromkeys((".h5", ".hdf5"), read_hdf5),
    ".keras": read_keras,
}
"""What reads a weight file, by its ending."""

LAYOUTS = ("first", "last")
"""Where a network's images have their channels."""


class Viewing(NamedTuple):
    """The images on which a network is looked at, where that was stated."""

    resolution: int | None = None
    channels_last: bool | None = None


def read_network(
    source: Any,
    architecture: str | nn.Module | None = None,
    *,
    name: str | None = None,
    normalization: str | Normalization | None = None,
    resolution: int | None = None,
    layout: str | None = None,
    inside: str | None = None,
    insist: Collection[str] = (),
) -> Network:
    """Read a network from a module, a file or a name; `covalign.load_network` knows stored runs as well.

    Args:
        source: what `covalign.load_network` takes, but for runs.
        architecture: of weight files; see there.
        name: in tables and captions.
        normalization: of the input pixels.
        resolution: side of the images on which a module is looked at, where the source does not say.
        layout: of the images it takes, `LAYOUTS`; None finds out.
        inside: of weight files, the prefix of the weights that are meant; see there.
        insist: of weight files, names that are layers; see there.

    Raises:
        InputError: what cannot be found, read or trusted; always one line that says what to do.
    """
    if layout not in (None, *LAYOUTS):
        raise InputError(
            f"layout: got {layout!r}, expected first (images [n, c, h, w]) or last ([n, h, w, c])"
        )
    channels_last = None if layout is None else layout == "last"
    viewing = Viewing(resolution, channels_last)
    network = _read(source, architecture, name, viewing, inside, insist)
    if isinstance(normalization, str):
        normalization = named_normalization(normalization)
    return replace(network, name=name or network.name, normalization=normalization or network.normalization)


def _read(
    source: Any,
    architecture: str | nn.Module | None,
    name: str | None,
    viewing: Viewing,
    inside: str | None,
    insist: Collection[str],
) -> Network:
    path = Path(str(source)) if isinstance(source, str | Path) else None
    if architecture is not None and not (path and _holds_weights(path)):
        raise InputError(
            f"architecture: given for {_called(source)}, expected a weight file (.safetensors, .pt, .pth); "
            "leave it out, since everything else brings its own"
        )
    if inside is not None and not (path and _holds_weights(path)):
        raise InputError(
            f"inside: given for {_called(source)}, expected a weight file (.safetensors, .pt, .pth); leave it out, "
            "since everything else is one network"
        )
    if isinstance(source, Network):
        return source
    if isinstance(source, nn.Module):
        return _of_module(Built(source), name or type(unwrap(source)).__name__, {}, viewing)
    if path is None:
        raise InputError(
            f"network: got {_called(source)}, expected a torch.nn.Module, a file, a run or a name such as "
            "timm:resnet18 or module.path:factory"
        )
    text = str(source)
    if not path.exists() and is_factory(text):
        return _of_module(build(text), name or text.rpartition(":")[2], {"source": text}, viewing)
    if not path.exists():
        raise InputError(
            f"{text}: no such file; expected a weight file, an .onnx file, a run's folder, timm:NAME, "
            "torchvision:NAME or module.path:factory"
        )
    called = stem(path) if is_sharded(path) else path.stem
    return _of_file(path, architecture, name or called, viewing, inside, insist)


def _holds_weights(path: Path) -> bool:
    return path.suffix in WEIGHT_FILES or is_sharded(path)


def _weights(path: Path) -> WeightFile:
    """Read a weight file, or all that belongs to a network in pieces."""
    if path.is_file():
        refuse_foreign(path)
    if is_sharded(path):
        return read_shards(path, WEIGHT_FILES)
    return WEIGHT_FILES.get(path.suffix, read_weight_file)(path)


def _of_file(
    path: Path,
    architecture: str | nn.Module | None,
    name: str,
    viewing: Viewing,
    inside: str | None,
    insist: Collection[str],
) -> Network:
    if path.suffix == ".onnx":
        refuse_foreign(path)
        return read_onnx(path, name, viewing.channels_last)
    try:
        file, aside = chosen_part(_weights(path), inside)
        details = {"source": str(path), **file.details}
        if architecture is None:
            reading = read_bare(file, insist)
            skipped = (*aside, *reading.skipped)
            return Network(name, reading.layers, skipped, details={**details, **reading.details})
        built = Built(architecture) if isinstance(architecture, nn.Module) else build(architecture, False)
        fill(built.module, file)
        stated = architecture if isinstance(architecture, str) else type(built.module).__name__
        network = _of_module(built, name, {**details, "architecture": stated}, viewing)
        return replace(network, skipped=(*aside, *network.skipped))
    except InputError as error:
        named = str(error).startswith(str(path))
        raise error if named else InputError(f"{path}: {error}") from error


def _of_module(built: Built, name: str, details: dict[str, Any], viewing: Viewing) -> Network:
    module = unwrap(built.module)
    reading = read_module(module, viewing.resolution or built.resolution, viewing.channels_last)
    return Network(
        name,
        reading.layers,
        reading.skipped,
        ModuleSource(module, name, reading.intake),
        built.normalization,
        built.resolution,
        reading.filters,
        {"architecture": type(module).__name__, **reading.details, **details},
        reading.intake,
        reading.wiring,
    )


def fill(module: nn.Module, file: WeightFile) -> None:
    """Load the weights of a file into a module, all of them and nothing else.

    Prefixes that all names of the file share are dropped where that makes them fit.

    Raises:
        InputError: a parameter that is missing, unexpected, or of another shape, by name.
    """
    expected = module.state_dict()
    needed = {name for name in expected if not name.endswith("num_batches_tracked")}
    tensors = file.tensors
    while not needed <= set(tensors) and (prefix := strip_common_prefix(tensors)):
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    tensors = tensors if needed <= set(tensors) else file.tensors
    kind = type(module).__name__
    advice = "give the architecture these weights were trained with"
    if missing := sorted(needed - set(tensors)):
        raise InputError(f"{kind} has {missing[0]!r}, which the file lacks ({len(missing)} in all); {advice}")
    if extra := [name for name in tensors if name not in expected]:
        raise InputError(f"the file has {extra[0]!r}, which {kind} lacks ({len(extra)} in all); {advice}")
    for name, tensor in tensors.items():
        given, wanted = list(tensor.shape), list(expected[name].shape)
        if given != wanted:
            raise InputError(f"{name!r} is {given} in the file and {wanted} in {kind}; {advice}")
        if expected[name].is_floating_point() and not is_real(tensor):
            raise InputError(
                f"{name!r} is stored as {tensor.dtype} (quantized?), expected real numbers; use the weights "
                "from before quantization"
            )
        require_finite(name, tensor)
    module.load_state_dict(tensors)


def read_adapter(source: Any) -> Adapter | None:
    """Return the adapter that a file or a hub-style folder holds; None for everything else.

    Raises:
        InputError: a weight file that cannot be read.
    """
    path = Path(str(source)) if isinstance(source, str | Path) else None
    if path is None or not path.exists() or not _holds_weights(path) or (path / MANIFEST).is_file():
        return None
    return adapter_of(_weights(path), stem(path) if is_sharded(path) else path.stem)


def _called(source: Any) -> str:
    return repr(source) if isinstance(source, str | Path) else f"a {type(source).__name__}"
