import pytest

from covalign.training.loop import train
from covalign.training.spec import TrainingSpec
from samples.pictures import corners


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
