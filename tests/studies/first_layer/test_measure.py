"""One record with the measured first layer and everything predicted without it."""

import json
import math

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from covalign.data.images import Images
from covalign.errors import InputError
from covalign.first_layer.energy import energy_profile
from covalign.first_layer.initialization import initial_filters
from covalign.first_layer.patches import patch_covariance
from covalign.first_layer.prediction import predicted_energy
from covalign.networks.network import Layer, Network
from covalign.studies.first_layer.measure import PUBLISHED_TIME, channel_normalization, first_layer_summary
from covalign.training.loop import train
from covalign.training.spec import TrainingSpec


def network_of(weight: torch.Tensor, kind: str = "convolution", **more) -> Network:
    return Network("planted", (Layer("conv", kind, weight.float(), **more),))


@pytest.fixture(scope="module")
def planted(images: Images):
    """Filters drawn from the formula itself, at tau lambda_1^2 = 20."""
    patches = patch_covariance(images, 3, normalization=channel_normalization(images))
    profile = predicted_energy(patches, 20 / float(patches.standard_deviations[0]) ** 2)
    return first_layer_summary(network_of(initial_filters(patches, profile, 64)), images, draws=20)


def test_channels_are_brought_to_mean_zero_and_spread_one(images):
    pixels = channel_normalization(images)(images.pixels).double()
    torch.testing.assert_close(pixels.mean((0, 2, 3)), torch.zeros(3).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(pixels.std((0, 2, 3), correction=0), torch.ones(3).double())


def test_filters_drawn_from_the_formula_are_found_at_their_time(planted):
    assert planted.fit.correlation == pytest.approx(1, abs=1e-6)
    assert planted.scaled_time == pytest.approx(20, rel=1e-3)
    assert (planted.before, planted.linear_cnn_time) == (None, None)
    assert planted.agreements["formula, fitted"] == pytest.approx(planted.fit.correlation)


def test_patches_are_those_that_the_layer_reads(images):
    weight = torch.randn(8, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    strided = first_layer_summary(network_of(weight, stride=(3, 3)), images, draws=2)
    every = first_layer_summary(network_of(weight), images, draws=2)
    side = images.pixels.shape[-1]
    assert (strided.patches.stride, strided.patches.positions) == (3, (side // 3) ** 2)
    assert (every.patches.stride, every.patches.positions) == (1, (side - 2) ** 2)


def test_without_a_network_the_prediction_stands_alone(images):
    summary = first_layer_summary(None, images, kernel_size=3)
    assert summary.scaled_time == PUBLISHED_TIME
    assert list(summary.profiles) == ["formula", "linear CNN, random labels", "linear CNN, these labels"]
    assert (summary.profile, summary.fit, summary.agreements) == (None, None, {})
    assert set(summary.autocorrelations) == {
        "images",
        "random filters",
        "predicted filters",
        "perfect whitener",
    }
    assert summary.verdict.sentence.startswith("too few images to tell")


def test_images_of_one_class_get_no_verdict(images):
    single = Images(images.pixels, torch.zeros(len(images), dtype=torch.int64), ("all",), "smooth", "train")
    summary = first_layer_summary(None, single)
    assert (summary.dependence, summary.verdict) == (None, None)
    assert "linear CNN, these labels" not in summary.profiles


@pytest.mark.slow
def test_a_run_gives_its_initial_weights_and_its_linear_cnn_time(images):
    wide = Images(
        images.pixels.repeat(1, 1, 4, 4)[..., :32, :32], images.labels, images.classes, "w", "train"
    )
    spec = TrainingSpec(
        form="joint", width=0.05, epochs=2, batch_size=150, drop_last=True, learning_rate=0.01,
        schedule="constant", precision="float32",
    )  # fmt: skip
    run = train(spec, images=(wide, wide), progress=False)
    summary = first_layer_summary(run, wide, draws=5)
    layer = run.network.layers[0]
    leading = float(summary.patches.standard_deviations[0]) ** 2
    steps, positions = 2 * 2, 30 * 30
    assert summary.linear_cnn_time == pytest.approx(leading * 2 * 0.01 * layer.neurons * steps / positions)
    expected = energy_profile(layer.weight, summary.patches, layer.initial)
    torch.testing.assert_close(summary.profile.energy, expected.energy)
    assert summary.before.energy.norm() > 0


def test_a_network_that_does_not_read_these_pixels_is_refused(images):
    for network in (
        network_of(torch.randn(8, 1, 3, 3)),
        network_of(torch.randn(8, 3, 3, 5)),
        network_of(torch.randn(8, 3, 1, 1), factorized=True),
        network_of(torch.randn(8, 3, 1, 1), kind="linear"),
    ):
        with pytest.raises(
            InputError, match=r"first layer 'conv' is .* expected a convolution of the images' 3"
        ):
            first_layer_summary(network, images)
    with pytest.raises(InputError, match="no layers were read"):
        first_layer_summary(Network("empty", ()), images)


def test_saved_tables_hold_every_profile_and_every_figure(planted, tmp_path):
    folder = planted.save(tmp_path / "out")
    results = json.loads((folder / "results.json").read_text())
    assert (results["kind"], results["schema_version"]) == ("first layer", 2)
    assert results["profile"]["filters"] == 64
    assert results["fit"]["correlation"] == planted.fit.correlation
    assert math.isclose(results["verdict"]["agreement"], planted.verdict.agreement)
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "profiles.parquet"), planted.table)
    assert load_file(folder / "tensors.safetensors")["weight"].shape == (64, 3, 3, 3)


def test_the_report_names_the_network_and_its_fit(planted, tmp_path):
    html = planted.report(tmp_path / "report.html").read_text("utf-8")
    assert "planted on smooth" in html
    assert "Sampling alone limits 64 filters" in html


def test_images_before_the_network_still_work_and_warn(images):
    network = network_of(torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(0)))
    with pytest.warns(DeprecationWarning, match=r"pass first_layer_summary\(network, images\)"):
        found = first_layer_summary(images, network, draws=2)
    assert found.network == network.name
    with pytest.warns(DeprecationWarning, match="images, network"):
        assert first_layer_summary(images).fit is None
    with pytest.raises(InputError, match="got images of type NoneType, expected Images"):
        first_layer_summary(network)
