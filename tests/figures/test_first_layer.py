"""Panels show the numbers of their records."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch

from covalign.data.images import Images
from covalign.figures import first_layer as panels
from covalign.first_layer.dependence import label_dependence
from covalign.first_layer.energy import energy_profile
from covalign.first_layer.patches import PatchCovariance, patch_covariance
from covalign.first_layer.prediction import fit_energy, predicted_energy
from covalign.first_layer.whitening import autocorrelation


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    figure.canvas.draw()
    plt.close(figure)


@pytest.fixture(scope="module")
def images() -> Images:
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(60, 3, 10, 10, generator=generator)
    smooth = torch.nn.functional.avg_pool2d(noise, 3, stride=1, padding=1)
    pixels = (255 * smooth).to(torch.uint8)
    return Images(pixels, torch.arange(60) % 3, ("a", "b", "c"), "noise", "train")


@pytest.fixture(scope="module")
def patches(images: Images) -> PatchCovariance:
    return patch_covariance(images.pixels.double() - 127, 3)


def test_profiles_are_drawn_divided_by_their_maximum(ax, patches):
    measured = energy_profile(torch.randn(8, 3, 3, 3), patches)
    predicted = predicted_energy(patches, 1e-4)
    panels.energy_profiles({"net_$a": measured, "predicted": predicted}, ax)
    for line, profile in zip(ax.lines, (measured, predicted), strict=True):
        drawn = torch.tensor(line.get_ydata().tolist(), dtype=torch.float64)
        torch.testing.assert_close(drawn, profile.energy / profile.energy.max())
    assert ax.lines[1].get_marker() == ""


def test_each_time_is_a_curve_on_a_logarithmic_scale(ax, patches):
    panels.predicted_times(patches, (0.1, 10, 1000), ax)
    assert len(ax.lines) == 3
    assert ax.get_yscale() == "log"


def test_measured_fit_stands_among_its_baseline(ax, patches):
    fit = fit_energy(predicted_energy(patches, 1e-4), patches, draws=30)
    panels.fit_baseline(fit, ax)
    assert ax.lines[0].get_xdata()[0] == fit.correlation
    assert sum(bar.get_height() for bar in ax.patches) == 30


def test_mosaic_places_filters_in_rows_with_zero_at_mid_grey():
    weight = torch.zeros(3, 3, 2, 2)
    weight[0, 0, 0, 1] = 2.0
    weight[2, 1, 1, 0] = -0.5
    sheet = panels.mosaic(weight, columns=2)
    assert sheet.shape == (5, 5, 3)
    assert sheet[0, 1].tolist() == [255, 128, 128]
    assert sheet[4, 0].tolist() == [128, 0, 128]
    assert (sheet[:, 2] == 255).all()
    assert (sheet[3:, 3:] == 255).all()


def test_grey_filters_are_drawn_in_grey(ax):
    panels.filter_mosaic(torch.tensor([[[[1.0, -1.0], [0.0, 0.0]]]]), ax)
    picture = ax.images[0].get_array()
    assert picture[0, 0].tolist() == [255, 255, 255]
    assert picture[0, 1].tolist() == [0, 0, 0]


def test_every_patch_component_has_its_picture(ax, patches):
    panels.patch_components(patches, ax)
    assert ax.images[0].get_array().shape == (11, 35, 3)


def test_autocorrelations_start_at_one(ax, images):
    panels.autocorrelations({"input": autocorrelation(images.pixels.double() - 127, max_shift=5)}, ax)
    assert ax.lines[0].get_ydata()[0] == 1


def test_consistency_shows_a_row_for_each_thing_that_varies(ax):
    table = pd.DataFrame(
        {
            "varied": ["seed", "seed", "labels"],
            "correlation": [0.9, 1.0, 0.5],
            "sampling_limit": [0.97, 0.97, 0.97],
        }
    )
    panels.consistency(table, ax)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["seed", "labels"]
    means = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "D"]
    assert means == pytest.approx([0.95, 0.5])


def test_label_correlations_show_every_class_and_the_random_band(ax, images, patches):
    dependence = label_dependence(images, patches)
    panels.label_correlations(dependence, ax)
    drawn = torch.tensor([line.get_ydata().tolist() for line in ax.lines], dtype=torch.float64)
    torch.testing.assert_close(drawn, dependence.correlations)
