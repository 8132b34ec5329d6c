"""On real layers, does R of two halves of the neurons read 1, and does its interval say so?

    python benchmarks/study_split_half.py NETWORK... [--splits 200]    # files, or runs of the store

Random halves of a layer are drawn from one set of neurons, so that the truth is 1 whatever the spectrum, with heavy
tails, norms and dependence as training left them: this tests the correction of bias, and the interval where half a
layer is its population. It cannot show that neurons of a layer are independent, since both halves would share what
ties them.
"""

import argparse
from pathlib import Path

import pandas as pd
import torch

from covalign import RunStore, load_network
from covalign.encoding.debiased.estimate import debiased_similarity
from covalign.networks.network import Layer

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "split-half"
NEURONS = 16
"""Fewest neurons of a half."""


def split(layer: Layer, splits: int) -> dict[str, float]:
    """Return what R of random halves reads: its mean, and how often its interval holds 1."""
    rows, space = layer.matrix, layer.weight[0, 0].numel()
    generator = torch.Generator().manual_seed(0)
    found = []
    for _ in range(splits):
        order = torch.randperm(len(rows), generator=generator)
        halves = rows[order[: len(rows) // 2]], rows[order[len(rows) // 2 :]]
        found.append(debiased_similarity(*halves, spatial=space))
    given = [each for each in found if each.low == each.low]
    values = torch.tensor([each.value for each in given], dtype=torch.float64)
    held = sum(each.low <= 1 <= each.high for each in given)
    return {
        "neurons": len(rows),
        "d": layer.dimension,
        "mean": float(values.mean()) if given else float("nan"),
        "error": float(values.std() / len(given) ** 0.5) if len(given) > 1 else float("nan"),
        "half_width": sum((each.high - each.low) / 2 for each in given) / max(1, len(given)),
        "holds_1": held / max(1, len(given)),
        "withheld": 1 - len(given) / splits,
    }


def main() -> None:
    """Parse, measure, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("networks", nargs="+")
    parser.add_argument("--store", type=Path, default=Path("covalign-runs"))
    parser.add_argument("--splits", type=int, default=200)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    rows = []
    for source in given.networks:
        path = Path(source)
        network = load_network(path) if path.exists() else RunStore(given.store).load(source).network
        for place, layer in enumerate(network.layers, 1):
            readout = layer.kind == "linear" and layer.name == network.layers[-1].name
            if len(layer.matrix) >= 2 * NEURONS and layer.channels > 1 and not readout:
                found = split(layer, given.splits)
                rows.append({"network": path.stem[:24], "depth": place, "layer": layer.name, **found})
                print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    given.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(given.out / "layers.csv", index=False)
    known = table[table["mean"].notna()]
    named = " ".join(Path(each).name[:24] for each in given.networks)
    lines = [
        "# Random halves of real layers",
        "",
        f"    python benchmarks/study_split_half.py {named}",
        "",
        f"R of two random halves of the neurons of a layer, {given.splits} splits; the truth is 1. Layers of at "
        f"least {2 * NEURONS} neurons: {len(table)} in {table['network'].nunique()} networks, "
        f"{len(known)} with values.",
        "",
        "| neurons | layers | mean R | farthest from 1 | interval holds 1 | lowest | withheld |",
        "|---|---|---|---|---|---|---|",
    ]
    for neurons, own in known.groupby("neurons"):
        farthest = own["mean"].iloc[(own["mean"] - 1).abs().argmax()]
        lines.append(
            f"| {neurons} | {len(own)} | {own['mean'].mean():.3f} | {farthest:.3f} | {own['holds_1'].mean():.1%} | "
            f"{own['holds_1'].min():.1%} | {own['withheld'].mean():.0%} |"
        )
    (given.out / "README.md").write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
