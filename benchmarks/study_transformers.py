"""What do small image transformers learn in common, by what their layers read?

Vision transformers (width 64, 4 blocks of 4 heads, patches of 4x4 pixels, hidden layers of 128 neurons, a class
token, LayerNorm before attention and before the hidden layers) are trained from three seeds on 5,000 images of each
of two sets of natural images at 32x32 pixels: CIFAR-10 (recompressed as JPEG) and 40 classes of Tiny-ImageNet,
averaged 2x2. Adam with decoupled weight decay, 1,000 steps of 64 images, mirrored and shifted at random. They are
compared on held-out images of both sets together, with norms folded into what reads them, and three questions are
asked of every kind of layer: are seeds alike, beyond what an alignment fitted to shuffled images leaves; are the two
sets less alike than seeds of one; and do copies that compute the same function read 1?

    python benchmarks/study_transformers.py train --data DATA --out NETWORKS
    python benchmarks/study_transformers.py compare --data DATA --out NETWORKS --results docs/results/transformers

DATA is the folder that holds `cifar10-jpeg` and `tiny-imagenet-40a`; `train` goes on where it was interrupted.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from covalign.data.images import Images
from covalign.data.loading import load_images

SETS = {"cifar10": ("cifar10-jpeg", "test"), "imagenet40": ("tiny-imagenet-40a", "valid")}
"""Folder and held-out split of every set."""
SEEDS = (0, 1, 2)
IMAGES, SIDE = 5000, 32
STEPS, BATCH, RATE, DECAY, WARMUP = 1000, 64, 1e-3, 0.05, 100
WIDTH, DEPTH, HEADS, PATCH, HIDDEN = 64, 4, 4, 4, 128
MEAN, SPREAD = 0.45, 0.25
"""Of pixels between 0 and 1, all channels alike."""


class Attention(nn.Module):
    """Heads that read one product of queries, keys and values."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Attend from every token to all."""
        n, tokens, width = x.shape
        q, k, v = self.qkv(x).reshape(n, tokens, 3, HEADS, width // HEADS).permute(2, 0, 3, 1, 4)
        heads = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.proj(heads.transpose(1, 2).reshape(n, tokens, width))


class Block(nn.Module):
    """Attention, then a hidden layer, each added to the residual stream."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attn = Attention()
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(WIDTH, HIDDEN), "fc2": nn.Linear(HIDDEN, WIDTH)})

    def forward(self, x: Tensor) -> Tensor:
        """Add both to the stream."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp["fc2"](nn.functional.gelu(self.mlp["fc1"](self.norm2(x))))


class Transformer(nn.Module):
    """A vision transformer (Dosovitskiy et al. 2021) of the sizes above."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.patch_embed = nn.Conv2d(3, WIDTH, PATCH, stride=PATCH)
        self.cls_token = nn.Parameter(torch.randn(1, 1, WIDTH) * 0.02)
        self.pos_embed = nn.Parameter(torch.randn(1, 1 + (SIDE // PATCH) ** 2, WIDTH) * 0.02)
        self.blocks = nn.Sequential(*(Block() for _ in range(DEPTH)))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return one score a class, read from the class token."""
        patches = self.patch_embed(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(images), -1, -1), patches], 1) + self.pos_embed
        return self.head(self.norm(self.blocks(x))[:, 0])


def pictures(data: Path, name: str, held_out: bool) -> Images:
    folder, split = SETS[name]
    count = 2000 if held_out else IMAGES
    return load_images(data / folder, split if held_out else "train", resolution=SIDE, max_images=count)


def augmented(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror at random, and shift by up to 4 pixels."""
    mirrored = torch.rand(len(pixels), generator=generator) < 0.5
    pixels = torch.where(mirrored[:, None, None, None], pixels.flip(3), pixels)
    padded = nn.functional.pad(pixels, (4, 4, 4, 4), mode="reflect")
    down, across = torch.randint(0, 9, (2, len(pixels)), generator=generator)
    rows, columns = (at[:, None] + torch.arange(SIDE) for at in (down, across))
    return padded[
        torch.arange(len(pixels))[:, None, None, None],
        torch.arange(3)[None, :, None, None],
        rows[:, None, :, None],
        columns[:, None, None, :],
    ]


def scaled(pixels: Tensor) -> Tensor:
    return (pixels.float() / 255 - MEAN) / SPREAD


def accuracy(model: nn.Module, images: Images) -> float:
    with torch.no_grad():
        guesses = torch.cat([model(scaled(part)).argmax(1) for part in images.pixels.split(200)])
    return float((guesses == images.labels).float().mean())


def trained(images: Images, seed: int) -> Transformer:
    torch.manual_seed(seed)
    model = Transformer(len(images.classes))
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, STEPS, pct_start=WARMUP / STEPS)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(STEPS):
        chosen = torch.randint(len(images), (BATCH,), generator=generator)
        scores = model(scaled(augmented(images.pixels[chosen], generator)))
        optimizer.zero_grad()
        nn.functional.cross_entropy(scores, images.labels[chosen], label_smoothing=0.1).backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def train(data: Path, out: Path) -> None:
    """Train what is not there yet, seed by seed, and keep it with its accuracy."""
    out.mkdir(parents=True, exist_ok=True)
    for seed in SEEDS:
        for name in SETS:
            path = out / f"{name}-{seed}.safetensors"
            if path.exists():
                continue
            started = time.monotonic()
            model = trained(pictures(data, name, held_out=False), seed)
            found = {
                "accuracy": accuracy(model, pictures(data, name, held_out=True)),
                "seconds": round(time.monotonic() - started),
                "torch": torch.__version__,
            }
            save_file(dict(model.state_dict()), path, {"training": json.dumps(found)})
            print(path.name, found, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=("train", "compare"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--results", type=Path)
    given = parser.parse_args()
    if given.step == "train":
        train(given.data, given.out)


if __name__ == "__main__":
    main()
