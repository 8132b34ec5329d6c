"""What can a verdict on two networks not exclude?"""

from enum import Enum


class Doubt(Enum):
    """What remains possible; the value is the sentence."""

    B_FROM_A = "that {b} was derived from {a}"
    A_FROM_B = "that {a} was derived from {b}"
    COMMON_ANCESTOR = "that both were derived from a third network, trained or not"
    THROUGH_MIDDLE = "that one was derived from the other by way of {middle}"
    SAME_START = "that both started from the same initial weights, and nothing else is shared"
    FIXED_FILTERS = (
        "that the layers that agree are filters that both makers took from elsewhere, learned or not"
    )
    SAME_TASK = (
        "that the two agree because they were trained on one task: a layer from the inputs to the classes has no "
        "order of neurons that a test could exchange"
    )
    INDEPENDENT = "that the two were trained independently and learned alike"
    UNRELATED = "that the two learned unrelated things, which only images can tell"
    WEAK_TRACE = "a derivation after which the neurons' cosines fell below {detectable:.2f} in every layer"
    OTHER_COORDINATES = (
        "a derivation that was hidden on purpose or by surgery: turned coordinates, removed or added neurons, "
        "replaced first layers"
    )
    DISTILLED = (
        "that one learned from the other's answers (distillation), which leaves no trace in the neurons"
    )
    OUTSIDE_LAYERS = "differences in what is not read as a layer: biases, normalization, other parameters"

    def of(self, a: str, b: str, middle: str = "", detectable: float = 0.0) -> str:
        """Return the sentence for two networks."""
        return self.value.format(a=a, b=b, middle=middle, detectable=detectable)
