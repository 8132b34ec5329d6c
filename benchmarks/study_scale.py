"""What would populations of a hundred, a thousand and fifty thousand networks take? A cost model, fitted here.

    python benchmarks/study_scale.py measure        # one thread, minutes; on a quiet machine
    python benchmarks/study_scale.py predict        # tables of docs/scale.md

Operations are counted (by PyTorch's counter for passes, by formula for the rest); seconds are fitted to them with
coefficients that cannot be negative (non-negative least squares on relative errors):

    training, an image:      a * three passes of the literal form
    comparison, a network:   b + c * sum n^3 (eigenvectors, chance)
    a pair, its moments:     e * two passes of M images + f * sum M P d^2 (cross-moments)
    a pair, its numbers:     g + h * sum d^3 (Procrustes) + i * sum n d^2 (rotated neurons, R)

n neurons, d inputs, P positions of a layer, M images. One width is left out of the fit and predicted.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from harness import Stages
from scipy.optimize import nnls
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from covalign import compare, load_network, vgg11
from covalign.data.images import Images
from covalign.data.normalization import Normalization
from covalign.networks.network import Network

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "scale"
WIDTHS = (0.0625, 0.125, 0.1875, 0.25, 0.375)
LEFT_OUT = 0.375
SAMPLES = (100, 400)
BATCH, SIDE, CLASSES = 32, 32, 10


@dataclass(frozen=True)
class Work:
    """Operations of one VGG-11 of factorized form, or sums over its layers."""

    step: float
    forward: float
    gram: float
    eigen: float
    moments: float
    procrustes: float
    rotated: float
    weights: float


def network(width: float, seed: int = 0) -> torch.nn.Module:
    """Return an untrained network; what it has learned costs nothing."""
    torch.manual_seed(seed)
    return vgg11(form="factorized", width=width, classes=CLASSES)


def work(width: float) -> Work:
    """Count what networks of a width take: a step and a pass for each image, the rest for each pair or network."""
    module = network(width)
    pixels = torch.randn(BATCH, 3, SIDE, SIDE)
    with FlopCounterMode(display=False) as forward, torch.no_grad():
        module.eval()(pixels)
    layers = opened(width).layers
    sides = positions(module)
    shapes = [(*layer.matrix.shape, sides.get(layer.name, 1)) for layer in layers]
    return Work(
        3 * forward.get_total_flops() / BATCH,
        forward.get_total_flops() / BATCH,
        sum(n * n * d for n, d, _ in shapes),
        sum(n**3 for n, _, _ in shapes),
        sum(p * d * d for _, d, p in shapes[1:]),
        sum(d**3 for _, d, _ in shapes[1:]),
        sum(n * d * d for n, d, _ in shapes[1:]),
        sum(parameter.numel() for parameter in module.parameters()),
    )


def positions(module: torch.nn.Module) -> dict[str, int]:
    """Return at how many positions each layer reads."""
    found: dict[str, int] = {}

    def hook(name: str) -> Callable[..., None]:
        def read(part: torch.nn.Module, given: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            found[name] = given[0][0, 0].numel()

        return read

    handles = [
        part.register_forward_hook(hook(name))
        for name, part in module.named_modules()
        if isinstance(part, torch.nn.Conv2d)
    ]
    with torch.no_grad():
        module.eval()(torch.zeros(1, 3, SIDE, SIDE))
    for handle in handles:
        handle.remove()
    return found


def opened(width: float, seed: int = 0) -> Network:
    """Return a network as `compare` takes it."""
    return load_network(
        network(width, seed).eval(), name=f"{seed}", normalization=Normalization("none", (0.5,), (0.25,))
    )


def noise(count: int) -> Images:
    """Return images of noise."""
    drawn = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (count, 3, SIDE, SIDE), dtype=torch.uint8, generator=drawn)
    return Images(pixels, torch.zeros(count, dtype=torch.int64), ("any",), "noise", "test")


def timed_step(width: float) -> float:
    """Return processor seconds of a training step, an image."""
    module = network(width).train()
    pixels, labels = torch.randn(BATCH, 3, SIDE, SIDE), torch.zeros(BATCH, dtype=torch.long)
    seconds = []
    for _ in range(5):
        start = time.process_time()
        functional.cross_entropy(module(pixels), labels).backward()
        seconds.append(time.process_time() - start)
    return min(seconds) / BATCH


def timed_comparison(width: float, images: int) -> dict[str, float]:
    """Return processor seconds of each stage of a comparison of three networks."""
    stages = Stages()
    compare(
        [opened(width, seed) for seed in range(3)],
        noise(images),
        controls=False,
        calibrate=False,
        curves=False,
        layer_map=False,
        progress=stages,
    )
    return stages.seconds


def measure(out: Path) -> None:
    """Measure widths and numbers of images, and keep the seconds beside the operations."""
    torch.set_num_threads(1)
    rows = []
    for width in WIDTHS:
        counted, step = work(width), timed_step(width)
        for images in SAMPLES:
            timed_comparison(width, images)
            seconds = timed_comparison(width, images)
            rows.append(
                {"width": width, "images": images, **asdict(counted), "step_s": step,
                 "network_s": seconds["weight covariances"] / 3, "alignment_s": seconds["alignments"] / 3,
                 "similarity_s": seconds["similarities"] / 3}
            )  # fmt: skip
            print(rows[-1], flush=True)
    out.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(out / "measured.csv", index=False)


FITTED = {
    "step_s": lambda r: {"step": r.step},
    "network_s": lambda r: {"constant": 1.0, "eigen": r.eigen},
    "alignment_s": lambda r: {"passes": 2 * r.images * r.forward, "moments": 2 * r.images * r.moments},
    "similarity_s": lambda r: {"constant": 1.0, "procrustes": r.procrustes, "rotated": r.rotated},
}
"""Terms of each stage, of a row of measurements."""


def fit(rows: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return seconds an operation, by stage and term."""
    found = {}
    for stage, terms in FITTED.items():
        counted = pd.DataFrame([terms(row) for row in rows.itertuples()])
        seconds = rows[stage].to_numpy()
        coefficients, _ = nnls(counted.to_numpy() / seconds[:, None], seconds / seconds)
        found[stage] = dict(zip(counted.columns, coefficients, strict=True))
    return found


def estimate(fitted: dict[str, dict[str, float]], row: Any) -> dict[str, float]:
    """Return the seconds of each stage that the fit gives a row."""
    return {
        stage: sum(fitted[stage][name] * count for name, count in terms(row).items())
        for stage, terms in FITTED.items()
    }


@dataclass(frozen=True)
class Hardware:
    """A device by its peak rates, operations a second: float32 for passes and moments, float64 for the rest."""

    name: str
    single: float
    double: float


HARDWARE = (
    Hardware("64 such cores", 64.0, 64.0),
    Hardware("NVIDIA A100", 19.5e12, 9.7e12),
    Hardware("NVIDIA H100 SXM", 67e12, 34e12),
    Hardware("NVIDIA RTX 4090", 82.6e12, 1.29e12),
)
"""Peaks without tensor cores and without sparsity, from the vendor's data sheets; cores are multiples of one here."""
SIZES = (100, 1_000, 50_000)
IMAGES, EPOCHS, COMPARED = 50_000, 30, 10_000
SINGLE = ("step", "passes", "moments")


def predict(out: Path) -> None:
    """Fit, check on the width that was left out, and write the tables."""
    rows = pd.read_csv(out / "measured.csv")
    fitted = fit(rows[rows["width"] != LEFT_OUT])
    checks = []
    for row in rows[rows["width"] == LEFT_OUT].itertuples():
        guessed = estimate(fitted, row)
        checks += [
            {"stage": stage, "images": row.images, "predicted_s": guessed[stage], "measured_s": getattr(row, stage),
             "ratio": guessed[stage] / getattr(row, stage)} for stage in FITTED
        ]  # fmt: skip
    check = pd.DataFrame(checks)
    check.to_csv(out / "check.csv", index=False)
    fitted = fit(rows)
    rates = {
        f"{stage[:-2]}, {name}": (value if name == "constant" else 1e-9 / value) if value else None
        for stage, each in fitted.items()
        for name, value in each.items()
    }
    (out / "rates.json").write_text(json.dumps(rates, indent=1), encoding="utf-8")
    table = predictions(fitted)
    table.to_csv(out / "predicted.csv", index=False)
    print(check.round(3).to_string(), "\n", json.dumps(rates, indent=1), "\n", table.to_string())


def predictions(fitted: dict[str, dict[str, float]]) -> pd.DataFrame:
    """Return device hours and bytes of populations at full width."""
    full = work(1.0)
    row = pd.Series({**asdict(full), "images": COMPARED})
    own_single, own_double = product_rate(torch.float32), product_rate(torch.float64)
    rows = []
    for device in HARDWARE:
        cores = device.single < 1e6
        faster = (
            (device.single, device.double)
            if cores
            else (device.single / own_single, device.double / own_double)
        )
        alone = device.single if cores else 1  # what is not arithmetic runs on a core
        one = {
            stage: {
                name: fitted[stage][name]
                * count
                / (alone if name == "constant" else faster[name not in SINGLE])
                for name, count in terms(row).items()
            }
            for stage, terms in FITTED.items()
        }
        turning = one["similarity_s"]["procrustes"]
        moments, numbers = sum(one["alignment_s"].values()), sum(one["similarity_s"].values()) - turning
        for size in SIZES:
            pairs = size * (size - 1) / 2
            rows.append(
                {
                    "networks": size,
                    "on": device.name,
                    "training, h": size * IMAGES * EPOCHS * one["step_s"]["step"] / 3600,
                    "alignment pair by pair, h": pairs * (moments + turning) / 3600,
                    "alignment in common, h": 2 * size * (moments + turning) / 3600,
                    "R of all pairs, h": (size * sum(one["network_s"].values()) + pairs * numbers) / 3600,
                    "weights, GB": size * 2 * 4 * full.weights / 1e9,
                    "pairs kept, GB": pairs * PAIR_BYTES / 1e9,
                }
            )
    return pd.DataFrame(rows)


PAIR_BYTES = 70e3
"""Of a pair that `compare` keeps: 53 MB of 780 pairs of eight layers."""


def product_rate(dtype: torch.dtype) -> float:
    """Return operations a second of matrix products on one thread here."""
    torch.set_num_threads(1)
    a = torch.randn(1024, 1024, dtype=dtype)
    seconds = []
    for _ in range(5):
        start = time.process_time()
        a @ a
        seconds.append(time.process_time() - start)
    return 2 * 1024**3 / min(seconds)


def main() -> None:
    """Measure or predict."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["measure", "predict"])
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    (measure if given.what == "measure" else predict)(given.out)


if __name__ == "__main__":
    main()
