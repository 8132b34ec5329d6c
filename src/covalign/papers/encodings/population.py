"""Which factorized networks do the encodings' figures compare, and how alike is each pair?

Figures 2-4 of Guth & Menard (2024) look at one population: several seeds on every data set; and on one data set,
true labels beside random ones, trained on the same images. Seeds differ between all of them, because networks of
equal seed share their initial weights and are alike for that reason. Within one sample all pairs are compared; of two
samples network i with network i, so that these pairs are independent.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

import pandas as pd

from covalign.data.images import Images
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
from covalign.studies.comparison.orders import mean_of_orders
from covalign.studies.comparison.record import Comparison, load_comparison

SAME, ACROSS = "same data", "two data sets"
TRUE, TRUE_RANDOM, RANDOM = "true labels", "true and random labels", "random labels a and b"
KINDS = (SAME, ACROSS, TRUE, TRUE_RANDOM, RANDOM)


@dataclass(frozen=True)
class Pair:
    """Two networks to compare, and of which kind the pair is."""

    kind: str
    a: Label
    b: Label

    @property
    def data(self) -> tuple[str, str]:
        """On which data sets they were trained."""
        return self.a.data, self.b.data

    @property
    def group(self) -> str:
        """Which pairs are replicates of each other."""
        return self.kind if self.kind in (TRUE, TRUE_RANDOM, RANDOM) else " - ".join(self.data)


def replicate(data: str, number: int) -> Label:
    """Return the label of one of the networks of a data set."""
    return Label(data, "encoding", number, "{data} {number}")


def labelled(scale: Scale, kind: str, number: int) -> Label:
    """Return the label of one of the networks of "true labels" or "random labels"."""
    return Label(scale.labels, kind, number, "{kind} {number}")


def data_set_trainings(scale: Scale) -> dict[Label, Training]:
    """Return the networks of every data set."""
    recipe = scale.recipes["encoding"]
    return {
        replicate(data, i): Training("encoding", data, replace(recipe, seed=10 * index + i))
        for index, data in enumerate(scale.encodings)
        for i in range(scale.replicates)
    }


def label_trainings(scale: Scale) -> dict[Label, Training]:
    """Return the networks of true and of random labels; each random one has a realization of its own."""
    needed = {}
    for start, kind in ((100, "true labels"), (110, "random labels")):
        for i in range(scale.replicates):
            spec = replace(scale.recipes[kind], seed=start + i)
            if kind == "random labels":
                spec = replace(spec, label_realization=i)
            needed[labelled(scale, kind, i)] = Training(kind, scale.labels, spec)
    return needed


def trainings(scale: Scale) -> dict[Label, Training]:
    """Return the whole population by label."""
    return data_set_trainings(scale) | label_trainings(scale)


def pairs(scale: Scale) -> list[Pair]:
    """Return every pair that is compared."""
    found = []
    count = range(scale.replicates)
    for data in scale.encodings:
        found += [
            Pair(SAME, replicate(data, i), replicate(data, j)) for i, j in itertools.combinations(count, 2)
        ]
    for one, other in itertools.combinations(scale.encodings, 2):
        found += [Pair(ACROSS, replicate(one, i), replicate(other, i)) for i in count]
    true, random = ([labelled(scale, f"{kind} labels", i) for i in count] for kind in ("true", "random"))
    for kind, labels in ((TRUE, true), (RANDOM, random)):
        found += [Pair(kind, *both) for both in itertools.combinations(labels, 2)]
    return found + [Pair(TRUE_RANDOM, *both) for both in zip(true, random, strict=True)]


def comparison(bench: Bench, pair: Pair) -> Comparison:
    """Return the comparison of a pair, measured once and kept beside the runs.

    Alignments are fitted to training images of both data sets in equal parts, without labels; two seeds on one data
    set are also aligned on shuffled images.
    """
    a, b = bench.runs[pair.a], bench.runs[pair.b]
    images = alignment_images(bench, pair)
    names = f"{pair.a} | {pair.b}"
    folder = bench.kept(names, a.key, b.key, images.fingerprint, bench.scale.draws, bench.seed)
    try:
        return load_comparison(folder)
    except InputError:
        found = compare(
            {str(pair.a): a, str(pair.b): b},
            images,
            max_images=None,
            draws=bench.scale.draws,
            seed=bench.seed,
            controls=pair.kind == SAME,
        )
        found.save(folder)
        return load_comparison(folder)


def alignment_images(bench: Bench, pair: Pair) -> Images:
    """Return training images of both data sets in equal parts."""
    sets = [bench.images(data) for data in dict.fromkeys(pair.data)]
    return mixture(sets, max_images=bench.scale.images, seed=bench.seed)


def compared(bench: Bench, chosen: Sequence[Pair]) -> pd.DataFrame:
    """Return `Comparison.table` of all pairs, with their kind, data sets and group, and the slot controls.

    Columns beyond those of `Comparison.table`: ``kind, data_a, data_b, group``; ``slots``, the normalized similarity
    that is left once channels are turned at random (the share of the filter slots), and ``turned``, that of turning
    everything.
    """
    tables = []
    for done, pair in enumerate(chosen):
        found = comparison(bench, pair)
        data_a, data_b = pair.data
        table = found.table.assign(kind=pair.kind, data_a=data_a, data_b=data_b, group=pair.group)
        table["slots"], table["turned"] = zip(
            *(_controls(bench, pair, row.layer_a, row) for row in table.itertuples()), strict=True
        )
        tables.append(table)
        bench.progress("pairs of networks", (done + 1) / len(chosen))
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
    "similarity",
    "calibrated",
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
