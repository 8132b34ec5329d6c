import pytest
import torch

from covalign.data.images import Images
from covalign.training.loop import train
from covalign.training.spec import TrainingSpec

from .planted import generator


def corners(count: int, seed: int, split: str) -> Images:
    """Noise with a bright square whose corner tells the class."""
    labels = torch.randint(4, (count,), generator=generator(seed))
    pixels = torch.randint(120, (count, 3, 32, 32), generator=generator(seed + 1), dtype=torch.uint8)
    for image, label in zip(pixels, labels.tolist(), strict=True):
        top, left = 16 * (label // 2), 16 * (label % 2)
        image[label % 3, top : top + 14, left : left + 14] += 130
    return Images(pixels, labels, ("a", "b", "c", "d"), "corners", split)


@pytest.fixture(scope="session")
def trained():
    """A small network that learned to tell four corners apart, its checkpoints, and its images."""
    images = corners(128, 0, "train"), corners(64, 5, "test")
    spec = TrainingSpec(
        images="corners",
        form="joint",
        width=0.08,
        epochs=8,
        batch_size=16,
        learning_rate=0.02,
        schedule="one-cycle",
        precision="float32",
        flip=False,
        crop_padding=0,
        checkpoint_epochs=(3,),
    )
    return train(spec, images=images, progress=False), *images
