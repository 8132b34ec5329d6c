"""Spectral statistics of all layers of a VGG-11 in a file, against WeightWatcher's `analyze`.

Ours is `covalign.layer_statistics`: it reads the file, decomposes every layer, looks for its noise, removes it, and
gives effective rank, participation ratio, entropy rank, stable rank, largest and smallest eigenvalue and bulk edges.
The rival is given the module, decomposes its layers, and gives norms, ranks, and power laws fitted to the spectra;
neither has levels of chance. Both compute in float64.

Two forms. Joint is the ordinary VGG-11: of a convolution [n, c, 3, 3] we decompose one matrix [n, 9 c], and the
rival nine of [n, c]. Factorized: both decompose the same matrices. Compared first: the sum of squared singular values
of every layer, which both share (the rival halves that of a convolution), and in the factorized form the largest.

    python benchmarks/bench_layer_statistics.py [--widths 0.25 1]
"""

import argparse
import contextlib
import io
import logging
import tempfile
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch
from harness import Row, measured, products, write
from safetensors.torch import save_file
from torch import nn

from covalign.encoding.spectrum import weight_spectrum
from covalign.networks.architectures.vgg import vgg11
from covalign.networks.network import Network
from covalign.networks.readers.opening import read_network
from covalign.studies.comparison.layers import layer_statistics

HALVED = 0.5
"""What the rival keeps of a convolution's squared singular values."""


def flat(network: Network) -> nn.Module:
    """Return the rival's module with the matrices of a network: it stops at batch norms without parameters."""
    matrices = nn.Sequential()
    for layer in network.layers:
        matrices.append(nn.Linear(*layer.matrix.shape[::-1], bias=False))
        matrices[-1].weight.data = layer.matrix.float()
    return matrices


def difference_of(network: Network, table: pd.DataFrame, joint: bool) -> float:
    """Return the largest relative difference of what both sides computed of a layer."""
    apart = []
    for layer, total, largest in zip(network.layers, table["norm"], table["lambda_max"], strict=True):
        found = weight_spectrum(layer.matrix).eigenvalues * layer.neurons
        kept = HALVED if joint and layer.weight.ndim == 4 and layer.dimension > layer.channels else 1.0
        apart.append(abs(total / (kept * float(found.sum())) - 1))
        if not joint:
            apart.append(abs(largest / float(found[0]) - 1))
    return max(apart)


def row(form: str, width: float, folder: Path) -> Row:
    """Measure one file."""
    import weightwatcher  # the benchmark environment alone has it

    torch.manual_seed(0)
    joint = form == "joint"
    model = vgg11(form=form, width=width, norm=not joint)
    path = folder / "vgg11.safetensors"
    save_file(model.state_dict(), path)
    network = read_network(path)
    given = model if joint else flat(network)

    def theirs() -> pd.DataFrame:
        with contextlib.redirect_stdout(io.StringIO()):
            return weightwatcher.WeightWatcher(model=given).analyze(plot=False)

    sizes = [layer.matrix.shape for layer in network.layers]
    return measured(
        f"layer statistics of a VGG-11 file, {form}, width {width:g}",
        f"WeightWatcher {version('weightwatcher')} analyze",
        lambda: layer_statistics([path]),
        theirs,
        difference=difference_of(network, theirs(), joint),
        allowed=1e-4,
        at_least=20,
        limit=products(sum(min(n, d) ** 2 * max(n, d) + 4 / 3 * min(n, d) ** 3 for n, d in sizes)),
        rounds=5,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--widths", type=float, nargs="+", default=[0.25, 1.0])
    options = parser.parse_args()
    logging.getLogger("weightwatcher").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        write(
            "layer_statistics",
            [row(form, width, Path(folder)) for form in ("joint", "factorized") for width in options.widths],
        )


if __name__ == "__main__":
    main()
