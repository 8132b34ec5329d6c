r"""Does a network drawn from its own covariances keep its accuracy?

    covalign train laptop-float32.toml --images photos:a --seed 0 --store STORE    # b likewise, seeds 0 to 2
    python benchmarks/study_universal_own.py STORE/KEY [STORE/KEY ...] --out docs/results/universal/own \
        --aligned-on 300 --train-images 2500

where the TOML says `preset = "laptop"`, `precision = "float32"`, `threads = 1`.

Of each training the covariances of its layers alone are kept (`covalign.universal_encoding` of one network), and new
networks are drawn from them, realigned through activations on unlabelled images. No weight of the trained network
enters a realignment:

- *activations*: the new network is aligned to what the trained network's layers receive, as in Guth et al. (2023);
- *reference*: it is aligned to another network that was itself drawn from the covariances, which is what a file of
  an encoding carries; what this costs is the accuracy lost by the file.

Beside them: the trained network, and random features (PyTorch's default and orthogonal weights), with the statistics
of their norms measured on the same images. All get the same readout: ridge regression on standardized means over
positions, its strength chosen on a fifth of the training images.
"""

import argparse
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

from covalign.data.images import Images
from covalign.data.loading import load_images
from covalign.data.normalization import normalization
from covalign.networks.readers.opening import read_network
from covalign.storage.streams import stream
from covalign.studies.inputs import layer_inputs
from covalign.studies.structure import hidden_layers
from covalign.studies.subjects import subjects
from covalign.studies.universal.filling import Target, fill, settle_norms
from covalign.studies.universal.initialize import init_
from covalign.studies.universal.measure import encoded_layer, universal_encoding
from covalign.studies.universal.members import bases, population
from covalign.training.run import Run, build
from covalign.training.store import load_run

RIDGES = (1e-3, 1e-2, 1e-1, 1.0)


def features(module: nn.Module, run: Run, pixels: Tensor) -> Tensor:
    """Means over positions of the last stage, ``[n, d]``."""
    enter, found = normalization(run.spec.normalization), []
    module.eval()
    with torch.no_grad():
        for part in pixels.split(200):
            found.append(module.stages(enter(part)).mean((2, 3)))
    return torch.cat(found).double()


def ridge(x: Tensor, y: Tensor, strength: float) -> Tensor:
    """Coefficients of standardized features on centred one-hot labels."""
    gram = x.T @ x / len(x) + strength * torch.eye(x.shape[1]).double()
    return torch.linalg.solve(gram, x.T @ y / len(x))


def accuracy(module: nn.Module, run: Run, train: Images, test: Images) -> float:
    """Test accuracy of a retrained readout."""
    x, other = (features(module, run, each.pixels) for each in (train, test))
    mean, deviation = x.mean(0), x.std(0) + 1e-8
    x, other = (x - mean) / deviation, (other - mean) / deviation
    y = nn.functional.one_hot(train.labels, len(train.classes)).double()
    y = y - y.mean(0)
    held = torch.arange(len(x)) % 5 == 4

    def judged(strength: float) -> float:
        scores = x[held] @ ridge(x[~held], y[~held], strength)
        return float((scores.argmax(1) == train.labels[held]).double().mean())

    scores = other @ ridge(x, y, max(RIDGES, key=judged))
    return float((scores.argmax(1) == test.labels).double().mean())


def drawn(run: Run, images: Images, seed: int, widen: float = 1.0) -> nn.Module:
    """Draw a network from a training's covariances, aligned to the trained network's activations."""
    opened = subjects([run])
    found = population(opened, {opened[0].name: "own"})
    common = bases(found, images, lambda *_: None)
    parts = [encoded_layer(found, i, basis, 1, seed)[0] for i, basis in enumerate(common)]
    module, network, layers = fresh(run, seed, widen)
    trained, own = found.networks[0], [each[0] for each in found.layers]

    def coordinates(index: int, pixels: Tensor) -> Tensor:
        received = layer_inputs([(trained, own[index])], pixels)[id(trained), own[index].name]
        return torch.einsum("nc...,kc->nk...", received, common[index].rotations[0].float())

    target = Target(module, network, layers, tuple(range(len(layers))), own_first=True)
    fill(target, parts, coordinates, images.pixels, images.pixels, seed)
    return module


def fresh(run: Run, seed: int, widen: float = 1.0) -> tuple:
    """An untrained network of the run's architecture, not with its seed."""
    spec = run.spec.__class__.of({"width": run.spec.width * widen}, run.spec)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1_000_003 + seed)
        module = build(spec, len(run.facts.classes), run.network.filters).eval()
    network = read_network(module, normalization=normalization(spec.normalization))
    return module, network, hidden_layers(network)


def random_features(run: Run, images: Images, seed: int, *, orthogonal: bool) -> nn.Module:
    """An untrained network whose norms have seen the images."""
    module, network, layers = fresh(run, seed)
    if orthogonal:
        for layer in layers:
            nn.init.orthogonal_(
                module.get_submodule(layer.name).weight, generator=stream(seed, "orthogonal", len(layer.name))
            )
    settle_norms(Target(module, network, layers, (), own_first=True), images.pixels)
    return module


def rows_of_run(run: Run, train_images: int, test_images: int, aligned_on: int, draws: int) -> list[dict]:
    """Accuracies of one training and of what is drawn from it."""
    test_split = "test" if "tiny-imagenet" not in run.spec.images else "valid"
    train = load_images(run.spec.images, "train", resolution=run.facts.resolution).sample(
        train_images, seed=7
    )
    test = load_images(run.spec.images, test_split, resolution=run.facts.resolution).sample(
        test_images, seed=8
    )
    sample = train.sample(aligned_on, seed=9)
    encoding = universal_encoding([run], sample, max_images=aligned_on)

    def through_reference(seed: int) -> nn.Module:
        module, _, _ = fresh(run, seed)
        init_(module, encoding, sample, max_images=aligned_on, seed=seed)
        return module

    makers = {
        "trained": (lambda _: run.module(), 1),
        "own covariances, activations": (lambda seed: drawn(run, sample, seed), draws),
        "own covariances, reference": (through_reference, draws),
        "random": (lambda seed: random_features(run, sample, seed, orthogonal=False), draws),
        "orthogonal": (lambda seed: random_features(run, sample, seed, orthogonal=True), draws),
    }
    rows = []
    for name, (make, count) in makers.items():
        for seed in range(1, count + 1):
            value = accuracy(make(seed), run, train, test)
            rows.append({"run": run.key[:12], "images": run.facts.images, "network": name, "draw": seed,
                         "accuracy": value, "aligned_on": aligned_on, "readout_images": len(train),
                         "test_images": len(test)})  # fmt: skip
            print(rows[-1], flush=True)
    return rows


def spread(values: pd.Series, digits: int) -> str:
    """Mean over trainings and their standard deviation."""
    apart = f" ± {values.std():.{digits}f}" if len(values) > 1 else ""
    return f"{values.mean():.{digits}f}{apart}"


def summary(table: pd.DataFrame) -> str:
    """Means over trainings and draws, and how much of the gap between random features and training is kept."""
    lines = ["| network | accuracy | share of the gap kept |", "| --- | --- | --- |"]
    by_run = table.groupby(["images", "network", "run"])["accuracy"].mean().unstack("network")
    for images, rows in by_run.groupby(level="images"):
        floor, top = rows["random"], rows["trained"]
        lines.append(f"| **{images}**, {len(rows)} training{'s' if len(rows) > 1 else ''} | | |")
        for name in rows:
            kept = (rows[name] - floor) / (top - floor)
            lines.append(f"| {name} | {spread(rows[name], 3)} | {spread(kept, 2)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure all runs, and write table and summary."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--train-images", type=int, default=4000)
    parser.add_argument("--test-images", type=int, default=1000)
    parser.add_argument("--aligned-on", type=int, default=400)
    parser.add_argument("--draws", type=int, default=2)
    given = parser.parse_args()
    rows = []
    given.out.mkdir(parents=True, exist_ok=True)
    for path in given.runs:
        rows += rows_of_run(
            load_run(path), given.train_images, given.test_images, given.aligned_on, given.draws
        )
        table = pd.DataFrame(rows)
        table.to_csv(given.out / "accuracy.csv", index=False)
        (given.out / "README.md").write_text(
            "# A network drawn from its own covariances\n\nMade by `benchmarks/study_universal_own.py`: "
            f"aligned on {given.aligned_on} unlabelled training images, readout on {given.train_images}, "
            f"{given.draws} draws a training. Means over trainings ± their standard deviation.\n\n"
            + summary(table)
        )


if __name__ == "__main__":
    main()
