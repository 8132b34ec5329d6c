"""The tutorial: train two small networks on embedded photographs, compare them, read the result.

python docs/examples/tutorial.py            # minutes, see the tutorial's page
python docs/examples/tutorial.py --smoke    # seconds: the same steps, too short to learn much
"""

import sys
from dataclasses import replace
from pathlib import Path

from covalign import RunStore, compare, load_images, preset, train

SMOKE = "--smoke" in sys.argv
SHORTER = {"epochs": 1, "max_images": 256, "width": 0.0625} if SMOKE else {}

# [train] Two networks that differ in their seed alone: in initial weights and in the order of images.
store = RunStore(Path("tutorial-runs"))
recipe = replace(preset("demo"), images="photos:a", **SHORTER)
one = train(replace(recipe, seed=0), store)
other = train(replace(recipe, seed=1), store)
for run in (one, other):
    print(f"{run.spec.images}, seed {run.spec.seed}: test accuracy {run.history[-1].test_accuracy:.1%}")

# [compare] Align their hidden layers on images, then compare the learned weights.
images = load_images("photos:a", max_images=200 if SMOKE else 1500)
comparison = compare({"seed 0": one, "seed 1": other}, images)

# [read] A row per layer.
columns = ["depth", "debiased", "debiased_low", "debiased_high", "debiased_z", "debiased_shuffled"]
print(comparison.table[columns].round(2).to_string(index=False))
for row in comparison.table.itertuples():
    if row.debiased_reason:
        print(f"layer {row.depth}: {row.debiased_reason}")

# [report] One file with everything, and a folder that loads again.
comparison.report("tutorial.html")
comparison.save("tutorial-comparison")

# [again] Results and trainings are found again, by folder and by the beginning of a key.
from covalign import load_comparison, load_run

again = load_comparison("tutorial-comparison")
run = load_run(one.key[:8], store)
print(f"{len(again.table)} layers; {run.name} was trained for {len(run.history)} epochs")
