"""How is a pair of networks compared?"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """What decides the numbers of a comparison, beside the networks and the images.

    Attributes:
        draws: for chance and ceiling.
        seed: of everything random.
        controls: whether alignments are also fitted to pairs of different images.
        calibrate: whether the calibrated similarity is estimated.
        curves: whether shared variance is measured direction by direction, and R without leading directions.
        reference: whether networks are aligned to what all have in common, and not pair by pair.
    """

    draws: int = 10
    seed: int = 0
    controls: bool = True
    calibrate: bool = True
    curves: bool = True
    reference: bool = False
