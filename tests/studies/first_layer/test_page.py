import dataclasses
import json
import math

import plotly.graph_objects as go
import pytest
import torch

from covalign.first_layer.dependence import LabelDependence
from covalign.first_layer.energy import energy_profile
from covalign.first_layer.patches import patch_covariance
from covalign.first_layer.prediction import fit_energy, predicted_energy
from covalign.first_layer.verdict import Verdict
from covalign.first_layer.whitening import autocorrelation
from covalign.report.page import Gallery, Plots, Table
from covalign.studies.first_layer.record import FirstLayerSummary


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(40, 3, 6, 6, generator=generator)
    return torch.nn.functional.interpolate(coarse, size=(12, 12), mode="bilinear")


@pytest.fixture(scope="module")
def alone(images):
    """A prediction without a network."""
    patches = patch_covariance(images, 3)
    return FirstLayerSummary("noise", patches, {"whitening limit": predicted_energy(patches, math.inf)})


@pytest.fixture(scope="module")
def study(images, alone):
    """Filters that follow the formula exactly, of a network with a hostile name."""
    patches = alone.patches
    tau = 5 / float(patches.standard_deviations[0]) ** 2
    energy = predicted_energy(patches, tau).energy
    weight = (energy * patches.eigenvectors).T.reshape(-1, 3, 3, 3)
    profile = energy_profile(weight, patches)
    return dataclasses.replace(
        alone,
        network="</script><b>net",
        weight=weight,
        profile=profile,
        fit=fit_energy(profile, patches, draws=20),
        autocorrelations={"images": autocorrelation(images, max_shift=4)},
        provenance={"command": "covalign energy"},
    )


def test_a_profile_that_follows_the_formula_is_said_to(study):
    first = study.page().summary[0]
    assert first.startswith("What the first layer learned follows the formula")
    assert "correlates 1.00" in first


def test_a_fit_like_random_weights_denies_nothing(study):
    fit = dataclasses.replace(study.fit, p_value=0.4, correlation=0.3)
    answer = dataclasses.replace(study, fit=fit).page().answers[0][1]
    assert answer.startswith("Not shown: ")
    assert answer.endswith("(p = 0.4).")


def test_a_fit_like_random_weights_is_said_to_be_chance(study):
    fit = dataclasses.replace(study.fit, p_value=0.4, correlation=0.3)
    assert (
        "cannot be told from chance by the formula" in dataclasses.replace(study, fit=fit).page().summary[0]
    )


def test_unknown_initial_weights_are_a_caution(study):
    assert "lifts its tail" in study.page().summary[1]
    assert "lifts its tail" not in " ".join(dataclasses.replace(study, before=study.profile).page().summary)


def test_without_a_network_it_is_the_prediction_alone(alone):
    page = alone.page()
    assert page.title == "What will a first layer learn from these images?"
    assert page.summary == ("This is a prediction, from the images alone: no network was trained or read.",)
    assert [section.key for section in page.sections] == ["profile", "pictures", "method", "origin"]


def test_the_table_holds_every_profile_as_measured(study):
    assert list(study.table.columns) == [
        "component",
        "standard deviation",
        "measured",
        "formula, fitted",
        "whitening limit",
    ]
    assert study.table["measured"].tolist() == study.profile.energy.tolist()


def test_plots_divide_each_profile_by_its_maximum(study):
    parts = [part for section in study.page().sections for part in section.parts]
    plots = [part for part in parts if isinstance(part, Plots)]
    for trace in plots[0].panels[0].data:
        assert max(trace["y"]) == pytest.approx(1.0)
    for panel in (panel for plot in plots for panel in plot.panels):
        go.Figure(data=list(panel.data), layout=panel.layout)
    for table in (part for part in parts if isinstance(part, Table)):
        assert {len(row) for row in table.rows} == {len(table.columns)}


def test_filters_and_components_are_colour_pictures(study):
    galleries = [
        part for section in study.page().sections for part in section.parts if isinstance(part, Gallery)
    ]
    assert [len(gallery.rows[0][1]) for gallery in galleries] == [27, 27]
    assert galleries[0].rows[0][1][0].pixels.shape == (3, 3, 3)


def test_labels_are_judged_with_their_chance_level(alone):
    correlations = torch.zeros(2, 27, dtype=torch.float64)
    dependence = LabelDependence(
        correlations, correlations + 1, correlations[0], correlations, correlations.T, 400
    )
    verdict = Verdict(False, 0.9, 0.8, 1.0, 0.0, 0.0, 0.05, "labels will not change the first layer")
    page = dataclasses.replace(alone, dependence=dependence, verdict=verdict).page()
    assert page.summary[-1] == "Labels will not change the first layer."
    section = next(section for section in page.sections if section.key == "labels")
    assert "that of a linear network" in section.prose[1]
    assert section.parts[0].panels[0].layout["shapes"][0]["y1"] == pytest.approx(1.96 * dependence.chance)
    assert "n = 400" in section.parts[0].caption


def test_the_report_is_one_escaped_file(study, tmp_path):
    html = study.report(tmp_path / "report.html").read_text("utf-8")
    assert "</script><b>" not in html
    assert json.dumps("covalign energy")[1:-1] in html
    assert len(html) < 10e6
