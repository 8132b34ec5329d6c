"""Every result of a study saves, loads, reports and shows itself in the same way."""

import json
from dataclasses import replace

import pandas as pd
import plotly.graph_objects as go
import pytest
import torch
from matplotlib.figure import Figure

from covalign.errors import InputError, UncheckedWarning
from covalign.networks.network import Layer, Network
from covalign.report.page import Plots, Table
from covalign.storage.folder import MANIFEST
from covalign.studies.comparison.measure import compare
from covalign.studies.cross_layer.measure import cross_layer_map
from covalign.studies.cross_layer.record import CrossLayerMap
from covalign.studies.difference.measure import diff
from covalign.studies.difference.record import Difference
from covalign.studies.first_layer.measure import first_layer_summary
from covalign.studies.lineage.measure import lineage
from covalign.studies.result import frame_html, picture
from covalign.studies.spatial.measure import spatial_summary
from covalign.studies.trajectory.record import Trajectory
from covalign.studies.truncation.record import Truncation
from samples.networks import images, module, read


def course() -> Trajectory:
    rows = [
        {
            "network": "run seed 0",
            "epoch": epoch,
            "reference": reference,
            "layer": layer,
            "depth": depth,
            "kept": epoch,
            "effective_rank": 2.0 + epoch,
            "relative_change": 0.1 * epoch * depth,
            "energy_moved": 0.1 * epoch,
            "similarity": 0.2 * epoch,
            "similarity_reversed": 0.25 * epoch,
            "cosine": 0.5,
            "chance": 0.4,
            "reason": "",
        }
        for epoch in (0, 1, 3)
        for reference in ("final", "other")
        for depth, layer in enumerate(("one", "two"), 1)
    ]
    return Trajectory(pd.DataFrame(rows), {"seed": 0})


def truncation() -> Truncation:
    rows = [
        {
            "network": "net",
            "layer": "conv",
            "depth": 2,
            "basis": basis,
            "d": 8,
            "rank": rank,
            "accuracy": accuracy,
        }
        for basis, accuracies in (("weights", (0.1, 0.8, 0.9)), ("random", (0.1, 0.2, 0.5)))
        for rank, accuracy in zip((0, 2, 8), accuracies, strict=True)
    ]
    return Truncation(pd.DataFrame(rows).assign(untruncated=0.9), {"seed": 0})


@pytest.fixture(scope="module")
def results():
    base, other = (read(module("joint", widths=(12, 12), seed=seed)) for seed in (0, 1))
    moved = Network("moved", tuple(Layer(e.name, e.kind, 1.1 * e.weight) for e in base.layers))
    return {
        "difference": diff(base, moved, draws=2),
        "spatial": spatial_summary([base, other]),
        "first layer": first_layer_summary(base, images(40), draws=3),
        "prediction": first_layer_summary(images=images(40), kernel_size=3),
        "cross-layer map": cross_layer_map(base, other, images(40), draws=2),
        "trajectory": course(),
        "truncation": truncation(),
    }


NAMES = ("difference", "spatial", "first layer", "prediction", "cross-layer map", "trajectory", "truncation")


@pytest.mark.parametrize("name", NAMES)
def test_a_result_comes_back_and_writes_the_same_folder_again(results, name, tmp_path):
    result = results[name]
    folder = result.save(tmp_path / "one", report=True)
    again = type(result).load(folder)
    pd.testing.assert_frame_equal(again.table, result.table)
    manifests = [
        (path / MANIFEST).read_bytes() for path in (folder, again.save(tmp_path / "two", report=True))
    ]
    assert manifests[0] == manifests[1]
    assert "report.html" in json.loads(manifests[0])["files"]
    assert json.loads((folder / "results.json").read_text())["kind"] == type(result).KIND


@pytest.mark.parametrize("name", NAMES)
def test_a_result_shows_itself_in_a_few_lines(results, name):
    result = results[name]
    assert repr(result).startswith(f"{type(result).__name__}(")
    assert len(repr(result).splitlines()) <= 6
    shown = result._repr_html_()
    assert result.page().summary[0].split(" <")[0][:20] in shown
    assert "<table" in shown
    assert ("data:image/png;base64" in shown) == (result.figure() is not None)


HOSTILE = "<script>alert(1)</script> $\\bad{_^$ " + 200 * "long "
LIMIT = 200_000


@pytest.fixture(scope="module")
def strangers():
    """Results of networks whose name is long, holds a script, and is no formula though it looks like one."""
    base, other = (read(module("joint", widths=(12, 12), seed=seed)) for seed in (0, 1))
    moved = Network("moved", tuple(Layer(e.name, e.kind, 1.1 * e.weight) for e in base.layers))
    named = replace(base, name=HOSTILE)
    pixels = images(40)
    return {
        "comparison": compare([named, other], pixels, draws=2, calibrate=False, controls=False),
        "lineage": lineage([named, moved], draws=999),
        "difference": diff(named, moved, draws=2),
        "spatial": spatial_summary([named, other]),
        "first layer": first_layer_summary(named, pixels, draws=3),
        "cross-layer map": cross_layer_map(named, other, pixels, draws=2),
        "trajectory": Trajectory(course().table.assign(network=HOSTILE), {"seed": 0}),
    }


@pytest.mark.parametrize(
    "name",
    ["comparison", "lineage", "difference", "spatial", "first layer", "cross-layer map", "trajectory"],
)
def test_whatever_a_network_is_called_a_notebook_shows_it_safely_and_briefly(strangers, name):
    shown = strangers[name]._repr_html_()
    assert "<script" not in shown
    assert len(shown.encode()) < LIMIT
    assert len(repr(strangers[name])) < 1_000


def test_a_notebook_shows_the_head_of_a_large_table_and_a_coarser_picture_of_a_crowded_figure():
    frame = pd.DataFrame([[HOSTILE] * 60] * 500)
    assert len(frame_html(frame)) < LIMIT / 4
    figure = Figure(figsize=(16, 12))
    figure.subplots().imshow(torch.rand(2000, 2000).numpy(), interpolation="nearest")
    assert len(picture(figure)) < LIMIT


@pytest.mark.parametrize("name", NAMES)
def test_every_page_has_valid_plots_and_whole_rows(results, name):
    page = results[name].page()
    parts = [part for section in page.sections for part in section.parts]
    for plots in (part for part in parts if isinstance(part, Plots)):
        for panel in plots.panels:
            go.Figure(data=list(panel.data), layout=panel.layout)
    for table in (part for part in parts if isinstance(part, Table)):
        assert {len(row) for row in table.rows} <= {len(table.columns)}
    assert all(sentence.endswith(".") for sentence in page.summary)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "difference"])
def test_every_figure_has_a_door(results, name):
    figure = results[name].figure()
    assert isinstance(figure, Figure)
    figure.canvas.draw()


def test_other_measures_and_references_can_be_drawn(results):
    assert results["trajectory"].figure("kept", "other").axes[0].get_ylabel() == "eigenvalues above the bulk"
    assert isinstance(results["cross-layer map"].figure("cosine"), Figure)


def test_one_kind_is_not_taken_for_another(results, tmp_path):
    folder = results["difference"].save(tmp_path)
    with pytest.raises(InputError, match=r"kind and schema \['difference', 2\], expected 'cross-layer map'"):
        CrossLayerMap.load(folder)


def test_a_folder_of_the_right_kind_with_other_fields_is_refused(results, tmp_path):
    folder = Difference(results["difference"].table, "a", "b").save(tmp_path)
    document = json.loads((folder / "results.json").read_text())
    (folder / MANIFEST).unlink()
    (folder / "results.json").write_text(json.dumps({**document, "surplus": 1}))
    with (
        pytest.warns(UncheckedWarning),
        pytest.raises(InputError, match=r"no readable difference .*Difference\.save"),
    ):
        Difference.load(folder)


def test_words_of_a_course_name_its_ends():
    assert course().page().summary == (
        "2 layers of run seed 0 were looked at after 3 epochs: 0, 1, 3.",
        "Against final, the mean similarity of layers goes from 0.00 after epoch 0 to 0.68 after epoch 3.",
        "Against other, the mean similarity of layers goes from 0.00 after epoch 0 to 0.68 after epoch 3.",
        "In the end the weights of two had moved most (60.0% of their initial size), those of one least (30.0%).",
    )


def test_words_of_a_truncation_name_the_rank_that_is_enough():
    first, second = truncation().page().summary
    assert (
        "conv needs 8 of 8 directions, of those measured, for 95% of the untruncated accuracy (90.0%)"
        in first
    )
    assert "at none of the measured ranks; most at rank 8: 50.0%" in second


def test_words_of_a_map_say_whether_depth_corresponds_to_depth():
    table = pd.DataFrame(
        {
            "a": "x",
            "b": "y",
            "layer_a": ["p", "q", "r"],
            "layer_b": ["s", "t", "s"],
            "similarity": [0.9, 0.6, 0.2],
            "similarity_reversed": [0.9, 0.6, 0.2],
            "excess": [0.1, 0.2, 0.3],
        }
    )
    summary = CrossLayerMap(table, ("p", "q", "r"), ("s", "t")).page().summary
    assert summary[0].startswith(
        "Of 3 layers of the first network that can be matched, 2 are most like the layer of"
    )
    assert "and 2 are also the most like it in return" in summary[0]
    assert "an equal or deeper layer in 1 of 2 steps" in summary[1]
    assert summary[2] == "Best matches reach 0.57 on average (similarity)."


def test_networks_and_layers_are_shown_in_a_few_lines():
    network = read(module("joint", widths=(4,) * 20))
    lines = repr(network).splitlines()
    assert len(lines) <= 15
    assert lines[0].startswith(f"Network({network.name!r}: {len(network.layers)} layers")
    assert repr(network.layers[0]) in repr(network)
    assert (
        repr(Layer("conv", "convolution", torch.zeros(4, 3, 5, 5))) == "Layer('conv', convolution, 4x3x5x5)"
    )
