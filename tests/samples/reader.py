"""A folder in which the commands of the documents can be run: small files of the names that they use.

A command is run as it is written but for its size: data sets stand for a few pictures, names of runs for tiny
trainings, trainings are shortened, and where minutes would remain (`reproduce`) it only lists what it would do.
"""

import shutil
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import safetensors.torch
import torch

from covalign.networks.architectures.resnet import resnet20, resnet56
from covalign.networks.architectures.vgg import vgg11
from covalign.training.loop import train
from covalign.training.spec import TrainingSpec
from covalign.training.store import RunStore
from samples.pictures import corners

ROOT = Path(__file__).resolve().parents[2]

PICTURES = "pictures.npz"
SETS = ("uoft-cs/cifar10", "photos:a", "photos", "DATA")
"""Data sets that a reader has, or downloads."""

TINY = TrainingSpec(
    images="corners", width=0.04, epochs=1, batch_size=16, learning_rate=0.02, precision="float32"
)

SMALLER = {
    "compare": {"--max-images": "40", "--no-controls": None, "--no-calibrate": None, "--no-curves": None},
    "train": {"--epochs": "1", "--width": "0.04", "--max-images": "260"},
    "energy": {"--draws": "5"},
    "reproduce": {"--list": None},
}
"""By command, options that make it short; those that it has already get the value given here."""


def tiny_run(store: RunStore, seed: int, labels: str = "true", form: str = "factorized"):
    spec = replace(TINY, seed=seed, labels=labels, form=form)
    return train(spec, store, images=(corners(64, 0, "train"), corners(20, 1, "test")), progress=False)


def stepped(module: torch.nn.Module, size: float) -> dict[str, torch.Tensor]:
    """The weights of a module after a small step of all of them."""
    generator = torch.Generator().manual_seed(1)
    return {
        name: value + size * value.std() * torch.randn(value.shape, generator=generator)
        if value.is_floating_point() and value.numel() > 1
        else value
        for name, value in module.state_dict().items()
    }


def furnish(folder: Path, recipe: str) -> dict[str, str]:
    """Put everything that the documents name into a folder; return what their placeholders stand for.

    Args:
        folder: an empty one.
        recipe: the TOML that the README shows.
    """
    shown = corners(300, 0, "train")
    arrays = {"images": shown.pixels.permute(0, 2, 3, 1).numpy(), "labels": shown.labels.numpy()}
    np.savez(folder / PICTURES, **arrays)
    torch.manual_seed(0)
    base, theirs = vgg11(width=0.05), vgg11(width=0.05)
    files = {
        "resnet20.safetensors": resnet20().state_dict(),
        "resnet56.safetensors": resnet56().state_dict(),
        "base.safetensors": base.state_dict(),
        "finetuned.safetensors": stepped(base, 0.1),
        "mine.safetensors": base.state_dict(),
        "theirs.safetensors": theirs.state_dict(),
    }
    for name, weights in files.items():
        safetensors.torch.save_file(weights, folder / name)
    torch.save(theirs.state_dict(), folder / "vgg.pt")
    tomllib.loads(recipe)
    for name in SETS:
        recipe = recipe.replace(f'"{name}"', f'"{PICTURES}"')
    (folder / "my-training.toml").write_text(recipe, encoding="utf-8")
    store = RunStore(folder / "covalign-runs")
    labels = ("true", "true", "permuted", "permuted")
    runs = {f"RUN_{seed}": tiny_run(store, seed, each) for seed, each in enumerate(labels)}
    runs["RUN_OF_PIXELS"] = tiny_run(store, 0, form="joint")
    shutil.copytree(store.root, folder / "tutorial-runs")
    shutil.copytree(ROOT / "docs/results/papers/encodings-fig4", folder / "papers/encodings-fig4")
    return {name: run.key[:12] for name, run in runs.items()}


def placed(words: list[str], stand_ins: dict[str, str]) -> list[str]:
    """A command of the documents with names of what is here; `words` without the program's name."""
    here = [stand_ins.get(word, PICTURES if word in SETS else word) for word in words]
    return [word.replace("=DATA", f"={PICTURES}") for word in here]


def smaller(words: list[str], stand_ins: dict[str, str]) -> list[str]:
    """A command of the documents as it is run here; `words` without the program's name."""
    here = placed(words, stand_ins)
    changes = dict(SMALLER.get(words[0], {}))
    if "--redraw" in words:
        return here
    for option, value in changes.items():
        if option in here and value is not None:
            here[here.index(option) + 1] = value
        elif option not in here:
            here += [option] if value is None else [option, value]
    return here
