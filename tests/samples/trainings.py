"""Small trainings in memory, a second each."""

from covalign.training.loop import train
from covalign.training.spec import TrainingSpec
from samples.pictures import corners


def run_of(seed: int, form: str = "factorized", **changes):
    spec = TrainingSpec(
        images="corners",
        width=0.04,
        epochs=1,
        batch_size=16,
        learning_rate=0.02,
        precision="float32",
        form=form,
        seed=seed,
        **changes,
    )
    return train(spec, images=(corners(64, 0, "train"), corners(20, 1, "test")), progress=False)
