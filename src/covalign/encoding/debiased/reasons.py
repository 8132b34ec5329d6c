"""Why is a number missing, or not what it seems? One name and one sentence for each case."""

from enum import StrEnum


class Reason(StrEnum):
    """Why a value or its interval is withheld, or how it has to be read; empty (false) where nothing is amiss.

    A member is a string, so that it can be stored in tables; `sentence` is for people. Where several apply, the
    first in the order of this list is given.
    """

    NONE = ""
    LAST_LAYER = "last_layer"
    NO_CHANNELS = "no_channels"
    TOO_FEW_NEURONS = "too_few_neurons"
    NO_PAIRS = "no_pairs"
    RELATED = "related"
    SAME_MOMENT = "same_moment"
    TOO_LITTLE_LEARNED = "too_little_learned"
    TOO_FEW_SEEDS = "too_few_seeds"
    REPELLING = "repelling"
    ZERO_ROWS = "zero_rows"
    NO_INTERVAL = "no_interval"

    @property
    def sentence(self) -> str:
        """What the reason says, in one sentence."""
        return SENTENCES[self]


SENTENCES = {
    Reason.NONE: "",
    Reason.LAST_LAYER: "rows of the last layer are paired by class and share a shift: compare them class by class",
    Reason.NO_CHANNELS: "too few input channels: nothing is left in which neurons could differ from all others",
    Reason.TOO_FEW_NEURONS: "fewer than four neurons that are not zero: their common directions are not measurable",
    Reason.NO_PAIRS: "every pair of networks was left out",
    Reason.TOO_LITTLE_LEARNED: "neurons of one network have too little in common to tell how much is shared",
    Reason.TOO_FEW_SEEDS: "fewer than three seeds on a side: the spread over seeds is not known",
    Reason.RELATED: "neurons of the networks match one to one: they are no independent draws, pairs are left out",
    Reason.SAME_MOMENT: "the weights are equal but for a rotation of the neurons: they are no independent draws",
    Reason.REPELLING: "neurons of a layer repel each other: the value is an upper bound here",
    Reason.ZERO_ROWS: "neurons that are zero were dropped",
    Reason.NO_INTERVAL: "without the neurons themselves there is neither interval nor correction of the bias",
}
