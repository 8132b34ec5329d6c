"""Which networks do the first layer's tables and figures compare, and what did their first layers learn?

The exhibits of Chowers & Weiss (2023) look at one population: several networks on every data set, with true
labels and with permuted ones on the same images; on the first data set also a narrower network and a residual
one; and networks of two classes only. All seeds differ, because networks of equal seed share their initial weights
and are alike for that reason. Profiles are those of what was learned, final less initial weights, as in the
authors' code; patch components come from 10,000 training images, as theirs do.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import pandas as pd
from jaxtyping import Float64
from torch import Tensor

from covalign.first_layer.energy import (
    EnergyProfile,
    correlation,
    energy_profile,
    profile_correlation,
    sampling_limit,
)
from covalign.first_layer.patches import PatchCovariance
from covalign.first_layer.prediction import PAPER_SEARCH, fit_energy
from covalign.papers.bench import Bench
from covalign.papers.exhibit import Training
from covalign.papers.first_layer.transformations import first_patches
from covalign.papers.intervals import over_networks
from covalign.papers.label import Label
from covalign.papers.scales.scale import Scale
from covalign.training.run import Run

TRUE, RANDOM = "true labels", "random labels"
NARROW, RESIDUAL = "half the width", "residual network"
BINARY, DECILES, OWN = "two classes", "energy deciles", "own labels"
"""Kinds of networks."""

INITIALS = "initial weights of two networks"
SEEDS, SEEDS_RANDOM, LABELS = "two seeds", "two random labelings", "true and random labels"
WIDTHS, ARCHITECTURES = "two widths", "VGG and residual network"
PAIRS = {
    frozenset({TRUE}): SEEDS,
    frozenset({RANDOM}): SEEDS_RANDOM,
    frozenset({TRUE, RANDOM}): LABELS,
    frozenset({TRUE, NARROW}): WIDTHS,
    frozenset({TRUE, RESIDUAL}): ARCHITECTURES,
}
"""What pairs of networks are called."""

PATCH_IMAGES = 10_000
FITTED = 0.9
"""Training accuracy from which a network counts as having learned its labels (our choice)."""

CHOICES = (
    "VGG without biases, batch norm after ReLU without scale and shift, one linear layer on the mean over positions; "
    "the paper's code has vgg11_bn with three linear layers and dropout",
    "weights start from PyTorch's default initialization, not from He's",
)


def true_trainings(scale: Scale) -> dict[Label, Training]:
    """Return the networks of true labels on every data set."""
    recipe = scale.recipes["first layer"]
    return {
        Label(data, TRUE, i): Training("first layer", data, replace(recipe, seed=40 * index + i))
        for index, (data, count) in enumerate(scale.first_layers.items())
        for i in range(count)
    }


def random_trainings(scale: Scale) -> dict[Label, Training]:
    """Return the networks of permuted labels; each has a realization of its own."""
    recipe = replace(scale.recipes["first layer"], labels="permuted")
    return {
        Label(data, RANDOM, i): Training(
            "first layer", data, replace(recipe, seed=40 * index + 10 + i, label_realization=i)
        )
        for index, (data, count) in enumerate(scale.first_layers.items())
        for i in range(count)
    }


def narrow_training(scale: Scale) -> dict[Label, Training]:
    """Return a network of half the width on the first data set."""
    data, recipe = next(iter(scale.first_layers)), scale.recipes["first layer"]
    spec = replace(recipe, width=recipe.width / 2, seed=20)
    return {Label(data, NARROW, 0): Training("first layer", data, spec)}


def residual_training(scale: Scale) -> dict[Label, Training]:
    """Return a ResNet-20 on the first data set."""
    data, recipe = next(iter(scale.first_layers)), scale.recipes["first layer"]
    spec = replace(recipe, architecture="resnet20", width=1.0, seed=21)
    return {Label(data, RESIDUAL, 0): Training("first layer", data, spec)}


def binary_trainings(scale: Scale) -> dict[Label, Training]:
    """Return a network for every pair of classes."""
    recipe = scale.recipes["two classes"]
    return {
        Label(data, BINARY, 0): Training("two classes", data, replace(recipe, seed=1000 + i))
        for i, data in enumerate(scale.binary)
    }


@dataclass(frozen=True, eq=False)
class FirstLayer:
    """What the first layer of one network learned by one epoch.

    Attributes:
        label: of the network in the exhibit.
        data: name of the data set over whose components.
        epoch: of the weights.
        last: whether that is the last epoch.
        learned: profile of the weights less the initial ones.
        initial: profile of the initial weights.
    """

    label: Label
    data: str
    epoch: int
    last: bool
    learned: EnergyProfile
    initial: EnergyProfile

    @property
    def network(self) -> str:
        """Its name in tables and figures."""
        return str(self.label)

    @property
    def kind(self) -> str:
        """Which kind of network, such as `TRUE` or `RANDOM`."""
        return self.label.kind


def patches_of(bench: Bench, data: Iterable[str]) -> dict[str, PatchCovariance]:
    """Return the patch statistics of data sets, each once."""
    return {
        name: first_patches(bench.images(name).sample(PATCH_IMAGES, seed=bench.seed))
        for name in dict.fromkeys(data)
    }


def first_layers(
    bench: Bench, needed: Mapping[Label, Training], patches: Mapping[str, PatchCovariance]
) -> list[FirstLayer]:
    """Return what every network learned by every epoch that was kept, the last one included."""
    found = []
    for label, training in needed.items():
        run, covariance = bench.runs[label], patches[training.data]
        before = first_weight(run, 0)
        for epoch in sorted({*run.spec.checkpoint_epochs, run.spec.epochs} - {0}):
            found.append(
                FirstLayer(
                    label,
                    training.data,
                    epoch,
                    epoch == run.spec.epochs,
                    energy_profile(first_weight(run, epoch), covariance, before),
                    energy_profile(before, covariance),
                )
            )
    return found


def first_weight(run: Run, epoch: int | None = None) -> Float64[Tensor, "K c k k"]:
    """Return the filters that read the pixels, after an epoch (None: final)."""
    return run.weights(epoch)[f"{run.network.layers[0].name}.weight"].double()


def agreements(layers: Sequence[FirstLayer], names: Mapping[frozenset[str], str]) -> pd.DataFrame:
    """Return the correlation of profiles: pairs of networks on one data set, and each network with its start.

    Args:
        layers: of any number of networks, data sets and epochs; pairs are taken at the same epoch.
        names: what a pair of two kinds is called; other pairs are left out. A set of one kind names pairs of two
            networks of that kind.

    Returns:
        A row per value: ``data, quantity, a, b, epoch, last, value, limit``. Quantities are those of ``names``,
        "KIND and initial weights" (``b`` is empty), and "initial weights of two networks", the level that two
        profiles reach that have learned nothing. ``limit`` is that of `covalign.first_layer.energy.sampling_limit`.
    """
    rows = []
    for one in layers:
        rows.append(_agreement(one, "", f"{one.kind} and initial weights", one.learned, one.initial))
    for one, other in combinations(layers, 2):
        quantity = names.get(frozenset((one.kind, other.kind)))
        comparable = one.network != other.network and (one.data, one.epoch) == (other.data, other.epoch)
        if quantity and comparable:
            rows.append(_agreement(one, other.network, quantity, one.learned, other.learned))
            if one.last and other.last:
                rows.append(_agreement(one, other.network, INITIALS, one.initial, other.initial))
    return pd.DataFrame(rows)


def _agreement(
    one: FirstLayer, other: str, quantity: str, a: EnergyProfile, b: EnergyProfile
) -> dict[str, object]:
    limit = sampling_limit(a, b) if quantity in PAIRS.values() else math.nan
    return {**_which(one, quantity, other), "value": profile_correlation(a, b), "limit": limit}


def _which(one: FirstLayer, quantity: str, other: str = "") -> dict[str, object]:
    """Return the columns that say what a row is about."""
    place = {"data": one.data, "quantity": quantity, "a": one.network, "b": other}
    return place | {"epoch": one.epoch, "last": one.last}


def fits(
    layers: Sequence[FirstLayer], patches: Mapping[str, PatchCovariance], draws: int = 200
) -> pd.DataFrame:
    """Fit the one-parameter form to every profile.

    Returns:
        A row per network and epoch: ``data, quantity`` (the kind), ``a`` (the network), ``b`` (empty), ``epoch, last,
        value`` (the correlation), ``limit`` (what the filters' number allows), ``scaled_time`` (tau lambda_1^2),
        ``authors`` (the correlation within the range of times that the authors search), ``unfitted`` (with lambda
        itself, the formula's limit for short times, which fits nothing), and of the same fit to random
        filters ``baseline`` (mean), ``baseline_sd``, ``baseline_95`` (95 % quantile) and ``p_value``.
    """
    rows = []
    for layer in layers:
        covariance = patches[layer.data]
        fit = fit_energy(layer.learned, covariance, draws=draws)
        authors = fit_energy(layer.learned, covariance, draws=1, search=PAPER_SEARCH)
        rows.append(
            {
                **_which(layer, layer.kind),
                "value": fit.correlation,
                "limit": sampling_limit(layer.learned, fit.predicted),
                "scaled_time": fit.tau * float(covariance.standard_deviations[0]) ** 2,
                "authors": authors.correlation,
                "unfitted": correlation(layer.learned.energy, covariance.standard_deviations),
                "baseline": fit.baseline.mean,
                "baseline_sd": fit.baseline.spread,
                "baseline_95": float(fit.baseline.correlations.quantile(0.95)),
                "p_value": fit.p_value,
            }
        )
    return pd.DataFrame(rows)


def curves(layers: Sequence[FirstLayer], patches: Mapping[str, PatchCovariance]) -> pd.DataFrame:
    """Return the profiles of the last epoch, each divided by its maximum.

    Returns:
        A row per network and component: ``data, kind, network, number, component`` (from 1), ``deviation``
        (lambda), ``energy, initial, filters``.
    """
    tables = []
    for layer in layers:
        if layer.last:
            energy, initial = layer.learned.energy, layer.initial.energy
            tables.append(
                pd.DataFrame(
                    {
                        "data": layer.data,
                        "kind": layer.kind,
                        "network": layer.network,
                        "number": layer.label.number,
                        "component": range(1, len(energy) + 1),
                        "deviation": patches[layer.data].standard_deviations.tolist(),
                        "energy": (energy / energy.max()).tolist(),
                        "initial": (initial / initial.max()).tolist(),
                        "filters": layer.learned.filters,
                    }
                )
            )
    return pd.concat(tables, ignore_index=True)


def mean_curves(table: pd.DataFrame, column: str = "energy") -> pd.DataFrame:
    """Return the mean profile over networks of one kind and data set, divided by its maximum.

    Returns:
        A row per component; a column per (data, kind).
    """
    means = table.pivot_table(index="component", columns=["data", "kind"], values=column, sort=False)
    return means / means.max()


def summarized(values: pd.DataFrame) -> pd.DataFrame:
    """Return means, standard deviations and 95 % intervals over networks, by data set, quantity and epoch.

    Values are correlations, so that intervals end at -1 and 1.
    """
    rows = []
    for (data, quantity, epoch), found in values.groupby(["data", "quantity", "epoch"], sort=False):
        alone = [
            (a, b) if isinstance(b, str) and b else (a, a)
            for a, b in zip(found["a"], found["b"], strict=True)
        ]
        estimate = over_networks(alone, found["value"].tolist())
        rows.append(
            {
                "data": data,
                "quantity": quantity,
                "epoch": epoch,
                "last": bool(found["last"].all()),
                "mean": estimate.mean,
                "sd": float(found["value"].std()),
                "low": estimate.low if math.isnan(estimate.low) else max(estimate.low, -1.0),
                "high": estimate.high if math.isnan(estimate.high) else min(estimate.high, 1.0),
                "count": estimate.pairs,
                "limit": float(found["limit"].mean()),
            }
        )
    return pd.DataFrame(rows)


def interval(found: pd.Series) -> tuple[float, float] | None:
    """Return the interval of a row of `summarized`; None where there are too few networks for one."""
    return None if math.isnan(found["low"]) else (float(found["low"]), float(found["high"]))


def averaged(found: pd.Series) -> str:
    """Say of how many values a row of `summarized` is the mean, and how far they scatter."""
    if found["count"] < 2:
        return "a single value"
    return f"mean of {found['count']:.0f} (standard deviation {found['sd']:.2f})"
