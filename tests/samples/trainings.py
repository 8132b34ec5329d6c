"""Small trainings in memory, a second each."""

import torch

from covalign.data.images import Images
from covalign.training.loop import train
from covalign.training.spec import TrainingSpec


def squares(count: int, seed: int, split: str, channels: int = 3) -> Images:
    """Noise with a bright square whose corner tells the class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(4, (count,), generator=generator)
    pixels = torch.randint(120, (count, channels, 32, 32), generator=generator, dtype=torch.uint8)
    for image, label in zip(pixels, labels.tolist(), strict=True):
        top, left = 16 * (label // 2), 16 * (label % 2)
        image[label % channels, top : top + 14, left : left + 14] += 130
    return Images(pixels, labels, ("a", "b", "c", "d"), "squares", split)


def run_of(seed: int, form: str = "factorized", **changes):
    spec = TrainingSpec(
        images="squares",
        width=0.04,
        epochs=1,
        batch_size=16,
        learning_rate=0.02,
        precision="float32",
        form=form,
        seed=seed,
        **changes,
    )
    return train(spec, images=(squares(64, 0, "train"), squares(20, 1, "test")), progress=False)
