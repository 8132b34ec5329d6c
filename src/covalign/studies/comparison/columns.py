"""What is a row of a comparison's tables?"""

import math
from dataclasses import dataclass

from covalign.report.columns import column, documented

EQ6 = "Guth & Menard 2024, eq. 6"


@documented
@dataclass(frozen=True)
class LayerRow:
    """What one layer learned by itself."""

    network: str = column("")
    layer: str = column("")
    depth: int = column("place in forward order, from 1", digits=0)
    kind: str = column("convolution, grouped, depthwise, transposed or linear")
    form: str = column("joint: space and channels learned together; factorized: channels alone")
    kernel: str = column("height x width")
    d: int = column("length of a neuron", digits=0)
    neurons: int = column("number of output channels", digits=0)
    init_variance: float = column(
        "unit of the eigenvalues: variance of the initial weights, or the bulk's level"
    )
    init_known: bool = column("whether that unit comes from the initializer")
    kept: int = column("eigenvalues above the noise bulk", digits=0)
    effective_rank: float = column(
        "mean rank weighted by the shrunk eigenvalues", digits=1, source="Guth & Menard 2024, eq. 4"
    )
    participation_ratio: float = column("(sum of eigenvalues)² / sum of their squares", digits=1)
    entropy_rank: float = column("exponential of the eigenvalues' entropy", digits=1)
    stable_rank: float = column("sum of eigenvalues / the largest", digits=1)
    largest: float = column("largest eigenvalue", unit="in units of init_variance")
    smallest: float = column("smallest eigenvalue", unit="in units of init_variance")
    lower_edge: float = column("lower edge of the noise bulk", source="Marchenko & Pastur 1967")
    upper_edge: float = column("upper edge of the noise bulk", source="Marchenko & Pastur 1967")
    bulk_ok: bool = column("whether the unlearned part of the weights looks like noise", title="noise bulk")
    bulk_reason: str = column("why it does not", title="remark")


@documented
@dataclass(frozen=True)
class PairRow:
    """How alike two layers are."""

    a: str = column("first network", title="network a")
    b: str = column("second network", title="network b")
    layer_a: str = column("")
    layer_b: str = column("")
    depth: int = column("of layer a, from 1", digits=0)
    form: str = column("joint, factorized or linear")
    d: int = column("length of a neuron in the wider network", digits=0)
    neurons_a: int = column("", digits=0)
    neurons_b: int = column("", digits=0)
    kept_a: int = column("eigenvalues of a above the noise bulk", digits=0)
    kept_b: int = column("eigenvalues of b above the noise bulk", digits=0)
    effective_rank_a: float = column("", digits=1, source="Guth & Menard 2024, eq. 4")
    effective_rank_b: float = column("", digits=1, source="Guth & Menard 2024, eq. 4")
    bulk_ok: bool = column("whether both unlearned parts look like noise", title="noise bulk")
    alignment_correlation: float = column(
        "correlation of aligned inputs on held-out images", title="alignment", digits=2
    )
    debiased: float = column(
        "R: agreement of what neurons have in common; 0 unrelated, 1 the same",
        title="R",
        digits=2,
        default=math.nan,
    )
    debiased_low: float = column("lower end of R's 95 % interval", title="R low", digits=2, default=math.nan)
    debiased_high: float = column("upper end", title="R high", digits=2, default=math.nan)
    debiased_z: float = column(
        "R's numerator in units of its spread by chance", title="z", digits=1, default=math.nan
    )
    debiased_p: float = column("probability of that z by chance", title="p (R)", digits=3, default=math.nan)
    debiased_unaligned: float = column("R without alignment", title="R unaligned", digits=2, default=math.nan)
    debiased_shuffled: float = column(
        "R with an alignment fitted to images in shuffled order",
        title="R shuffled",
        digits=2,
        default=math.nan,
    )
    debiased_centred: float = column(
        "R with an alignment fitted to features less their mean at each position",
        title="R centred",
        digits=2,
        default=math.nan,
    )
    debiased_slots: float = column(
        "part of R that stays when channels are turned at random and filter slots kept",
        title="R slots",
        digits=2,
        default=math.nan,
    )
    debiased_space: float = column(
        "R of the spatial patterns of convolutions, which needs no alignment and is no part of R",
        title="R of space",
        digits=2,
        default=math.nan,
    )
    debiased_without_top: float = column(
        "R without the leading common direction", title="R without 1", digits=2, default=math.nan
    )
    debiased_without_5: float = column(
        "R without the five leading ones", title="R without 5", digits=2, default=math.nan
    )
    debiased_plug_in: float = column("cosine of the second moments as they are", digits=2, default=math.nan)
    debiased_cross: float = column("U_12: mean agreement of neurons of a with neurons of b", default=math.nan)
    debiased_within_a: float = column("U_11: of different neurons of a", default=math.nan)
    debiased_within_b: float = column("U_22: of different neurons of b", default=math.nan)
    coverage: float = column(
        "how much of what the wider layer learned the narrower one's inputs reach", digits=2, default=math.nan
    )
    reproducible_a: float = column(
        "directions that a learned reproducibly, at least", digits=0, default=math.nan
    )
    reproducible_b: float = column("the same of b", digits=0, default=math.nan)
    same_start: bool = column("whether both had the same initial weights", default=False)
    debiased_reason: str = column(
        "how R has to be read, or why it is missing", title="remark on R", default=""
    )
    cosine: float = column("Bures–Wasserstein cosine", digits=2, default=math.nan)
    chance: float = column("cosine with a randomly rotated self", digits=2, default=math.nan)
    ceiling: float = column("cosine with a resampled self", digits=2, default=math.nan)
    similarity: float = column("a the reference", digits=2, source=EQ6, default=math.nan)
    similarity_reversed: float = column("b the reference", digits=2, source=EQ6, default=math.nan)
    calibrated: float = column("model-based estimate for the populations", digits=2, default=math.nan)
    low: float = column("lower end of its 95 % interval", digits=2, default=math.nan)
    high: float = column("upper end of its 95 % interval", digits=2, default=math.nan)
    p_value: float = column("against chance", title="p", digits=3, default=math.nan)
    unaligned: float = column("the same without alignment, mean of both orders", digits=2, default=math.nan)
    shuffled: float = column("the same, aligned on images in shuffled order", digits=2, default=math.nan)
    reason: str = column("why numbers are missing, restricted or special", title="remark", default="")
    reason_codes: tuple[str, ...] = column("the kinds of these reasons", default=())
    matched_by: str = column("what the two layers were matched by", title="matched by", default="")
    matched_sure: float = column(
        "1 / the number of layers of the deeper network that this evidence leaves open",
        title="match sure",
        digits=2,
        default=math.nan,
    )


MEASURED = (
    "cosine",
    "chance",
    "ceiling",
    "similarity",
    "similarity_reversed",
    "calibrated",
    "low",
    "high",
    "p_value",
    "unaligned",
    "shuffled",
)
"""What a pair of layers was measured by."""
