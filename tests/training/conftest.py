import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch

from covalign.data.images import Images
from covalign.training.loop import train
from covalign.training.spec import TrainingSpec
from covalign.training.store import RunStore


def _squares(n: int, seed: int, split: str) -> Images:
    """Noise with a bright square whose corner tells the class: learnable by the smallest network."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(4, (n,), generator=generator)
    pixels = torch.randint(120, (n, 3, 32, 32), generator=generator, dtype=torch.uint8)
    for image, label in zip(pixels, labels.tolist(), strict=True):
        top, left = 16 * (label // 2), 16 * (label % 2)
        image[label % 3, top : top + 14, left : left + 14] += 130
    return Images(pixels, labels, ("a", "b", "c", "d"), "squares", split)


def _tiny(**changes) -> TrainingSpec:
    """A factorized VGG of 2 to 10 channels and a recipe of a second."""
    values = {
        "images": "squares",
        "width": 0.02,
        "epochs": 2,
        "batch_size": 16,
        "learning_rate": 0.02,
        "schedule": "one-cycle",
        "precision": "float32",
        **changes,
    }
    return TrainingSpec(**values)


@pytest.fixture(scope="session")
def tiny():
    return _tiny


@pytest.fixture(scope="session")
def images() -> tuple[Images, Images]:
    return _squares(96, 0, "train"), _squares(40, 1, "test")


@pytest.fixture(scope="session")
def archive(tmp_path_factory) -> str:
    """The same images as a file, for trainings in other processes."""
    path = tmp_path_factory.mktemp("images") / "squares.npz"
    arrays = {}
    for split in (_squares(96, 0, "train"), _squares(40, 1, "test")):
        arrays |= {
            f"{split.split}_images": split.pixels.numpy(),
            f"{split.split}_labels": split.labels.numpy(),
        }
    np.savez(path, **arrays)
    return str(path)


@pytest.fixture(scope="session")
def stored(tmp_path_factory, images):
    """A store and its one finished run, which tests must not change."""
    store = RunStore(tmp_path_factory.mktemp("runs"))
    run = train(_tiny(epochs=3, checkpoint_epochs=(1,)), store, images=images, progress=False)
    return store, run
