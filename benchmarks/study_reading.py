"""Are the layers that are found in a bare file those of the module that it was saved from?

Run by hand, in an environment that has `transformers` as well:

    python benchmarks/study_reading.py --out docs/results/reading

Small untrained networks are built from configurations of published architectures, and from own definitions of others;
each is saved as safetensors and as a PyTorch state dict, read without its architecture, and compared with the
two-dimensional convolutions and linear layers that the module itself has (tied weights once). Counted are layers
that are found with the right weight, layers that are missed, and tensors that are read and are none. Conv1D of GPT-2,
which stores [c_in, c_out], is counted as a linear layer in either order; queries, keys and values that were cut out
of one product are counted as that product. Fixed seeds; nothing is downloaded.
"""

import argparse
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import save_file
from torch import nn

from covalign.errors import InputError
from covalign.networks.readers.opening import read_network

SMALL = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48, "num_layers": 2,
    "d_model": 32, "n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 120,
    "encoder_layers": 2, "decoder_layers": 2,
    "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48,
    "d_ff": 48, "d_kv": 16, "num_heads": 2, "num_key_value_heads": 2, "image_size": 32, "patch_size": 8,
    "max_position_embeddings": 64, "n_positions": 64, "embedding_size": 32, "pad_token_id": 0, "dim": 32,
    "hidden_dim": 48, "n_heads": 2, "n_layers": 2, "embed_dim": 32, "head_dim": 16,
}  # fmt: skip
"""What makes any configuration small, as far as it has such an entry."""

PUBLISHED = [
    "Albert",
    "Bart",
    "Beit",
    "Bert",
    "BioGpt",
    "BigBird",
    "Blenderbot",
    "Bloom",
    "Canine",
    "CLIPVision",
    "CLIPText",
    "ConvBert",
    "ConvNext",
    "ConvNextV2",
    "CTRL",
    "Cvt",
    "Data2VecVision",
    "Deberta",
    "DebertaV2",
    "DeiT",
    "DistilBert",
    "DPT",
    "Dinov2",
    "Electra",
    "EfficientNet",
    "Ernie",
    "Falcon",
    "FNet",
    "FocalNet",
    "Funnel",
    "Gemma",
    "GPT2",
    "GPTNeo",
    "GPTNeoX",
    "GPTJ",
    "GLPN",
    "Hiera",
    "IBert",
    "ImageGPT",
    "LayoutLM",
    "LED",
    "Levit",
    "Llama",
    "Longformer",
    "M2M100",
    "Marian",
    "MBart",
    "Mistral",
    "Mixtral",
    "MobileBert",
    "MobileNetV1",
    "MobileNetV2",
    "MobileViT",
    "MobileViTV2",
    "MPNet",
    "MPT",
    "MT5",
    "Nystromformer",
    "OPT",
    "Pegasus",
    "Phi",
    "PoolFormer",
    "Pvt",
    "PvtV2",
    "Qwen2",
    "RegNet",
    "ResNet",
    "Roberta",
    "RoFormer",
    "Segformer",
    "SiglipVision",
    "Splinter",
    "SqueezeBert",
    "SwiftFormer",
    "Swin",
    "Swin2SR",
    "Swinv2",
    "T5",
    "TextNet",
    "UperNet",
    "ViT",
    "ViTMAE",
    "ViTMSN",
    "VitDet",
    "XGLM",
    "XLM",
    "XLNet",
    "Yolos",
    "YolosModel",
    "ZoeDepth",
]


def published() -> Iterator[tuple[str, Callable[[], nn.Module]]]:
    """Return what builds each published architecture from its configuration, made small."""
    import transformers

    for name in PUBLISHED:
        configuration = getattr(transformers, f"{name}Config", None)
        model = getattr(transformers, f"{name}Model", None)
        if configuration is not None and model is not None:
            yield f"transformers {name}", lambda c=configuration, m=model: m(small(c))
    yield from others()


def others() -> Iterator[tuple[str, Callable[[], nn.Module]]]:
    """Return transformers of torchvision and timm, where these are installed."""
    try:
        import timm
        import torchvision
    except Exception as error:  # torchvision fails in its own way beside another torch
        print(f"torchvision and timm are left out: {type(error).__name__}", flush=True)
        return
    make = torchvision.models.VisionTransformer
    yield "torchvision VisionTransformer", lambda: make(32, 8, 2, 4, 32, 48, num_classes=10)
    for name in ("vit_tiny_patch16_224", "deit_tiny_patch16_224", "beit_base_patch16_224", "cait_xxs24_224"):
        yield (
            f"timm {name}",
            lambda n=name: timm.create_model(n, img_size=32, patch_size=8, depth=2, embed_dim=96),
        )
    yield "timm pvt_v2_b0", lambda: timm.create_model("pvt_v2_b0")
    yield (
        "timm swin",
        lambda: timm.create_model(
            "swin_tiny_patch4_window7_224", img_size=56, depths=(1, 1), embed_dim=24, num_heads=(2, 2)
        ),
    )


def small(configuration: Any) -> Any:
    """Return a configuration with small entries where it has them as plain numbers."""
    default = configuration().to_dict()
    chosen = {key: value for key, value in SMALL.items() if isinstance(default.get(key), int)}
    return configuration(**chosen)


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


def named(**parts: nn.Module) -> nn.Module:
    return nn.ModuleDict(parts)


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


def expected(module: nn.Module) -> dict[str, torch.Tensor]:
    """Return the weights of the layers that a module has, by name, each once, neurons first."""
    found: dict[str, torch.Tensor] = {}
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


def compared(module: nn.Module, source: Path | nn.Module) -> dict[str, object]:
    """Read a file, or the module itself, and return what of the module's layers was found."""
    wanted = expected(module)
    try:
        network = read_network(source)
    except InputError as error:
        return {
            "layers": len(wanted),
            "found": 0,
            "missed": len(wanted),
            "surplus": 0,
            "listed": 0,
            "remark": str(error)[-120:],
        }
    got: dict[str, torch.Tensor] = {}
    for layer in network.layers:
        key = layer.part_of or layer.name
        got[key] = torch.cat([got[key], layer.weight]) if key in got else layer.weight
    inside = network.details.get("inside", "")
    right, missed = [], []
    for name, weight in wanted.items():
        ending = name.removeprefix(f"{inside}.")
        match = next(
            (
                key
                for key in (name, ending, *got)
                if key in got and (key in (name, ending) or name.endswith(f".{key}"))
            ),
            None,
        )
        values = got.get(match) if match else None
        same = (
            values is not None
            and values.numel() == weight.numel()
            and any(
                torch.allclose(values.reshape(-1), other.reshape(-1), atol=1e-5)
                for other in (weight, weight.T if weight.ndim == 2 else weight)
            )
        )
        (right if same else missed).append(match if same else name)
    surplus = [key for key in got if key not in right]
    return {
        "layers": len(wanted), "found": len(right), "missed": len(missed), "surplus": len(surplus),
        "listed": len(network.skipped), "remark": "; ".join(
            [f"missed {name}" for name in missed[:3]] + [f"surplus {name}" for name in surplus[:3]]
        ),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    warnings.simplefilter("ignore")
    rows = []
    for name, build in (*own(), *published()):
        torch.manual_seed(0)
        try:
            module = build().eval()
        except Exception as error:  # a configuration that does not fit these sizes
            print(f"{name}: not built ({type(error).__name__}: {str(error)[:100]})", flush=True)
            continue
        for parameter in module.parameters():  # zeros and ones of initializers would hide confusions
            if parameter.ndim > 1:
                nn.init.normal_(parameter)
        with tempfile.TemporaryDirectory() as folder:
            state = module.state_dict()
            torch.save(state, Path(folder) / "net.pt")
            save_file(
                {key: value.clone().contiguous() for key, value in state.items()},
                Path(folder) / "net.safetensors",
            )
            sources = {
                "module": module,
                **{end: Path(folder) / f"net.{end}" for end in ("pt", "safetensors")},
            }
            for suffix, source in sources.items():
                rows.append({"architecture": name, "file": suffix, **compared(module, source)})
        print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    out.mkdir(parents=True, exist_ok=True)
    table.to_csv(out / "reading.csv", index=False)
    total = table[["layers", "found", "missed", "surplus"]].sum()
    print(table["architecture"].nunique(), "architectures:", dict(total))


if __name__ == "__main__":
    main()
