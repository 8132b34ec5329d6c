"""Build a universal encoding from trained networks, and fill a new network from it.

python docs/examples/start_from_what_is_shared.py            # trains two networks of the demo's recipe first
python docs/examples/start_from_what_is_shared.py --smoke    # the same steps, too short to learn much
"""

import sys
from dataclasses import replace
from pathlib import Path

from covalign import RunStore, preset, train

SMOKE = "--smoke" in sys.argv
SHORTER = {"epochs": 1, "max_images": 128, "width": 0.0625} if SMOKE else {}
SAMPLE = 40 if SMOKE else 1000

store = RunStore(Path("covalign-runs"))
recipe = replace(preset("demo"), images="photos:a", **SHORTER)
runs = [train(replace(recipe, seed=seed), store) for seed in range(1 if SMOKE else 2)]

# [build]
from covalign import load_images, universal_encoding

images = load_images("photos:a", max_images=SAMPLE)
encoding = universal_encoding(runs, images)
encoding.save("encoding.safetensors")
columns = ["layer", "neurons", "rank", "agreement", "explained", "reason"]
print(encoding.table[columns].round(2).to_string(index=False))

# [start]
from covalign import init_, load_encoding, vgg11

network = vgg11(form="factorized", width=0.1)  # of any width; depth and form are the encoding's
done = init_(network, load_encoding("encoding.safetensors"), images)
for row in done.rows:
    print(f"{row.layer}: {row.neurons} neurons from the {row.source}, alignment {row.alignment:.2f}")
