"""Figure 1 on planted kernel_population, whose patterns are known."""

import math
from functools import cache

import pandas as pd
import pytest
import torch

from covalign.encoding.spatial import SpatialCovariance, spatial_covariance
from covalign.networks.network import Layer, Network
from covalign.papers.encodings import kernel_population
from covalign.papers.encodings.fig1 import (
    COMPARED,
    TO_THE_LAST,
    UPDATE,
    claims,
    draw,
    eigenvalue_share,
    patterns,
)
from covalign.papers.encodings.kernel_population import CONTROL, RANDOM, Kernels
from covalign.papers.exhibit import Measurements
from covalign.papers.reproduction import packed, unpacked
from covalign.papers.scales.named import SCALES
from covalign.papers.scales.smoke import SMOKE

SIDES = (32, 16, 8, 8, 2)
POPULATION = kernel_population.population(SMOKE)


def frame(size: int, seed: int, distortion: float = 0.0) -> torch.Tensor:
    """Return orthonormal patterns in columns, common to all, turned by about ``distortion``."""
    common = torch.linalg.qr(torch.randn(size**2, size**2, generator=torch.Generator().manual_seed(size)))[0]
    noise = torch.randn(size**2, size**2, generator=torch.Generator().manual_seed(100 + seed))
    return torch.linalg.qr(common + distortion * noise / size)[0]


def network(each: Kernels, number: int, kind: str) -> Network:
    layers = []
    for depth in range(1, 6):
        generator = torch.Generator().manual_seed(1000 * number + depth)
        initial = torch.randn(24, 24, each.size, each.size, generator=generator)
        own = (
            depth in (1, 5) or kind == "nothing shared" or (kind == "random apart" and each.labels == RANDOM)
        )
        basis = frame(each.size, 10 * number + depth, 0.05)
        if each.labels == RANDOM:
            basis = frame(each.size, 10 * number, 0.15)
        if own or (kind == "turned layers" and depth == 3):
            basis = frame(each.size, 10 * number + depth, 50.0)
        rate = 0.5 if kind == "turned layers" else 0.3 + 0.1 * depth
        scale = torch.exp(-rate * torch.arange(each.size**2))
        coefficients = torch.randn(24 * 24, each.size**2, generator=generator)
        update = (coefficients * scale) @ basis.T
        layers.append(
            Layer(f"stages.{depth}", "convolution", initial + update.view_as(initial), initial=initial)
        )
    return Network(str(each.label), tuple(layers))


@cache
def planted(kind: str = "as the paper says") -> Measurements:
    networks = {str(each.label): network(each, number, kind) for number, each in enumerate(POPULATION)}
    found = patterns(POPULATION, networks, {str(each.label): SIDES for each in POPULATION})
    accuracies = [
        {
            "network": str(each.label),
            "labels": "uniform" if each.labels == RANDOM else "true",
            "train_accuracy": 0.99,
        }
        for each in POPULATION
    ]
    return Measurements({**found.tables, "networks": pd.DataFrame(accuracies)}, found.tensors)


def failed(kind: str) -> str:
    return " ".join(claim.sentence for claim in claims(planted(kind)) if claim.verdict != "holds")


@pytest.mark.slow
def test_planted_common_patterns_satisfy_every_claim():
    assert failed("as the paper says") == ""


@pytest.mark.slow
def test_networks_without_common_patterns_are_found_out():
    found = failed("nothing shared")
    assert "share their leading 3x3" in found
    assert "share their leading 7x7" in found
    assert "at other ranks" in found
    assert "first layer's patterns differ" in found


@pytest.mark.slow
def test_random_labels_with_patterns_of_their_own_are_found_out():
    assert "Random labels" in failed("random apart")


@pytest.mark.slow
def test_layers_that_differ_in_their_eigenvectors_are_found_out():
    assert "mainly in the eigenvalues" in failed("turned layers")


@pytest.mark.slow
def test_layers_on_small_maps_are_reported_and_not_judged():
    pairs = planted().tables["pairs"]
    rows = pairs[(pairs["of"] == UPDATE) & (pairs["rank"] == 5) & (pairs["kernel"] == 7)]
    means = rows.groupby("part")["overlap"].mean()
    assert means[COMPARED] > 0.9 > means[TO_THE_LAST]


@pytest.mark.slow
def test_initial_weights_overlap_by_chance_alone():
    pairs = planted().tables["pairs"]
    rows = pairs[(pairs["of"] == "W0") & (pairs["part"] == COMPARED)]
    assert (rows["overlap"] - rows["chance"]).mean() == pytest.approx(0, abs=0.03)


def test_intervals_are_over_networks_and_leave_the_control_out():
    first = claims(planted())[0]
    true = [each for each in POPULATION if each.size == 3 and each.labels != CONTROL]
    assert f"over {len(true) * (len(true) + 1) // 2} pairs of networks" in first.why
    assert first.interval is not None
    low, high = first.interval
    assert low < first.measured < high


@pytest.mark.slow
def test_figure_1_redraws_from_its_files(tmp_path):
    again = unpacked(tmp_path, packed(planted()))
    assert [claim.verdict for claim in claims(again)] == [claim.verdict for claim in claims(planted())]
    figures = draw(again)
    drawn = [ax for ax in figures["encodings-fig1"].axes if ax.images]
    assert len(drawn) == 5
    assert {ax.get_title() for ax in drawn} >= {"cifar10, true labels, 3x3", "cifar10, random labels, 7x7"}
    assert "encodings-fig1-overlaps" in figures


def test_the_eigenvalue_share_is_one_for_common_eigenvectors_and_small_for_random_ones():
    basis = torch.linalg.qr(
        torch.randn(9, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    )[0]

    def covariance(values: torch.Tensor, vectors: torch.Tensor) -> SpatialCovariance:
        return SpatialCovariance(values, vectors, (3, 3), 1)

    spectra = [torch.arange(9, 0, -1, dtype=torch.float64) ** power for power in (1, 2, 3)]
    assert eigenvalue_share([covariance(values, basis) for values in spectra]) == pytest.approx(1)
    generator = torch.Generator().manual_seed(1)
    noise = [spatial_covariance(torch.randn(8, 8, 3, 3, generator=generator)) for _ in range(200)]
    assert eigenvalue_share(noise) == pytest.approx(2 / 10, abs=0.05)


@pytest.mark.parametrize("scale", SCALES.values(), ids=lambda scale: scale.name)
def test_no_two_joint_networks_begin_alike(scale):
    needed = kernel_population.trainings(scale)
    seeds = [each.spec.seed for each in needed.values()]
    assert len(set(seeds)) == len(seeds)
    assert {each.spec.kernel_size for each in needed.values()} == set(scale.kernel_sizes)
    random = {label for label, each in needed.items() if each.spec.labels == "uniform"}
    assert len(random) == len(scale.kernel_sizes)


@pytest.mark.parametrize("scale", SCALES.values(), ids=lambda scale: scale.name)
def test_the_control_differs_from_a_random_network_in_labels_and_seed_alone(scale):
    needed = kernel_population.trainings(scale)
    size, data = min(scale.kernel_sizes), scale.spatial[0]
    control, random = (needed[Kernels(data, size, kind, 0).label].spec for kind in (CONTROL, RANDOM))
    differing = {
        name for name in control.__dataclass_fields__ if getattr(control, name) != getattr(random, name)
    }
    assert differing == {"labels", "seed"}


def test_missing_numbers_are_not_taken_for_agreement():
    broken = planted()
    pairs = broken.tables["pairs"].assign(overlap=math.nan)
    found = claims(Measurements({**broken.tables, "pairs": pairs}, broken.tensors))
    assert "holds" not in {claim.verdict for claim in found if "eigenvalues" not in claim.sentence}
