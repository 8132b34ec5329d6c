import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from covalign.papers.encodings import kernel_population
from covalign.papers.encodings.fig5 import claims, draw, low_frequencies, low_frequency_share, mosaic
from covalign.papers.exhibit import Measurements
from covalign.papers.reproduction import packed, unpacked
from covalign.papers.scales.laptop import LAPTOP
from covalign.papers.scales.named import SCALES
from covalign.papers.scales.smoke import SMOKE

SIDES = (32, 16, 8, 8, 4, 4, 2, 2)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.slow
def test_the_lowest_frequencies_are_orthonormal_and_begin_with_the_average():
    waves = low_frequencies(7).flatten(1)
    torch.testing.assert_close(waves @ waves.T, torch.eye(6, dtype=torch.float64))
    torch.testing.assert_close(waves[0], torch.full((49,), 1 / 7, dtype=torch.float64))


def test_smooth_kernels_lie_in_the_lowest_frequencies_and_white_noise_does_not():
    slopes = torch.arange(7.0).expand(4, 3, 7, 7)
    assert low_frequency_share(slopes) > 0.99
    assert low_frequency_share(noise(60, 60, 7, 7)) == pytest.approx(6 / 49, abs=0.01)
    checkered = (-1.0) ** torch.arange(7) * ((-1.0) ** torch.arange(7))[:, None]
    assert low_frequency_share(checkered.expand(2, 2, 7, 7)) < 0.05


def test_doubling_a_kernel_changes_no_share():
    weight = noise(3, 4, 7, 7)
    assert low_frequency_share(2 * weight) == pytest.approx(low_frequency_share(weight))


def measured(smooth: float = 0.7, redundant: float = 0.7, deep: float = 0.1) -> Measurements:
    """Return shares of layers on maps larger than 7x7, and on smaller ones."""
    rows, tensors = [], {}
    for depth, side in enumerate(SIDES, 1):
        for of, share in (("W - W0", 1.0), ("W", 0.5), ("white noise", 0.2)):
            large = side > 7
            row = {
                "smooth": share * (smooth if large else deep),
                "redundant": share * (redundant if large else deep),
            }
            rows.append({"of": of, "depth": depth, "side": side, "kernels": 64, **row})
            tensors[f"{of}|{depth}"] = noise(16, 3 if depth == 1 else 16, 7, 7, seed=depth).half()
    return Measurements({"layers": pd.DataFrame(rows), "networks": pd.DataFrame()}, tensors)


def test_smooth_and_redundant_kernels_satisfy_the_claims_wherever_a_kernel_fits_its_map():
    assert [claim.verdict for claim in claims(measured())] == ["holds", "holds"]
    assert [claim.verdict for claim in claims(measured(smooth=0.4))] == ["does not hold", "holds"]
    assert [claim.verdict for claim in claims(measured(redundant=0.4))] == ["holds", "does not hold"]
    assert claims(measured())[0].measured == pytest.approx(0.7)
    assert "7: 0.10, 8: 0.10" in claims(measured())[0].why


def test_a_mosaic_is_grey_at_zero_and_clipped_at_three_root_mean_squares():
    weight = torch.ones(4, 5, 7, 7)
    weight[0, 0] = 0
    weight[1, 1] = -100
    ax = mosaic(weight.half(), Figure().subplots())
    pixels = ax.images[0].get_array()
    assert pixels.shape == (32, 40)
    assert pixels[3, 3] == 128
    assert pixels[8 + 3, 8 + 3] == 1
    assert pixels[7, 7] == 255
    assert 128 < pixels[3, 8 + 3] < 140


def test_figure_5_redraws_from_its_files(tmp_path):
    original = measured()
    again = unpacked(tmp_path, packed(Measurements({"layers": original.tables["layers"]}, original.tensors)))
    figures = draw(again)
    assert set(figures) == {"encodings-fig5", "encodings-fig5-weights", "encodings-fig5-shares"}
    assert len([ax for ax in figures["encodings-fig5"].axes if ax.images]) == len(SIDES)
    assert claims(again) == claims(original)


@pytest.mark.parametrize("scale", [SMOKE, LAPTOP], ids=lambda scale: scale.name)
def test_the_shown_network_is_one_of_figure_1(scale):
    (shown,) = kernel_population.mosaic_training(scale).values()
    assert shown.spec in [each.spec for each in kernel_population.trainings(scale).values()]


@pytest.mark.parametrize("scale", SCALES.values(), ids=lambda scale: scale.name)
def test_the_shown_kernels_are_7x7(scale):
    (shown,) = kernel_population.mosaic_training(scale).values()
    assert (shown.spec.form, shown.spec.kernel_size, shown.spec.labels) == ("joint", 7, "true")
