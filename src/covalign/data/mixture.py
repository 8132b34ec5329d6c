"""How are several sets of images used as one?

Alignments between networks of different data sets are fitted to equal parts of all their training images, so
that neither network is at home more than the other (our choice; Guth & Menard 2024 do not say).
"""

from collections.abc import Sequence

import torch

from covalign.data.images import Images
from covalign.errors import InputError


def mixture(sets: Sequence[Images], *, max_images: int | None = None, seed: int = 0) -> Images:
    """Mix image sets in equal parts, in turn; labels tell which set an image is from.

    Args:
        sets: images of equal size and number of channels; one set is returned as it is, or a sample of it.
        max_images: total number; the smallest set limits every part.
        seed: of the random draws.

    Raises:
        InputError: no sets, or images of different shapes.
    """
    if not sets:
        raise InputError("images: got no set of images, expected at least one")
    if len(sets) == 1:
        return sets[0].sample(max_images, seed=seed) if max_images else sets[0]
    shapes = {s.name: tuple(s.pixels.shape[1:]) for s in sets}
    if len(set(shapes.values())) > 1:
        listed = ", ".join(f"{name}: {'x'.join(map(str, shape))}" for name, shape in shapes.items())
        raise InputError(f"images of different shapes cannot be mixed ({listed}); give one resolution")
    part = min(len(s) for s in sets)
    if max_images is not None:
        part = max(1, min(part, max_images // len(sets)))
    drawn = [s.sample(part, seed=seed) for s in sets]
    return Images(
        torch.stack([s.pixels[:part] for s in drawn], 1).flatten(0, 1),
        torch.arange(len(sets)).repeat(part),
        tuple(s.name for s in sets),
        " + ".join(s.name for s in sets),
        sets[0].split,
    )
