"""Compare two networks in Python: any modules or weight files, one set of images.

python docs/examples/compare_checkpoints.py
"""

import tempfile
from pathlib import Path

import torch

from covalign import vgg11

folder = Path(tempfile.mkdtemp())
for name in ("first", "second"):  # stand-ins for checkpoints of yours
    torch.save(vgg11(width=0.05).state_dict(), folder / f"{name}.pt")

# [networks]
from covalign import compare, load_images, load_network

networks = {
    name: load_network(folder / f"{name}.pt", vgg11(width=0.05), normalization="imagenet")
    for name in ("first", "second")
}
for name, network in networks.items():
    print(name, "read:", len(network.layers), "layers; left out:", network.skipped)

images = load_images("photos:a", max_images=60)
comparison = compare(networks, images, calibrate=False)
table = comparison.table
print(f"R has a value at {table['debiased'].notna().sum()} of {len(table)} layers")
print(table[["layer_a", "debiased", "debiased_low", "debiased_high", "debiased_reason"]])
comparison.save(folder / "comparison", report=True)
