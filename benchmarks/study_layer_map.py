"""By what do layers of networks that were trained alike find their counterparts: means over positions, or all?

    python benchmarks/study_layer_map.py RUN RUN ... --store STORE --images photos:a

Of every two runs, and in both directions: in how many layers is the counterpart the layer whose input is most alike,
by debiased CKA; and how far do values move with twice the images?
"""

import argparse
from itertools import permutations

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign import Images, Network, RunStore, load_images, load_network
from covalign.encoding.activations import distinctions
from covalign.studies.inputs import layer_inputs
from covalign.studies.structure import hidden_layers

IMAGES = 256


def told_apart(network: Network, images: Images, means: bool) -> Float64[Tensor, "layers pairs"]:
    """Return the distinctions of all layers, of means over positions or of all positions side by side."""
    layers = [(network, layer) for layer in hidden_layers(network)]
    received: dict[str, list[Tensor]] = {layer.name: [] for _, layer in layers}
    for pixels in images.pixels.split(64):
        for (_, name), maps in layer_inputs(layers, pixels).items():
            received[name].append(maps.flatten(2).mean(2) if means else maps.flatten(1))
    return torch.stack([distinctions(torch.cat(parts).double()) for parts in received.values()])


def main() -> None:
    """Print a line for each way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--store", required=True)
    parser.add_argument("--images", default="photos:a")
    given = parser.parse_args()
    store, images = RunStore(given.store), load_images(given.images)
    networks = [load_network(store.load(run)) for run in given.runs]
    found = {}
    for count, means in ((IMAGES, True), (IMAGES, False), (2 * IMAGES, True)):
        sample = images.sample(count, seed=0)
        rows = [told_apart(network, sample, means) for network in networks]
        maps = found[count, means] = [one @ other.T for one, other in permutations(rows, 2)]
        hits = sum(int((each.argmax(1) == torch.arange(len(each))).sum()) for each in maps)
        what = "means over positions" if means else "all positions"
        print(f"{count} images, {what}: {hits} of {sum(map(len, maps))}")
    few, many = (torch.stack(found[count, True]) for count in (IMAGES, 2 * IMAGES))
    moved = (many - few).abs()
    print(
        f"twice the images move values by {float(moved.mean()):.3f} on average, {float(moved.max()):.3f} at most"
    )


if __name__ == "__main__":
    main()
