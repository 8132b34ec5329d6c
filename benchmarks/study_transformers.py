"""What do small image transformers learn in common, by what their layers read?

Vision transformers (width 64, 4 blocks of 4 heads, patches of 4x4 pixels, hidden layers of 128 neurons, a class
token, LayerNorm before attention and before the hidden layers) are trained from two seeds on 5,000 images of each
of two sets of natural images at 32x32 pixels: CIFAR-10 (recompressed as JPEG) and 40 classes of Tiny-ImageNet,
averaged 2x2. Adam with decoupled weight decay, 350 steps of 64 images, mirrored and shifted at random. They are
compared on held-out images of both sets together, with norms folded into what reads them, and three questions are
asked of every kind of layer: are seeds alike, beyond what an alignment fitted to shuffled images leaves; are the two
sets less alike than seeds of one; and do copies that compute the same function read 1?

    python benchmarks/study_transformers.py train --data DATA --out NETWORKS
    python benchmarks/study_transformers.py controls --data DATA --out NETWORKS --results docs/results/transformers
    python benchmarks/study_transformers.py compare --data DATA --out NETWORKS --results docs/results/transformers

DATA is the folder that holds `cifar10-jpeg` and `tiny-imagenet-40a`; `train` goes on where it was interrupted.
"""

import argparse
import copy
import itertools
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib
import pandas as pd
import torch
from matplotlib.figure import Figure
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from covalign.data.images import Images
from covalign.data.loading import load_images
from covalign.data.mixture import mixture
from covalign.data.normalization import Normalization
from covalign.figures.style import GREY, PALETTE, journal
from covalign.networks.network import Network
from covalign.studies.comparison.conditions import condition_table
from covalign.studies.comparison.measure import compare
from covalign.studies.subjects import load_network

SETS = {"cifar10": ("cifar10-jpeg", "test"), "imagenet40": ("tiny-imagenet-40a", "valid")}
"""Folder and held-out split of every set."""
SEEDS = (0, 1)
IMAGES, COMPARED, SIDE = 5000, 1000, 32
STEPS, BATCH, RATE, DECAY, WARMUP = 350, 64, 2e-3, 0.05, 50
WIDTH, DEPTH, HEADS, PATCH, HIDDEN = 64, 4, 4, 4, 128
START = 0.02
"""Standard deviation of initial weights of linear layers, as is usual for vision transformers."""
MEAN, SPREAD = 0.45, 0.25
"""Of pixels between 0 and 1, all channels alike."""
KINDS = {
    "patch_embed": "patch embedding",
    "qkv.q": "queries",
    "qkv.k": "keys",
    "qkv.v": "values",
    "proj": "output of attention",
    "fc1": "hidden layer",
    "fc2": "after the hidden layer",
}
"""Layers by how their names end."""
COLUMNS = [
    "a", "b", "layer_a", "depth", "d", "neurons_a", "alignment_correlation", "debiased", "debiased_low",
    "debiased_high", "debiased_z", "debiased_unaligned", "debiased_shuffled", "debiased_centred",
    "debiased_without_top", "debiased_without_5", "debiased_cross", "debiased_within_a", "debiased_within_b",
    "debiased_reason", "cosine", "reason_codes",
]  # fmt: skip


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
        for part in self.modules():
            if isinstance(part, nn.Linear):
                nn.init.trunc_normal_(part.weight, std=START)
                nn.init.zeros_(part.bias)

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


def read(model: nn.Module, name: str) -> Network:
    """Read a network; `compare` folds its norms into what reads them."""
    normalization = Normalization("of this study", (MEAN,), (SPREAD,))
    return load_network(model, name=name, normalization=normalization)


def kept(path: Path) -> Transformer:
    state = load_file(path)
    model = Transformer(len(state["head.weight"]))
    model.load_state_dict(state)
    return model.eval()


def changed(model: Transformer) -> Transformer:
    """Return a network of other weights that computes the same function.

    Gains are multiplied into what reads them; the residual stream is rotated about the ones vector; heads and hidden
    neurons change places; queries are multiplied by 3 and keys divided by it.
    """
    model = copy.deepcopy(model).double()
    generator = torch.Generator().manual_seed(7)
    random = torch.randn(WIDTH, WIDTH, dtype=torch.float64, generator=generator)
    basis = torch.linalg.qr(torch.cat([torch.ones(WIDTH, 1).double(), random[:, 1:]], 1))[0]
    inner = torch.linalg.qr(random[1:, 1:])[0]
    turn = basis @ torch.block_diag(torch.ones(1, 1).double(), inner) @ basis.T
    heads = torch.arange(WIDTH).roll(WIDTH // HEADS)
    rows = torch.cat([heads + part * WIDTH for part in range(3)])
    hidden = torch.randperm(HIDDEN, generator=generator)
    scales = torch.tensor([3, 1 / 3, 1], dtype=torch.float64).repeat_interleave(WIDTH)
    with torch.no_grad():
        pairs = [(model.norm, model.head)]
        for block in model.blocks:
            qkv, proj, fc1, fc2 = block.attn.qkv, block.attn.proj, block.mlp["fc1"], block.mlp["fc2"]
            qkv.weight.copy_((qkv.weight * scales[:, None])[rows])
            qkv.bias.copy_((qkv.bias * scales)[rows])
            proj.weight.copy_(proj.weight[:, heads])
            fc1.weight.copy_(fc1.weight[hidden])
            fc1.bias.copy_(fc1.bias[hidden])
            fc2.weight.copy_(fc2.weight[:, hidden])
            pairs += [(block.norm1, qkv), (block.norm2, fc1)]
        for norm, reader in pairs:
            reader.bias += reader.weight @ norm.bias
            reader.weight.copy_(reader.weight * norm.weight @ turn.T)
            norm.weight.fill_(1)
            norm.bias.zero_()
        for token in (model.cls_token, model.pos_embed):
            token.copy_(token @ turn.T)
        for writer in [model.patch_embed, *(w for b in model.blocks for w in (b.attn.proj, b.mlp["fc2"]))]:
            writer.weight.copy_((turn @ writer.weight.flatten(1)).view_as(writer.weight))
            writer.bias.copy_(turn @ writer.bias)
    return model.float()


def kind(layer: str) -> str:
    return next(said for end, said in KINDS.items() if layer.endswith(end))


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row a kind of layer: R within and across sets, and what a shuffled alignment leaves."""
    rows = []
    for name in KINDS.values():
        part = table[table["kind"] == name]
        row: dict[str, object] = {"kind": name, "layers": part["layer_a"].nunique()}
        for which, same in (("seeds", True), ("sets", False)):
            chosen = part[part["same_set"] == same]
            row |= {
                f"R {which}": chosen["debiased"].mean(),
                f"lowest {which}": chosen["debiased"].min(),
                f"highest {which}": chosen["debiased"].max(),
                f"shuffled {which}": chosen["debiased_shuffled"].mean(),
                f"without 1 {which}": chosen["debiased_without_top"].mean(),
                f"above 0 {which}": f"{int((chosen['debiased_low'] > 0).sum())} of {len(chosen)}",
                f"no value {which}": int(chosen["debiased"].isna().sum()),
            }
        rows.append(row)
    return pd.DataFrame(rows)


def drawn(table: pd.DataFrame) -> Figure:
    """Draw R by block, a panel a kind of layer that every block has."""
    names = [name for name in KINDS.values() if name != "patch embedding"]
    with matplotlib.rc_context({**journal(2.0, 0.5)}):
        figure = Figure(layout="constrained")
        axes = figure.subplots(2, 3, sharex=True, sharey=True).flat
        for ax, name in zip(axes, names, strict=True):
            part = table[table["kind"] == name]
            block = part["layer_a"].str.extract(r"blocks\.(\d+)")[0].astype(int) + 1
            for index, (same, label) in enumerate(((True, "seeds of one set"), (False, "across sets"))):
                chosen = part["same_set"] == same
                ax.plot(block[chosen], part["debiased"][chosen], "o", ms=3, alpha=0.6, color=PALETTE[index])
                means = part["debiased"][chosen].groupby(block[chosen]).mean()
                ax.plot(means.index, means, color=PALETTE[index], label=label)
            left = part["debiased_shuffled"].groupby(block).mean()
            ax.plot(left.index, left, "--", color=GREY, label="alignment to shuffled images")
            ax.axhline(0, color=GREY, lw=0.5)
            ax.set_title(name)
            ax.set_xticks(sorted(block.unique()))
        figure.supxlabel("block")
        figure.supylabel("R")
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def pairs(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Return the pairs that are compared: networks of one seed started from the same weights and are none."""
    for a, b in itertools.combinations(names, 2):
        (set_a, _, seed_a), (set_b, _, seed_b) = a.rpartition("-"), b.rpartition("-")
        if set_a == set_b or seed_a != seed_b:
            yield a, b


def held_out(data: Path) -> Images:
    return mixture([pictures(data, name, held_out=True) for name in SETS], max_images=COMPARED)


def controls(data: Path, out: Path, results: Path) -> None:
    """Compare a network with a copy of the same function, and two untrained ones."""
    model = kept(next(iter(sorted(out.glob("*.safetensors")))))
    torch.manual_seed(100)
    asked = {"copy": (model, changed(model)), "untrained": (Transformer(10).eval(), Transformer(10).eval())}
    for name, (one, other) in asked.items():
        both = {"a": read(one, "a"), "b": read(other, "b")}
        rows = compare(both, held_out(data).sample(400), draws=2, calibrate=False).table[COLUMNS]
        results.mkdir(parents=True, exist_ok=True)
        rows.round(5).to_csv(results / f"{name}.csv", index=False)
        print(name, rows[["layer_a", "debiased", "debiased_reason"]].to_string(), flush=True)


def report(data: Path, out: Path, results: Path) -> None:
    """Compare all pairs of networks, and write tables and figure as they come."""
    images = held_out(data)
    paths = {path.stem: path for path in sorted(out.glob("*.safetensors"))}
    networks = {name: read(kept(path), name) for name, path in paths.items()}
    training = {}
    for name, path in paths.items():
        with safe_open(path, "pt") as file:
            training[name] = json.loads(file.metadata()["training"])
    results.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(training).T.rename_axis("network").to_csv(results / "training.csv")
    tables = []
    for a, b in pairs(list(networks)):
        chosen = {name: networks[name] for name in (a, b)}
        tables.append(compare(chosen, images, draws=2, calibrate=False).table)
        everything = pd.concat(tables)
        table = everything[COLUMNS].copy()
        table["kind"] = table["layer_a"].map(kind)
        sets_a, sets_b = (table[side].str.rpartition("-")[0] for side in "ab")
        table["same_set"] = sets_a == sets_b
        table.round(5).to_csv(results / "table.csv", index=False)
        print(a, b, flush=True)
    conditions = condition_table(everything, {name: name.rpartition("-")[0] for name in networks})
    conditions.round(4).to_csv(results / "conditions.csv", index=False)
    summary(table).round(3).to_csv(results / "summary.csv", index=False)
    drawn(table).savefig(results / "by_block.png", dpi=200)
    print(summary(table).round(2).T.to_string(), len(images))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=("train", "controls", "compare"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--results", type=Path)
    given = parser.parse_args()
    if given.step == "train":
        train(given.data, given.out)
    elif given.step == "controls":
        controls(given.data, given.out, given.results)
    else:
        report(given.data, given.out, given.results)


if __name__ == "__main__":
    main()
