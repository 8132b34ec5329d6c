"""Train a population, two conditions with several seeds each, and compare the conditions by Q.

python docs/examples/population.py            # six trainings: a minute or more each on one core
python docs/examples/population.py --smoke    # the same steps, too short to learn much
"""

import sys
from dataclasses import replace

SMOKE = "--smoke" in sys.argv
SEEDS = 2 if SMOKE else 3
SHORTER = {"epochs": 1, "max_images": 128, "width": 0.0625} if SMOKE else {}
SAMPLE = 100 if SMOKE else 1500

# [population]
from pathlib import Path

from covalign import RunStore, compare, load_images, preset
from covalign.data.mixture import mixture
from covalign.training.many import train_population

if __name__ == "__main__":  # trainings run in processes of their own, which import this file
    sets = ("photos:a", "photos:b")
    recipe = replace(preset("demo"), **SHORTER)
    specs = [
        replace(recipe, images=name, seed=SEEDS * place + seed)  # a seed of its own for every network
        for place, name in enumerate(sets)
        for seed in range(SEEDS)
    ]
    runs = train_population(specs, RunStore(Path("population-runs")), workers=1 if SMOKE else None)
    images = mixture([load_images(name) for name in sets], max_images=SAMPLE)
    comparison = compare(runs, images, by="training", calibrate=False, controls=not SMOKE)
    print(comparison.by_condition.round(2).to_string())
