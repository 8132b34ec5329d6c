"""Spectral statistics of all layers of a VGG-11 in a file, against WeightWatcher's `analyze`.

Ours reads the file, decomposes every layer, looks for its noise, removes it, and gives effective rank, participation
ratio, entropy rank, stable rank, bulk edges, chance and ceiling (`covalign.studies.comparison.layers`). The rival
decomposes the same matrices and fits power laws to their spectra. Factorized, since the learned weights are then
matrices for both. Compared first: the largest singular value of every layer.

    python benchmarks/bench_layer_statistics.py [--width 0.25]
"""

import argparse
import logging
import tempfile
from importlib.metadata import version
from pathlib import Path

import torch
from harness import measured, products, write
from safetensors.torch import save_file

from covalign.networks.architectures.vgg import vgg11
from covalign.networks.readers.opening import read_network
from covalign.studies.comparison.layers import layer_encoding


def main() -> None:
    import weightwatcher  # the benchmark environment alone has it

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=float, default=0.25)
    options = parser.parse_args()
    logging.getLogger("weightwatcher").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = vgg11(form="factorized", width=options.width)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vgg11.safetensors"
        save_file(model.state_dict(), path)

        def ours() -> list[float]:
            network = read_network(path)
            return [
                float(layer_encoding(network, layer).covariance.eigenvalues[0]) for layer in network.layers
            ]

        def theirs() -> list[float]:
            return list(weightwatcher.WeightWatcher(model=matrices).analyze(plot=False)["spectral_norm"])

        network = read_network(path)
        matrices = torch.nn.Sequential()  # it stops at batch norms without parameters
        for layer in network.layers:
            matrices.append(torch.nn.Linear(*layer.matrix.shape[::-1], bias=False))
            matrices[-1].weight.data = layer.matrix.float()
        sizes = [layer.matrix.shape for layer in network.layers]
        norms = [float(torch.linalg.matrix_norm(layer.matrix, 2)) for layer in network.layers]
        rival = theirs()
        difference = max(
            min(abs(each / norm - 1) for each in (*rival, *(e**0.5 for e in rival))) for norm in norms[1:]
        )
        write(
            "layer_statistics",
            [
                measured(
                    f"layer statistics of a VGG-11 file, width {options.width:g}",
                    f"WeightWatcher {version('weightwatcher')} analyze",
                    ours,
                    theirs,
                    difference=difference,
                    allowed=1e-4,
                    at_least=20,
                    limit=products(sum(4 * min(size) ** 2 * max(size) for size in sizes)),
                    rounds=2,
                )
            ],
        )


if __name__ == "__main__":
    main()
