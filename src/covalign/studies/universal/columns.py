"""What is said of every layer of an encoding, of every network in it, and of every layer that is initialized?"""

from dataclasses import dataclass

from covalign.report.columns import column, documented


@documented
@dataclass(frozen=True)
class LayerRow:
    """What the networks of a population have in common at one layer."""

    layer: str = column("in the first network")
    form: str = column("factorized, joint or linear")
    d: int = column("length of a neuron", digits=0)
    neurons: int = column("of all networks together", digits=0)
    rank: int = column("columns of the barycenter's factor that are kept", digits=0)
    agreement: float = column(
        "mean over pairs of networks of tr(A_i C_ij A_j^T): how far their inputs agree, at most 1", digits=2
    )
    score: float = column(
        "universality: U_12 across conditions / U_12 within; 1 where the condition leaves no trace", digits=2
    )
    low: float = column("lower end of its 95 % interval over networks", digits=2)
    high: float = column("upper end", digits=2)
    explained: float = column(
        "variance of a network beyond chance along the others' directions / the most that any can capture, mean",
        digits=2,
    )
    explained_rotated: float = column("the same of networks turned at random", digits=2)
    explained_untrained: float = column("the same of the untrained networks", digits=2)
    shared_rank: int = column("leading directions, each shared by at least half of the networks", digits=0)
    shared_rank_rotated: int = column("the same of networks turned at random", digits=0)
    shared_rank_untrained: int = column("the same of the untrained networks; -1 where not known", digits=0)
    trace_ratio: float = column(
        "trace of the barycenter / mean trace of its members; the less, the less they agree", digits=2
    )
    reason: str = column("why there is no score or no interval", title="remark")


@documented
@dataclass(frozen=True)
class MemberRow:
    """A network that an encoding was built from."""

    network: str = column("its name")
    condition: str = column("data set and labels")
    run: str = column("key of its training")
    seed: int = column("of its training", digits=0)
    images: int = column("training images", digits=0)
    epochs: int = column("of its training", digits=0)
    accuracy: float = column("on test images; of training images where these were not passed", digits=3)


@documented
@dataclass(frozen=True)
class FilledRow:
    """A layer that was initialized."""

    layer: str = column("of the new network")
    source: str = column("encoding, or images (closed form)")
    neurons: int = column("rows drawn", digits=0)
    inputs: int = column("input coordinates of the new layer", digits=0)
    alignment: float = column("correlation with the reference's inputs on held-out images", digits=2)
    coverage: float = column(
        "share of the rows' energy that lies within the new layer's inputs; 1 at the encoding's width or more",
        digits=2,
    )
    received: float = column("root mean square of what the layer receives", digits=3)
    given: float = column("root mean square of what it gives", digits=3)
    gain: float = column(
        "factor by which its weights were scaled to give 1; 1 where a norm does that", digits=3
    )
    samples: int = column("positions that the alignment was fitted to", digits=0)
    remark: str = column("what is to be said of it")
