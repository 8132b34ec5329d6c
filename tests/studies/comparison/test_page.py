import base64
import dataclasses
import io
import json
import math
import re

import pandas as pd
import plotly.graph_objects as go
import pytest
import torch

from covalign.encoding.debiased.shared_variance import shared_variance
from covalign.report.heat import Heats
from covalign.report.page import Downloads, Gallery, Plots, Table
from covalign.report.plots import by_rank, logarithmic
from covalign.report.provenance import provenance_facts
from covalign.report.sections import spatial_section
from covalign.studies.comparison.orders import pairs
from covalign.studies.comparison.tables import condition_table_by_layer, reason_table


def parts(page, kind):
    return [part for section in page.sections for part in section.parts if isinstance(part, kind)]


@pytest.fixture(scope="module")
def page(joint):
    return joint.page()


def test_the_page_tells_its_story_in_order(page):
    keys = [section.key for section in page.sections]
    assert keys == [
        "similarity",
        "correspondence",
        "layers",
        "eigenvectors",
        "spectra",
        "spatial",
        "training",
        "skipped",
        "method",
        "origin",
    ]


def test_sections_without_content_are_left_out(joint):
    bare = dataclasses.replace(
        joint,
        spectra=joint.spectra,
        spatial={},
        cosine_maps={},
        layer_maps={},
        training={"a": []},
        skipped={},
    )
    keys = [section.key for section in bare.page().sections]
    assert keys == ["similarity", "layers", "spectra", "method", "origin"]


def test_all_layers_against_all_are_drawn_first_pair_large(page):
    (figure,) = parts(page, Heats)
    first, *others = figure.maps
    assert len(figure.maps) == 6 + 4
    assert [first.small, *{each.small for each in others}] == [False, True]
    assert first.texts[0][:2] == ((".80", "#ffffff"), (".70", "#ffffff"))
    assert first.notes[7][5] == "stages.7.convolution – stages.5.convolution: 0.90"
    assert first.framed == tuple((place, place) for place in range(8))
    assert first.pointed == (*first.framed[:7], (7, 5))
    assert {(each.across, each.framed, each.pointed) for each in figure.maps[6:]} == {("itself", (), ())}
    assert len(set(map(tuple, first.pixels.reshape(-1, 3).tolist()))) == 9


def test_maps_of_layers_are_among_the_downloads(page, joint):
    (files,) = parts(page, Downloads)
    (kept,) = [file for file in files.files if file.name == "layer-maps.csv"]
    table = pd.read_csv(io.BytesIO(kept.content))
    assert len(table) == 10 * 64
    assert table["compared"].sum() == 6 * 8
    one = joint.layer_maps[pairs(joint.table)[0]]
    assert table["value"][:64].tolist() == pytest.approx(one.values.flatten().tolist())


def test_every_plot_is_valid_plotly(page):
    panels = [panel for plots in parts(page, Plots) for panel in plots.panels]
    assert len(panels) == 2 + 6 + 8 + 3
    for panel in panels:
        go.Figure(data=list(panel.data), layout=panel.layout)


def test_every_table_has_a_cell_for_each_column(page):
    for table in parts(page, Table):
        assert {len(row) for row in table.rows} == {len(table.columns)}


def test_maps_are_in_the_grey_scale_of_the_paper(joint, page):
    gallery = parts(page, Gallery)[0]
    assert len(gallery.rows) == 6
    assert {len(tiles) for _, tiles in gallery.rows} == {8}
    first = gallery.rows[0][1][0]
    cosines = next(iter(joint.cosine_maps.values()))
    assert first.pixels.shape == tuple(cosines.shape)
    chance = 1 / math.sqrt(joint.table["d"][0])
    assert (first.pixels[(cosines < chance).numpy()] == 255).all()
    assert (first.pixels[(cosines > 5 * chance).numpy()] == 0).all()


def test_names_in_hover_texts_are_escaped(hostile):
    for plots in parts(hostile.page(), Plots):
        for panel in plots.panels:
            assert "<script" not in json.dumps(panel.data)


@pytest.mark.slow
def test_every_number_can_be_downloaded(joint, tmp_path):
    html = joint.report(tmp_path / "report.html").read_text("utf-8")
    carried = dict(re.findall(r'download="([^"]+)" href="data:[^,]*,([^"]*)"', html))
    table = pd.read_csv(io.BytesIO(base64.b64decode(carried["comparison.csv"])))
    assert list(table.columns) == list(joint.table.columns)
    pd.testing.assert_series_equal(table["similarity"], joint.table["similarity"])
    numbers = json.loads(base64.b64decode(carried["results.json"]))
    assert len(numbers["spectra"]) == len(joint.spectra)
    assert numbers["provenance"] == joint.provenance


@pytest.mark.slow
def test_a_report_is_one_file_below_ten_megabytes_and_the_same_each_time(joint, tmp_path):
    first = joint.report(tmp_path / "a.html").read_bytes()
    assert first == joint.report(tmp_path / "b.html").read_bytes()
    assert len(first) < 10e6


@pytest.mark.slow
def test_a_report_of_many_large_networks_stays_below_ten_megabytes(joint, tmp_path):
    table = pd.concat([joint.table.assign(a=joint.table["a"] + f" {index}") for index in range(10)])
    maps = {
        (row.a, row.b, row.layer_a): torch.rand(64, 64, dtype=torch.float64) for row in table.itertuples()
    }
    large = dataclasses.replace(joint, table=table, cosine_maps=maps)
    path = large.report(tmp_path / "large.html")
    text = path.read_text("utf-8")
    assert len(text) < 10e6
    assert text.count("The first 12 of 60 pairs are shown.") == 2


def test_spectra_are_thinned_evenly_in_log_rank():
    ranks, values = by_rank(torch.linspace(5, 1, 4000, dtype=torch.float64))
    assert ranks[:3] == [1, 2, 3]
    assert ranks[-1] == 4000
    assert len(ranks) == len(values) < 400
    assert by_rank(torch.zeros(3)) == ([], [])


def test_logarithmic_axes_are_ticked_by_their_range():
    assert logarithmic("x", [1.0, 60.0])["ticktext"][:4] == ["1", "2", "5", "10"]
    assert logarithmic("x", [0.01, 1e4])["ticktext"] == ["0.01", "0.1", "1", "10", "100", "1000", "10000"]
    assert logarithmic("x", [])["ticktext"][0] == "1"


def test_provenance_is_flattened_and_cut():
    spec = {"batch_size": 128, "labels": "true", "empty": None, "none": (), "epochs": [1, 2]}
    facts = provenance_facts(
        {"a_b": {"c": [1, 2]}, "d": [{"e": None}, {"e": "x" * 5000}], "f": "", "spec": spec}
    )
    assert facts[0] == ("a b", "c 1, 2")
    assert facts[1] == ("d · 2", f"e {'x' * 1198} …")
    assert facts[2] == ("spec", "batch size 128; labels true; epochs 1, 2")


def test_networks_of_different_depth_share_a_page(joint):
    name = joint.layers["network"].iloc[-1]
    short = ~((joint.layers["network"] == name) & (joint.layers["depth"] > 5))
    page = dataclasses.replace(joint, layers=joint.layers[short]).page()
    spectra = next(section for section in page.sections if section.key == "spectra").parts[0]
    assert [len(panel.data[3]["x"]) > 0 for panel in spectra.panels] == [True] * 5 + [False] * 3


def test_frozen_filters_are_shown_where_there_are_some():
    bank = torch.eye(9, dtype=torch.float64)[:5].reshape(5, 3, 3)
    (gallery,) = spatial_section({}, bank).parts
    assert len(gallery.rows[0][1]) == 5
    assert gallery.rows[0][1][1].pixels[0].tolist() == [128, 255, 128]
    assert spatial_section({}, None) is None


def test_without_images_the_page_still_stands(joint):
    numbers = [
        "cosine",
        "chance",
        "ceiling",
        "similarity",
        "similarity_reversed",
        "calibrated",
        "low",
        "high",
    ]
    numbers += ["p_value", "unaligned", "shuffled", "alignment_correlation"]
    table = joint.table.assign(**dict.fromkeys(numbers, math.nan), reason="no images to align with")
    bare = dataclasses.replace(joint, table=table, cosine_maps={}, provenance={"images": None})
    page = bare.page()
    assert page.summary[0].startswith("No similarity could be given")
    assert ("Images", "none: nothing was aligned") in page.facts
    assert not [part for part in page.sections[0].parts if isinstance(part, Plots)]


def test_reasons_are_counted_by_their_kind():
    codes = [("bulk_left", "no_ceiling"), ("bulk_left",), ()]
    found = reason_table(
        pd.DataFrame({"depth": [1, 2, 2], "reason_codes": codes, "debiased_reason": ["", "", ""]})
    )
    left = "… of … eigenvalues have left the bulk, and with them the spiked model"
    assert found.rows == (
        ("bulk left", left, 2, "1–2"),
        ("no ceiling", "the ceiling does not exceed chance", 1, "1"),
    )
    assert reason_table(pd.DataFrame({"depth": [2], "reason_codes": [()], "debiased_reason": [""]})) is None


def test_agreement_is_drawn_with_every_control_that_was_measured(joint):
    measured = joint.table.assign(debiased=0.5, debiased_low=0.4, debiased_high=0.6, debiased_shuffled=0.3)
    sections = dataclasses.replace(joint, table=measured).page().sections
    captions = [part.caption for part in sections[0].parts if isinstance(part, Plots)]
    assert captions[0].startswith("Agreement R of every pair")
    controls = [part for part in sections[0].parts if isinstance(part, Plots)][1]
    assert len(controls.panels) == len(pairs(joint.table))
    assert [len(panel.data) for panel in controls.panels] == [2] * len(controls.panels)


def test_shared_variance_has_a_panel_for_every_layer_with_a_curve(joint):
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randn(40, 8, dtype=torch.float64, generator=generator) for _ in "ab"]
    curve = shared_variance(*rows)
    curves = {(row.a, row.b, row.layer_a): curve for row in joint.table.itertuples() if row.depth < 4}
    page = dataclasses.replace(joint, curves=curves).page()
    (section,) = (section for section in page.sections if section.key == "directions")
    (plots,) = section.parts
    assert [panel.title for panel in plots.panels] == ["layer 1", "layer 2", "layer 3"]
    for panel in plots.panels:
        go.Figure(data=list(panel.data), layout=panel.layout)


def test_conditions_are_a_row_a_pair_and_a_column_a_layer():
    rows = [
        {"condition_a": "a", "condition_b": b, "depth": depth, "q": 0.5, "low": low, "high": 0.7}
        for b, low in (("b", 0.25), ("c", math.nan))
        for depth in (1, 2)
    ]
    table = condition_table_by_layer(pd.DataFrame(rows))
    assert [column.title for column in table.columns[2:]] == ["layer 1", "layer 2"]
    assert table.rows == (
        ("a", "b", "0.50 (0.25 to 0.70)", "0.50 (0.25 to 0.70)"),
        ("a", "c", "0.50", "0.50"),
    )
