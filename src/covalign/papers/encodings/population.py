"""Which factorized networks do the encodings' figures compare, and how alike are they?

Figures 2-4 of Guth & Menard (2024) look at one population: several seeds on every data set; and on one data set,
true labels beside random ones, trained on the same images. Seeds differ between all of them, because networks of
equal seed share their initial weights and are alike for that reason.

Networks are compared in blocks, all pairs of a block on the same images: the seeds of one data set, the seeds of two
data sets on images of both, and those of both kinds of labels. A pair of one data set is read from the block of that
data set alone. Q of two conditions takes everything, the pairs of seeds too, from one block, so that what alignments
lose on its images cancels.
"""

import itertools
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

import pandas as pd

from covalign.data.mixture import mixture
from covalign.encoding.covariance import WeightCovariance, weight_covariance
from covalign.encoding.similarity import haar_level
from covalign.encoding.slots import slot_level
from covalign.errors import InputError
from covalign.networks.network import Layer
from covalign.papers.bench import Bench
from covalign.papers.exhibit import Training
from covalign.papers.intervals import over_networks
from covalign.papers.label import Label
from covalign.papers.scales.scale import Scale
from covalign.studies.comparison.measure import compare
from covalign.studies.comparison.orders import mean_of_orders, rows_of
from covalign.studies.comparison.record import Comparison, load_comparison

SAME, ACROSS = "same data", "two data sets"
TRUE, TRUE_RANDOM, RANDOM = "true labels", "true and random labels", "random labels a and b"
KINDS = (SAME, ACROSS, TRUE, TRUE_RANDOM, RANDOM)

_ENCODING, _TRUE, _RANDOM = "encoding", "true labels", "random labels"
"""What sets the networks apart (`Label.kind`)."""


@dataclass(frozen=True)
class Pair:
    """Two networks to compare."""

    a: Label
    b: Label

    @property
    def names(self) -> tuple[str, str]:
        """What the two are called in tables."""
        return str(self.a), str(self.b)

    @property
    def kind(self) -> str:
        """Of which kind the pair is."""
        kinds = (self.a.kind, self.b.kind)
        if kinds == (_ENCODING, _ENCODING):
            return SAME if self.a.data == self.b.data else ACROSS
        return {(_TRUE, _TRUE): TRUE, (_RANDOM, _RANDOM): RANDOM}.get(kinds, TRUE_RANDOM)

    @property
    def group(self) -> str:
        """Which pairs are replicates of each other."""
        return self.kind if self.a.kind != _ENCODING else f"{self.a.data} - {self.b.data}"


@dataclass(frozen=True)
class Block:
    """Networks that are all compared with each other on the same images."""

    labels: tuple[Label, ...]

    @property
    def data(self) -> tuple[str, ...]:
        """On which data sets they were trained."""
        return tuple(dict.fromkeys(label.data for label in self.labels))

    @property
    def pairs(self) -> list[Pair]:
        """The pairs that are read from this block."""
        every = (Pair(a, b) for a, b in itertools.combinations(self.labels, 2))
        return [pair for pair in every if len(self.data) == 1 or pair.kind == ACROSS]

    @property
    def conditions(self) -> dict[str, str]:
        """Which condition each network stands for: its data set, or its kind of labels."""
        return {str(label): label.data if label.kind == _ENCODING else label.kind for label in self.labels}


def replicate(data: str, number: int) -> Label:
    """Return the label of one of the networks of a data set."""
    return Label(data, _ENCODING, number, "{data} {number}")


def labelled(scale: Scale, kind: str, number: int) -> Label:
    """Return the label of one of the networks of "true labels" or "random labels"."""
    return Label(scale.labels, kind, number, "{kind} {number}")


def data_set_trainings(scale: Scale) -> dict[Label, Training]:
    """Return the networks of every data set."""
    recipe = scale.recipes[_ENCODING]
    return {
        replicate(data, i): Training(_ENCODING, data, replace(recipe, seed=10 * index + i))
        for index, (data, networks) in enumerate(scale.encodings.items())
        for i in range(networks)
    }


def label_trainings(scale: Scale) -> dict[Label, Training]:
    """Return the networks of true and of random labels; each random one has a realization of its own."""
    needed = {}
    for start, kind in ((100, _TRUE), (110, _RANDOM)):
        for i in range(scale.replicates):
            spec = replace(scale.recipes[kind], seed=start + i)
            if kind == _RANDOM:
                spec = replace(spec, label_realization=i)
            needed[labelled(scale, kind, i)] = Training(kind, scale.labels, spec)
    return needed


def trainings(scale: Scale) -> dict[Label, Training]:
    """Return the whole population by label."""
    return data_set_trainings(scale) | label_trainings(scale)


def seeds(scale: Scale, data: str) -> Block:
    """Return the block of all networks of a data set."""
    return Block(tuple(replicate(data, i) for i in range(scale.encodings[data])))


def blocks(scale: Scale) -> list[Block]:
    """Return every block: data sets, pairs of data sets, labels."""
    alone = [seeds(scale, data) for data in scale.encodings]
    across = [Block(one.labels + other.labels) for one, other in itertools.combinations(alone, 2)]
    return [*alone, *across, Block(tuple(label_trainings(scale)))]


def pairs(scale: Scale) -> list[Pair]:
    """Return every pair that is compared."""
    return [pair for block in blocks(scale) for pair in block.pairs]


def comparison(bench: Bench, block: Block) -> Comparison:
    """Return the comparison of a block, measured once and kept beside the runs.

    Alignments are fitted to training images of its data sets in equal parts, without labels; for seeds of one data
    set also to shuffled images. No calibrated value is taken: these recipes leave few layers the noise that it needs.
    """
    runs = {str(label): bench.runs[label] for label in block.labels}
    sets = [bench.images(data) for data in block.data]
    images = mixture(sets, max_images=bench.scale.images, seed=bench.seed)
    found = [(name, run.key) for name, run in runs.items()]
    folder = bench.kept(found, images.fingerprint, bench.scale.draws, bench.seed)
    try:
        return load_comparison(folder)
    except InputError:
        compare(
            runs,
            images,
            by=block.conditions,
            max_images=None,
            draws=bench.scale.draws,
            seed=bench.seed,
            controls={pair.kind for pair in block.pairs} == {SAME},
            calibrate=False,
            layer_map=False,
            progress=bench.progress,
        ).save(folder)
        return load_comparison(folder)


def compared(bench: Bench) -> pd.DataFrame:
    """Return `Comparison.table` of all pairs, with their kind, data sets and group, and the slot controls.

    Columns beyond those of `Comparison.table`: ``kind, data_a, data_b, group``; and for two seeds on one data set
    ``slots``, the normalized similarity that is left once channels are turned at random (the share of the filter
    slots), and ``turned``, that of turning everything.
    """
    tables = []
    every = blocks(bench.scale)
    for done, block in enumerate(every):
        found = comparison(bench, block).table
        for pair in block.pairs:
            table = rows_of(found, pair.names)
            table = table.assign(kind=pair.kind, data_a=pair.a.data, data_b=pair.b.data, group=pair.group)
            if pair.kind == SAME:
                table["slots"], table["turned"] = zip(
                    *(_controls(bench, pair, row.layer_a, row) for row in table.itertuples()), strict=True
                )
            tables.append(table)
        bench.progress("blocks of networks", (done + 1) / len(every))
    return pd.concat(tables, ignore_index=True)


def conditions(bench: Bench) -> pd.DataFrame:
    """Return Q of data sets and of kinds of labels: `Comparison.by_condition` with ``kind`` and ``group``."""
    tables = []
    for block in blocks(bench.scale):
        crossed = next((pair for pair in block.pairs if pair.kind in (ACROSS, TRUE_RANDOM)), None)
        if crossed is not None:
            found = comparison(bench, block).by_condition
            tables.append(found.assign(kind=crossed.kind, group=crossed.group))
    return pd.concat(tables, ignore_index=True)


def _controls(bench: Bench, pair: Pair, name: str, row: object) -> tuple[float, float]:
    """Return the normalized similarity with channels turned at random, and with everything turned."""
    one, other = (_covariance(bench.runs[label].network.layer(name)) for label in (pair.a, pair.b))
    chance, ceiling = float(row.chance), float(row.ceiling)  # type: ignore[attr-defined]
    if min(one.kept, other.kept) < 2 or not ceiling > chance:
        return float("nan"), float("nan")
    slots = slot_level(one, other, slots_of(bench, pair.a), draws=bench.scale.draws, seed=bench.seed)
    spectra = [each.eigenvalues[each.eigenvalues > 0] for each in (one, other)]
    turned = haar_level(spectra[0], spectra[1], one.dimension, draws=bench.scale.draws, seed=bench.seed)
    return (slots - chance) / (ceiling - chance), (turned - chance) / (ceiling - chance)


def _covariance(layer: Layer) -> WeightCovariance:
    return weight_covariance(layer.matrix, layer.init_variance or 1.0).shrunken


def slots_of(bench: Bench, label: Label) -> int:
    """Return K, the number of frozen filters of every channel."""
    first = bench.runs[label].network.layers[0]
    return first.channels // bench.runs[label].spec.in_channels


MEASURES = (
    "debiased",
    "debiased_unaligned",
    "debiased_shuffled",
    "debiased_centred",
    "debiased_slots",
    "debiased_without_top",
    "debiased_without_5",
    "similarity",
    "cosine",
    "unaligned",
    "shuffled",
    "slots",
    "turned",
    "alignment_correlation",
)


def summarized(table: pd.DataFrame, measures: Iterable[str] = MEASURES) -> pd.DataFrame:
    """Return means and 95 % intervals over networks, a row per group, layer and measure.

    "similarity" is the mean of both orders of eq. 6; layers without a value in any pair are left out.
    """
    table = table.assign(similarity=mean_of_orders(table))
    rows = []
    for (kind, group, depth), found in table.groupby(["kind", "group", "depth"], sort=False):
        both = list(zip(found["a"], found["b"], strict=True))
        for measure in measures:
            estimate = over_networks(both, found[measure].tolist())
            if estimate.pairs:
                place = {"kind": kind, "group": group, "depth": depth, "measure": measure}
                rows.append(place | asdict(estimate))
    return pd.DataFrame(rows)


def accuracies(bench: Bench) -> pd.DataFrame:
    """Return a row per network: `Label.columns`, ``images, labels, train_accuracy, test_accuracy, epochs``."""
    rows = []
    for label, run in bench.runs.items():
        last = run.history[-1]
        rows.append(
            {
                **label.columns,
                "images": run.facts.images,
                "labels": run.spec.labels,
                "train_accuracy": last.train_accuracy,
                "test_accuracy": last.test_accuracy,
                "epochs": run.spec.epochs,
            }
        )
    return pd.DataFrame(rows)
