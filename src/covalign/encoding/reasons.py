"""Why is a number missing, restricted, or to be read differently?

Code tells reasons apart by their kind; people read the sentence that belongs to it, with the numbers of the case.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

_PLACE = re.compile(r"\{[^}]*\}")


class Reason(Enum):
    """A kind of reason; its value is the sentence, with places for the numbers of the case."""

    STATED = "stated row by row, by an earlier version that did not keep kinds of reasons"
    GROUPED = "grouped convolution: its neurons see different channels, so that no rotation aligns them"
    OTHER_KERNEL = "kernels of different size"
    ZERO_WEIGHTS = "all weights are zero"
    NOT_ALIGNED = "not aligned: a bare weight file has no forward pass, or no images were given"
    FEW_SAMPLES = "alignment fitted to {} samples in {} dimensions, expected at least {}: pass more images"
    OTHER_NORMALIZATION = (
        "the two networks normalize pixels differently: aligned on images like any other layer"
    )
    OTHER_FILTERS = "the frozen filters of the two networks differ: aligned on images like any other layer"
    MATCHED_FILTERS = "the same frozen filters in another order or sign: slots matched one to one"
    OTHER_SIZE = "network {} takes images of {}x{} pixels: these, of {}x{}, were averaged to that size"
    LUMINANCE = "network {} takes one channel: it was given the luminance of colour images"
    OTHER_HEADS = "attention of {} heads in {} and of {} in {}: equal weights are not the same function there"
    MEAN_POSITIONS = (
        "inputs at {} and at {} positions, of which no grid is known: aligned on their means over positions"
    )
    SAME_WEIGHTS = "same weights up to a rotation, and so no independent sample"
    NOTHING_LEARNED = (
        "nothing learned: {} and {} eigenvalues above the bulk edge, expected at least 2 of each"
    )
    NO_CEILING = "the ceiling does not exceed chance"
    DESCRIPTIVE = "descriptive: cosine and chance are of the unshrunk covariances"
    NO_NOISE = (
        "noise level: half of the eigenvalues or more are zero, so that there is no noise to measure; are the "
        "weights pruned or low-rank?"
    )
    BULK_LEFT = "{} of {} eigenvalues have left the bulk, and with them the spiked model"
    BULK_TOO_SMALL = "{} eigenvalues are too few to recognize a bulk, expected at least {}"
    BULK_MISSHAPEN = (
        "the bulk does not look like noise: its {:.0%} quantile is {:.2f} times that of pure noise, expected "
        "{:.2f} to {}"
    )
    BULK_TOO_LOW = (
        "the bulk does not look like noise: its smallest eigenvalue is {:.2f} of the lower bulk edge, expected at "
        "least {}; was the network trained with weight decay?"
    )
    BULK_FAILED = "bulk check failed in the {} network: {}"
    ALREADY_SHRUNK = "the unshrunk eigenvalues were not given"
    UNDETECTABLE_SPIKES = "undetectable: {} eigenvalues above the noise in the {} network"
    UNDETECTABLE_POWER = "undetectable: even full agreement would be told from chance in {:.0%} of samples"
    SHARED_NOISE = (
        "not independent: the noise of both networks has correlation {:.2f}; was one trained from the other?"
    )
    OWN_LEVEL = "calibrated in units of the bulks' own noise, {:.2f} and {:.2f} times the initial one"
    MISFIT = (
        "no calibrated value: no simulated pair of spiked populations looks like this one (misfit {:.0f})"
    )

    @property
    def code(self) -> str:
        """What tables call it."""
        return self.name.lower()

    @property
    def sentence(self) -> str:
        """The sentence for any case, with an ellipsis for each number."""
        return _PLACE.sub("…", self.value)


@dataclass(frozen=True)
class Remark:
    """A reason in one case, with its numbers."""

    reason: Reason
    values: tuple[str | int | float, ...] = ()

    def __str__(self) -> str:
        """The sentence of this case."""
        return self.reason.value.format(*self.values)


Remarks = tuple[Remark, ...]


def in_words(remarks: Iterable[Remark]) -> str:
    """Return all remarks as one text, each once; empty where there are none."""
    return "; ".join(dict.fromkeys(map(str, remarks)))


def codes(remarks: Iterable[Remark]) -> tuple[str, ...]:
    """Return the kinds of the remarks, each once, as tables keep them."""
    return tuple(dict.fromkeys(remark.reason.code for remark in remarks))
