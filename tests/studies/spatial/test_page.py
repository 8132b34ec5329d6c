import json

import numpy as np
import pytest
import torch

from covalign.networks.network import Layer, Network
from covalign.report.page import Download, Gallery, Table
from covalign.report.provenance import CARRIED, origin_section
from covalign.studies.spatial.measure import spatial_summary
from covalign.studies.spatial.page import by_networks
from covalign.studies.spatial.words import findings


def network(name, seed):
    """Three layers: the first random, the others with the same smooth kernels, rotated among channels."""
    generator = torch.Generator().manual_seed(seed)
    scales = torch.tensor([9.0, 5, 4, 3, 2, 1, 0.5, 0.3, 0.1], dtype=torch.float64)
    patterns = torch.linalg.qr(torch.arange(81.0, dtype=torch.float64).reshape(9, 9).sin())[0]
    layers = [
        Layer("conv1", "convolution", torch.randn(8, 3, 3, 3, generator=generator, dtype=torch.float64))
    ]
    for index in (2, 3):
        mixture = torch.randn(64, 9, generator=generator, dtype=torch.float64)
        kernels = torch.linalg.qr(mixture)[0] * scales @ patterns.T
        layers.append(Layer(f"conv{index}", "convolution", kernels.reshape(8, 8, 3, 3)))
    return Network(name, tuple(layers))


@pytest.fixture(scope="module")
def summary():
    return spatial_summary([network("a <i>", 0), network("b", 1)])


def test_shared_patterns_are_found_shared_beyond_the_first_layer(summary):
    first = findings(summary.table)[0]
    assert "subspaces of 6 pairs of layers share 1.00 on average and 1.00 at least" in first
    assert "unrelated ones would share 0.33" in first


def test_one_layer_has_nothing_to_be_compared_with():
    lone = Network("lone", network("lone", 0).layers[:1])
    page = spatial_summary([lone]).page()
    assert page.summary == (
        "There are no two layers beyond the first with kernels of equal size: nothing to compare.",
    )
    assert "overlap" not in [section.key for section in page.sections]


def test_averages_leave_out_first_layers(summary):
    table = by_networks(summary.table)
    across = table[(table["a"] != table["b"]) & (table["rank"] == 3)].iloc[0]
    assert (across["pairs"], across["overlap"]) == (4, pytest.approx(1.0))


def test_the_overlap_picture_is_symmetric_with_black_where_equal(summary):
    parts = [part for section in summary.page().sections for part in section.parts]
    galleries = [part for part in parts if isinstance(part, Gallery)]
    pixels = galleries[1].rows[0][1][0].pixels
    assert pixels.shape == (6, 6)
    np.testing.assert_array_equal(pixels, pixels.T)
    assert pixels[1, 2] == pixels[1, 5] == pixels[3, 3] == 0
    assert pixels[0, 1] > 0
    for table in (part for part in parts if isinstance(part, Table)):
        assert {len(row) for row in table.rows} == {len(table.columns)}


def test_the_report_is_one_escaped_file(summary, tmp_path):
    html = summary.report(tmp_path / "report.html").read_text("utf-8")
    assert "a <i>" not in html
    assert "a &lt;i&gt;" in html
    assert len(html) < 10e6


def test_files_too_large_for_the_page_are_named_instead():
    small = Download("small.csv", "text/csv", b"1", "")
    large = Download("large.csv", "text/csv", bytes(CARRIED), "")
    section = origin_section((small, large), {"seed": 3})
    assert section.parts[0].files == (small,)
    assert section.prose == ("Too large for this page, but saved with the results: large.csv.",)
    assert json.dumps(section.parts[1].entries) == '[["seed", "3"]]'
