"""A whole comparison of factorized VGG-11 networks, all layers: against forward hooks, SciPy and POT.

The rival is what a user would write: for every pair both networks run over the images, hooks hand out layer inputs,
cross-moments (and those of shuffled images, the control) are summed in float64, `scipy.linalg.svd` gives rotations,
`numpy.linalg.eigh` the spectra of W^T W / n, eq. 3 removes noise, and POT gives Bures-Wasserstein distances of dense
matrices: aligned, unaligned, shuffled, and for chance and ceiling (a user careful enough to draw these once a
layer, not once a pair). Ours is `compare` with all it does by default: R with its controls and the calibrated value
as well. Weights are planted, so that every layer has spikes above its bulk and nothing is withheld.

The rival is timed on one pair and on one draw, and scaled by their numbers.

    python benchmarks/bench_comparison.py [--networks 3] [--images 400] [--width 0.25]     # 6, 10000: the whole claim
"""

import argparse
import time
from dataclasses import dataclass

import numpy as np
import ot
import pandas as pd
import scipy.linalg
import torch
from harness import Row, products, write
from torch import nn

from covalign.data.images import Images
from covalign.data.normalization import NORMALIZATIONS
from covalign.encoding.shrinkage import shrink_eigenvalues
from covalign.networks.architectures.vgg import vgg11
from covalign.studies.comparison.measure import compare
from covalign.studies.subjects import load_network

CIFAR, BATCH, DRAWS = NORMALIZATIONS["cifar"], 100, 10


def planted(seed: int, width: float) -> nn.Module:
    """An untrained network with a few strong directions, half of them common to all networks."""
    torch.manual_seed(seed)
    network = vgg11(form="factorized", width=width)
    common, own = (torch.Generator().manual_seed(each) for each in (99, 1000 + seed))
    for weight in network.parameters():
        if weight.ndim == 4 and weight.requires_grad:
            n, d = weight.shape[:2]
            count = min(10, d // 4, n // 4)
            for draw in (common, own):
                right = torch.linalg.qr(torch.randn(d, count, generator=draw)).Q
                left = torch.randn(n, count, generator=own)
                strength = (8 * max(1, d / n) ** 0.5 * torch.linspace(2, 0.7, count) / (3 * d)).sqrt()
                weight.data += (left * strength @ right.T)[..., None, None]
    network.train()
    with torch.no_grad():
        network(torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(5)))
    return network.eval()


def pictures(count: int) -> torch.Tensor:
    """Noise at every scale, uint8."""
    draw, pixels = torch.Generator().manual_seed(3), torch.zeros(count, 3, 32, 32)
    for side in (4, 8, 16, 32):
        noise = torch.randn(count, 3, side, side, generator=draw)
        pixels += nn.functional.interpolate(noise, size=32, mode="bicubic")
    return (128 + 30 * pixels).clamp(0, 255).to(torch.uint8)


def pointwise(network: nn.Module) -> list[nn.Conv2d]:
    """The learned convolutions."""
    return [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.weight.requires_grad]


@torch.no_grad()
def received(network: nn.Module, pixels: torch.Tensor) -> list[np.ndarray]:
    """Inputs of all learned convolutions, by forward hooks, rows in float64."""
    seen: list[np.ndarray] = []
    hooks = [
        layer.register_forward_pre_hook(lambda _, args: seen.append(args[0].movedim(1, 3).double().numpy()))
        for layer in pointwise(network)
    ]
    network(CIFAR(pixels))
    for hook in hooks:
        hook.remove()
    return seen


def shrunk(weight: np.ndarray) -> np.ndarray:
    """Eq. 3 on a dense covariance in units of the initial variance."""
    n, d = weight.shape
    values, vectors = np.linalg.eigh(3 * d * weight.T @ weight / n)
    kept = shrink_eigenvalues(torch.as_tensor(values[::-1][: min(n, d)].copy()).clamp(min=0), d / n).numpy()
    vectors = vectors[:, ::-1][:, : len(kept)]
    return vectors * kept @ vectors.T


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Eq. 5 from POT's distance."""
    a, b = torch.as_tensor(one), torch.as_tensor(other)
    zero = torch.zeros(len(a), dtype=torch.float64)
    squared = float(ot.gaussian.bures_wasserstein_distance(zero, zero, a, b)) ** 2
    traces = float(a.trace()), float(b.trace())
    return (sum(traces) - squared) / 2 / (traces[0] * traces[1]) ** 0.5


@dataclass(frozen=True)
class Found:
    """Of one layer: the aligned cosine, the correlation on held-out images, and whether the rotation is unique."""

    cosine: float
    correlation: float
    unique: bool


def rival_pair(one: nn.Module, other: nn.Module, pixels: torch.Tensor) -> list[Found]:
    """All layers beyond the first, aligned; unaligned and shuffled ones are computed too."""
    moments: dict[int, list[np.ndarray]] = {}
    held: dict[int, list[np.ndarray]] = {}
    fitted = torch.arange(len(pixels)) % 5 != 4
    for part in pixels[fitted].split(BATCH):
        for i, (a, b) in enumerate(zip(received(one, part), received(other, part), strict=True)):
            rows = [x.reshape(-1, x.shape[-1]) for x in (a, b, np.roll(b, len(b) // 2, 0))]
            add(moments, i, [rows[1].T @ rows[0], rows[2].T @ rows[0]])
    for part in pixels[~fitted].split(BATCH):
        for i, (a, b) in enumerate(zip(received(one, part), received(other, part), strict=True)):
            rows = [x.reshape(-1, x.shape[-1]) for x in (a, b)]
            add(held, i, [rows[1].T @ rows[0], np.square(rows[0]).sum(), np.square(rows[1]).sum()])
    found = []
    for i, layers in enumerate(zip(pointwise(one), pointwise(other), strict=True)):
        c1, c2 = (shrunk(layer.weight.detach().double().flatten(1).numpy()) for layer in layers)
        cosine(c1, c2)
        here = []
        for moment in moments[i] if i else []:
            left, values, right = scipy.linalg.svd(moment)
            rotation = left @ right
            moment_held, *energies = held[i]
            correlation = (rotation * moment_held).sum() / np.sqrt(np.prod(energies))
            aligned = cosine(rotation @ c1 @ rotation.T, c2)
            here.append(Found(aligned, correlation, bool(values[-1] > 1e-9 * values[0])))
        found += here[:1]
    return found


def add(sums: dict[int, list[np.ndarray]], layer: int, new: list[np.ndarray]) -> None:
    """Add to what was summed of a layer."""
    sums[layer] = [x + y for x, y in zip(sums[layer], new, strict=True)] if layer in sums else new


def apart(table: pd.DataFrame, expected: list[Found]) -> float:
    """Return the largest difference: of correlations, and of cosines where one rotation alone is the best.

    A channel that never answers has no direction: its part of the rotation is arbitrary, and that of a cosine too.
    """
    rows = table[(table["a"] == "n0") & (table["b"] == "n1")].sort_values("depth").iloc[1:]
    off = []
    for cosine_, correlation, each in zip(
        rows["cosine"], rows["alignment_correlation"], expected, strict=True
    ):
        off.append(abs(correlation / each.correlation - 1))
        off += [abs(cosine_ / each.cosine - 1)] if each.unique else []
    return float(max(off))


def rival_draw(network: nn.Module) -> None:
    """One draw of chance and of ceiling for all layers of a network."""
    draw = np.random.default_rng(0)
    for layer in pointwise(network):
        weight = layer.weight.detach().double().flatten(1).numpy()
        n, d = weight.shape
        c = shrunk(weight)
        turn = np.linalg.qr(draw.normal(size=(d, d)))[0]
        cosine(c, turn @ c @ turn.T)
        values, vectors = np.linalg.eigh(c)
        sample = draw.normal(size=(n, d)) * np.sqrt(1 + values.clip(0)) @ vectors.T
        cosine(c, shrunk(sample / np.sqrt(3 * d)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=int, default=3)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--width", type=float, default=0.25)
    options = parser.parse_args()
    torch.set_num_threads(1)
    networks = [planted(seed, options.width) for seed in range(options.networks)]
    pixels = pictures(options.images)
    images = Images(pixels, torch.zeros(len(pixels), dtype=torch.int64), ("none",), "noise", "train")
    opened = {f"n{i}": load_network(each, normalization="cifar") for i, each in enumerate(networks)}

    def timed(call: object) -> tuple[float, object]:
        start = time.process_time()
        result = call()  # type: ignore[operator]
        return time.process_time() - start, result

    ours, comparison = timed(lambda: compare(opened, images, max_images=None))
    print(f"ours: {ours:.1f} s", flush=True)
    pair, expected = timed(lambda: rival_pair(networks[0], networks[1], pixels))
    levels, _ = timed(lambda: rival_draw(networks[0]))
    pairs = options.networks * (options.networks - 1) // 2
    rival = pairs * pair + DRAWS * options.networks * levels
    difference = apart(comparison.table, expected)  # type: ignore[attr-defined,arg-type]
    assert difference < 1e-3, f"results differ by {difference:.1e}"  # rotations from float32 products
    flops = pairs * sum(
        2 * len(pixels) * positions * (10 * width) ** 2
        for width, positions in zip(widths(options.width), (1024, 256, 64, 64, 16, 16, 4, 4), strict=True)
    )
    limit = products(flops, torch.float32)
    title = f"comparison of {options.networks} networks, width {options.width:g}, {len(pixels)} images"
    ratio = rival / ours
    row = Row(
        *(title, f"hooks, SciPy, POT {ot.__version__}", ours, rival, ratio, ratio, ratio, 8),
        *(float("nan"), float("nan"), limit.words, limit.seconds / ours, difference),
    )
    print(f"{title}: {ours:.1f} s, rival {rival:.1f} s, {ratio:.1f}x")
    print(f"rival: {pair:.1f} s a pair, {levels:.1f} s a draw of all layers of a network")
    write("comparison", [row])


def widths(width: float) -> list[int]:
    """Channels that each stage of VGG-11 receives."""
    return [3, *(round(width * each) for each in (64, 128, 256, 256, 512, 512, 512))]


if __name__ == "__main__":
    main()
