"""How large is the step at each moment of a training?"""

from covalign.training.spec import TrainingSpec


def learning_rate(spec: TrainingSpec, step: int, steps_per_epoch: int) -> float:
    """Return the rate of step ``step``, counted from 0 over the whole training.

    "step": rate x decay_factor^floor(epoch / decay_every). "one-cycle" with T steps in all and a rise of
    a = warmup T: rate x min((t + 1) / a, (T - t) / (T - a)), the piecewise linear cycle of Smith (2017).

    Args:
        spec: the recipe.
        step: 0 ... T - 1.
        steps_per_epoch: batches an epoch.
    """
    if spec.schedule == "constant":
        return spec.learning_rate
    if spec.schedule == "step":
        return spec.learning_rate * spec.decay_factor ** (step // steps_per_epoch // spec.decay_every)
    total = spec.epochs * steps_per_epoch
    rise = spec.warmup * total
    falling = (total - step) / (total - rise) if rise < total else 1.0
    return spec.learning_rate * min(1.0, (step + 1) / rise if rise else 1.0, falling)
