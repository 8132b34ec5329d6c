"""Are the layers that are read those of the module, whichever way it is read?

Run by hand, in an environment that has `transformers`, timm and torchvision as well:

    python benchmarks/study_reading.py --out docs/results/reading

Untrained networks of published architectures (`benchmarks/strangers.py`), small where their configuration allows
it, and own definitions of others. Each is read as the module that it is, and without its architecture from a PyTorch
state dict, from safetensors and from the arrays of NumPy; what runs on one tensor (`benchmarks/exporting.py`) also
from the ONNX graphs of both of PyTorch's exporters, where layers that a pass runs through are expected. What is read
is compared with the two-dimensional convolutions and linear layers that the module itself has (tied weights once):
counted are layers that are found with the right weight, layers that are listed as left out, layers that are neither,
and tensors that are read and are none. Conv1D of GPT-2, which stores [c_in, c_out], is counted as a linear layer in
either order;
queries, keys and values that were cut out of one product are counted as that product. Fixed seeds; nothing is
downloaded.
"""

import argparse
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from exporting import export, reached, runnable
from safetensors.torch import save_file
from strangers import published
from torch import Tensor, nn

from covalign.errors import InputError
from covalign.networks.network import Network
from covalign.networks.readers.opening import read_network

EXPORTERS = {".onnx, traced": False, ".onnx, followed": True}
"""Both ways in which PyTorch writes ONNX graphs, and whether it is the newer one."""
CLOSE = 1e-5
"""Difference up to which numbers are those of the module: weights in parts are put together again."""


class Residual(nn.Module):
    """A residual block, with the names of He et al.'s published code."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(c_in, c_out, 3, bias=False), nn.BatchNorm2d(c_out)
        self.conv2, self.bn2 = nn.Conv2d(c_out, c_out, 3, bias=False), nn.BatchNorm2d(c_out)
        self.downsample = nn.Sequential(nn.Conv2d(c_in, c_out, 1, bias=False), nn.BatchNorm2d(c_out))


class Attention(nn.Module):
    """Window attention with its table of relative positions and their index."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.relative_position_bias_table = nn.Parameter(torch.randn(49, 2))
        self.register_buffer("relative_position_index", torch.zeros(16, 16, dtype=torch.long))
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.logit_scale = nn.Parameter(torch.ones(2, 1, 1))


class Blurred(nn.Module):
    """A convolution with a fixed blur after it."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, 3)
        self.register_buffer("filt", torch.ones(c_out, 1, 3, 3) / 9)
        self.register_buffer("resample_filter", torch.ones(4, 4) / 16)


class Squeeze(nn.Module):
    """Squeeze and excitation by 1x1 convolutions, after a depthwise one."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_dw, self.bn1 = nn.Conv2d(width, width, 3, groups=width, bias=False), nn.BatchNorm2d(width)
        self.se = nn.ModuleDict({"fc1": nn.Conv2d(width, 4, 1), "fc2": nn.Conv2d(4, width, 1)})
        self.conv_pw = nn.Conv2d(width, width, 1, bias=False)


def sequence(*parts: nn.Module) -> nn.Module:
    return nn.Sequential(*parts)


class Named(nn.ModuleDict):
    """Parts by name, one after another where they fit."""

    def forward(self, x: Tensor) -> Tensor:
        """Return what the last part gives."""
        for part in self.values():
            x = part(x)
        return x


def named(**parts: nn.Module) -> nn.Module:
    return Named(parts)


def own() -> Iterator[tuple[str, Callable[[], nn.Module]]]:
    """Return own definitions of architectures of many kinds."""
    c, t, n = nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d
    yield (
        "LeNet",
        lambda: sequence(
            c(1, 6, 5), nn.ReLU(), c(6, 16, 5), nn.Flatten(), nn.Linear(400, 120), nn.Linear(120, 10)
        ),
    )
    yield (
        "AlexNet",
        lambda: named(
            features=sequence(c(3, 16, 11), nn.ReLU(), c(16, 32, 5), c(32, 32, 3)),
            classifier=sequence(nn.Dropout(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10)),
        ),
    )
    yield (
        "VGG with batch norm",
        lambda: sequence(c(3, 8, 3), n(8), nn.ReLU(), c(8, 16, 3), n(16), nn.ReLU(), nn.Linear(16, 10)),
    )
    yield "ResNet", lambda: named(
        conv1=c(3, 8, 7, bias=False), bn1=n(8), layer1=sequence(Residual(8, 8), Residual(8, 8)),
        layer2=sequence(Residual(8, 16)), fc=nn.Linear(16, 10),
    )  # fmt: skip
    yield (
        "WideResNet",
        lambda: named(conv1=c(3, 16, 3, bias=False), block1=sequence(Residual(16, 32)), fc=nn.Linear(32, 10)),
    )
    yield (
        "MobileNet",
        lambda: sequence(c(3, 8, 3, bias=False), n(8), Squeeze(8), c(8, 16, 1, bias=False), n(16)),
    )
    yield (
        "EfficientNet",
        lambda: named(
            conv_stem=c(3, 8, 3, bias=False),
            blocks=sequence(Squeeze(8), Squeeze(8)),
            classifier=nn.Linear(8, 10),
        ),
    )
    yield "U-Net", lambda: named(
        down1=sequence(c(3, 8, 3), c(8, 8, 3)), down2=sequence(c(8, 16, 3), c(16, 16, 3)), up=t(16, 8, 2),
        conv_up=sequence(c(16, 8, 3), c(8, 8, 3)), out=c(8, 2, 1),
    )  # fmt: skip
    yield (
        "DCGAN generator",
        lambda: named(
            main=sequence(
                t(16, 32, 4, bias=False),
                n(32),
                nn.ReLU(),
                t(32, 8, 4, bias=False),
                n(8),
                nn.ReLU(),
                t(8, 3, 4, bias=False),
            )
        ),
    )
    yield (
        "DCGAN discriminator",
        lambda: named(
            main=sequence(
                c(3, 8, 4, bias=False),
                nn.LeakyReLU(),
                c(8, 16, 4, bias=False),
                n(16),
                nn.LeakyReLU(),
                c(16, 1, 4, bias=False),
            )
        ),
    )
    yield (
        "PatchGAN, spectral norm",
        lambda: sequence(
            nn.utils.parametrizations.spectral_norm(c(3, 8, 4)),
            nn.utils.parametrizations.spectral_norm(c(8, 1, 4)),
        ),
    )
    yield (
        "super-resolution, weight norm",
        lambda: sequence(
            nn.utils.parametrizations.weight_norm(c(3, 8, 3)),
            nn.utils.parametrizations.weight_norm(c(8, 12, 3)),
        ),
    )
    yield "Swin block", lambda: named(
        patch_embed=named(proj=c(3, 16, 4)),
        blocks=sequence(named(attn=Attention(16), mlp=sequence(nn.Linear(16, 32), nn.Linear(32, 16)))),
        norm=nn.LayerNorm(16), head=nn.Linear(16, 10),
    )  # fmt: skip
    yield "anti-aliased network", lambda: sequence(Blurred(3, 8), Blurred(8, 16))
    yield (
        "autoencoder",
        lambda: named(encoder=sequence(c(3, 8, 3), c(8, 4, 3)), decoder=sequence(t(4, 8, 3), t(8, 3, 3))),
    )
    yield (
        "VQ-VAE",
        lambda: named(
            encoder=sequence(c(3, 8, 4)), codebook=nn.Embedding(64, 8), decoder=sequence(t(8, 3, 4))
        ),
    )
    yield (
        "captioner",
        lambda: named(
            encoder=sequence(c(3, 8, 3)), embed=nn.Embedding(50, 8), lstm=nn.LSTM(8, 16), fc=nn.Linear(16, 50)
        ),
    )
    yield (
        "speech network",
        lambda: named(front=c(1, 8, 3), line=nn.Conv1d(8, 8, 3), gru=nn.GRU(8, 16), out=nn.Linear(16, 5)),
    )
    yield "video network", lambda: named(stem=nn.Conv3d(3, 8, 3), head=nn.Linear(8, 10), frame=c(3, 8, 3))
    yield (
        "transformer of PyTorch",
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32), 2, enable_nested_tensor=False),
    )
    yield "DETR", lambda: named(
        backbone=c(3, 16, 3), input_proj=c(16, 16, 1), query_embed=nn.Embedding(10, 16), class_embed=nn.Linear(16, 5),
        row_embed=nn.Embedding(50, 8), transformer=nn.TransformerDecoderLayer(16, 2, 32),
    )  # fmt: skip
    yield (
        "detector",
        lambda: named(
            stem=c(3, 8, 3, bias=False), bn=n(8), cls_head=c(8, 20, 1), box_head=c(8, 4, 1), obj=c(8, 1, 1)
        ),
    )
    yield (
        "DenseNet",
        lambda: named(
            conv0=c(3, 8, 3, bias=False),
            norm0=n(8),
            layer1=c(8, 4, 3, bias=False),
            layer2=c(12, 4, 3, bias=False),
        ),
    )
    yield "Inception", lambda: named(a=c(8, 4, 1), b=sequence(c(8, 4, 1), c(4, 6, 3)), first=c(3, 8, 3))


def expected(module: nn.Module) -> dict[str, Tensor]:
    """Return the weights of the layers that a module has, by name, each once, neurons first."""
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, part in module.named_modules():
        kind = type(part).__name__
        if isinstance(part, nn.MultiheadAttention) and part.in_proj_weight is not None:
            found[f"{name}.in_proj"] = part.in_proj_weight.detach()
        weight = getattr(part, "weight", None)
        layer = isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear) or kind == "Conv1D"
        if not layer or weight is None or (isinstance(weight, nn.Parameter) and id(weight) in seen):
            continue
        seen.add(id(weight))
        values = weight.detach()
        if isinstance(part, nn.ConvTranspose2d):
            blocks = values.reshape(part.groups, -1, *values.shape[1:]).transpose(1, 2)
            values = blocks.reshape(part.out_channels, -1, *values.shape[2:])
        found[name] = values
    return found


def compared(wanted: Mapping[str, Tensor], network: Network, named: bool) -> dict[str, object]:
    """Return what of a module's layers a network has, by names where the file keeps them, and else by numbers."""
    got: dict[str, Tensor] = {}
    for layer in network.layers:
        key = layer.part_of or layer.name
        got[key] = torch.cat([got[key], layer.weight]) if key in got else layer.weight
    left = {entry.name.removesuffix(".weight") for entry in network.skipped}
    inside = network.details.get("inside", "")
    right: set[str] = set()
    listed, missed = [], []
    for name, weight in wanted.items():
        endings = (name, name.removeprefix(f"{inside}."))
        candidates = (
            [key for key in got if key in endings or name.endswith(f".{key}")] if named else list(got)
        )
        match = next((key for key in candidates if key not in right and is_same(got[key], weight)), None)
        if match is not None:
            right.add(match)
        elif any(name == each or name.startswith(f"{each}.") or name.endswith(f".{each}") for each in left):
            listed.append(name)
        else:
            missed.append(name)
    surplus = [key for key in got if key not in right]
    remarks = [f"listed {name}" for name in listed[:3]] + [f"missed {name}" for name in missed[:3]]
    return {
        "layers": len(wanted),
        "found": len(right),
        "listed": len(listed),
        "missed": len(missed),
        "surplus": len(surplus),
        "left_out": len(network.skipped),
        "remark": "; ".join(remarks + [f"surplus {name}" for name in surplus[:3]]),
    }


def is_same(read: Tensor, weight: Tensor) -> bool:
    """Whether numbers are those of a weight, in either order of its axes where it has two."""
    if read.numel() != weight.numel():
        return False
    orders = (weight, weight.T) if weight.ndim == 2 else (weight,)
    return any(torch.allclose(read.reshape(-1), each.reshape(-1), atol=CLOSE) for each in orders)


def files(module: nn.Module, folder: Path) -> Iterator[tuple[str, Path]]:
    """Write a module's weights in every format and return kind and path of each."""
    state = {name: tensor.detach().clone().contiguous() for name, tensor in module.state_dict().items()}
    torch.save(module.state_dict(), folder / "net.pt")
    yield ".pt", folder / "net.pt"
    save_file(state, folder / "net.safetensors")
    yield ".safetensors", folder / "net.safetensors"
    np.savez(folder / "net.npz", **{name: tensor.numpy() for name, tensor in state.items()})
    yield ".npz", folder / "net.npz"


def graphs(name: str, module: nn.Module, folder: Path) -> Iterator[tuple[str, Path, set[str]]]:
    """Export a module in every way there is, and return kind and path of each with the modules that run."""
    found = runnable(module)
    if found is None:
        print(f"{name}: runs on none of the examples", flush=True)
        return
    run = reached(*found)
    for kind, dynamo in EXPORTERS.items():
        path = folder / f"net{dynamo:d}.onnx"
        try:
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
                export(*found, path, dynamo)
        except Exception as error:  # an exporter may raise anything
            print(f"{name}: no {kind} ({type(error).__name__}: {str(error)[:100]!r})", flush=True)
            continue
        yield kind, path, run


def rows(name: str, module: nn.Module, exported: bool) -> Iterator[dict[str, object]]:
    """Read a module in every way, and return a row for each."""
    wanted = expected(module)
    with tempfile.TemporaryDirectory() as folder:
        sources: list[tuple[str, Path | nn.Module, dict[str, Tensor]]] = [("module", module, wanted)]
        sources += [(kind, path, wanted) for kind, path in files(module, Path(folder))]
        for kind, path, run in graphs(name, module, Path(folder)) if exported else ():
            sources.append((kind, path, {each: w for each, w in wanted.items() if each in run}))
        for kind, source, part in sources:
            row: dict[str, object] = {"architecture": name, "read_from": kind}
            try:
                yield row | compared(part, read_network(source), named=".onnx" not in kind)
            except InputError as error:
                counts = {"layers": len(part), "missed": len(part)}
                nothing = dict.fromkeys(("found", "listed", "surplus", "left_out"), 0)
                yield row | nothing | counts | {"remark": f"refused: {str(error)[-160:]}"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", default="", help="parts of the names of those that are read, with commas")
    parser.add_argument("--no-graphs", action="store_true", help="leave ONNX out")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    found: list[dict[str, object]] = []
    torch.backends.mha.set_fastpath_enabled(False)  # fused operators that no exporter knows
    wanted = [each for each in given.only.split(",") if each]
    for name, build in (*own(), *published()):
        if wanted and not any(each in name for each in wanted):
            continue
        torch.manual_seed(0)
        try:
            module = build().eval()
        except Exception as error:  # a configuration that does not fit these sizes
            print(f"{name}: not built ({type(error).__name__}: {str(error)[:100]})", flush=True)
            continue
        for parameter in module.parameters():  # zeros and ones of initializers would hide confusions
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
        for row in rows(name, module, exported=not given.no_graphs):
            found.append(row)
            if row["missed"] or row["surplus"] or row["listed"]:
                print(row, flush=True)
        print(f"{name}: {found[-1]['layers']} layers", flush=True)
        table = pd.DataFrame(found)
        given.out.mkdir(parents=True, exist_ok=True)
        table.to_csv(given.out / "reading.csv", index=False)
    counts = ["layers", "found", "listed", "missed", "surplus"]
    print(table.groupby("read_from")[counts].sum().to_string())
    print(table["architecture"].nunique(), "architectures")


if __name__ == "__main__":
    main()
