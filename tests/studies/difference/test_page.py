import base64
import io
import json
import math
import re
from dataclasses import replace

import pandas as pd
import plotly.graph_objects as go
import pytest
import torch

from covalign.networks.network import Layer, Network
from covalign.report.page import Plots, Table
from covalign.studies.difference.measure import diff
from covalign.studies.difference.words import findings

SHAPES = {
    "conv1": (12, 3, 3, 3),
    "<b>conv2</b>": (16, 12, 3, 3),
    "conv3": (16, 16, 3, 3),
    "head": (10, 16, 1, 1),
}


def network(name, seed, base=None):
    """A random network, or one whose layers moved from ``base`` by 0, 10, 20 and 30 % of their size."""
    generator = torch.Generator().manual_seed(seed)
    layers = []
    for index, (layer, shape) in enumerate(SHAPES.items()):
        weight = torch.randn(shape, generator=generator, dtype=torch.float64)
        if base is not None:
            before = base.layers[index].weight
            weight = before + 0.1 * index * before.norm() * weight / weight.norm()
        layers.append(Layer(layer, "linear" if layer == "head" else "convolution", weight))
    return Network(name, tuple(layers))


@pytest.fixture(scope="module")
def base():
    return network("base", 0)


@pytest.fixture(scope="module")
def change(base):
    return diff(base, network("tuned </script>", 1, base), network("again", 2, base), draws=3)


def test_the_size_and_place_of_the_change_are_named(change):
    first = findings(change.table)[0]
    assert "20.0% of their size in the median; most in head (30.0%). 1 layer did not change at all." in first


def test_what_is_equal_is_called_equal(base):
    assert findings(diff(base, base, draws=2).table)[0].startswith("Nothing changed")


def test_a_random_update_is_described_like_its_reference(change):
    text = " ".join(findings(change.table))
    shares = re.search(
        r"(\d+)% of the squared change turns neurons into new directions \((\d+)% if", text
    ).groups()
    assert abs(int(shares[0]) - int(shares[1])) <= 2
    cosine = float(re.search(r"cosine with this one averages (\S+):", text).group(1).replace("−", "-"))
    assert abs(cosine) < 0.1


def test_limits_are_counted_by_reason(change):
    table = change.table.assign(reason=["unchanged", "too few channels", "too few channels", ""])
    assert findings(table)[-1] == "2 layers: too few channels."


def test_layers_without_a_counterpart_are_told(change):
    table = pd.DataFrame(
        {"layer": ["a"], "kind": ["linear"], "neurons": [3], "d": [4], "reason": ["no such layer"]}
    )
    page = replace(change, table=table).page()
    assert page.summary[0].startswith("No layer of the two networks could be compared")
    assert "1 layer: no such layer." in page.summary


def test_every_plot_is_valid_and_every_row_whole(change):
    page = change.page()
    parts = [part for section in page.sections for part in section.parts]
    for plots in (part for part in parts if isinstance(part, Plots)):
        for panel in plots.panels:
            go.Figure(data=list(panel.data), layout=panel.layout)
            assert "<b>conv2" not in json.dumps(panel.data)
    for table in (part for part in parts if isinstance(part, Table)):
        assert {len(row) for row in table.rows} == {len(table.columns)}


def test_references_stand_beside_what_they_refer_to(change):
    plots = next(part for part in change.page().sections[1].parts if isinstance(part, Plots))
    panel = next(panel for panel in plots.panels if panel.title == "Change of the neurons’ lengths")
    bars, course = panel.data
    table = change.table
    assert list(course["y"]) == list(table["rescaling"])
    tops = [base + height for base, height in zip(bars["base"], bars["y"], strict=True)]
    assert tops == pytest.approx(list(table["rescaling_high"]))
    assert course["error_y"]["array"] == list(table["rescaling_spread"])


def test_the_report_is_one_escaped_file_with_all_numbers(change, tmp_path):
    html = change.report(tmp_path / "report.html").read_text("utf-8")
    assert "tuned </script>" not in html
    assert len(html) < 10e6
    carried = re.search(r'download="difference.csv" href="data:[^,]*,([^"]*)"', html).group(1)
    table = pd.read_csv(io.BytesIO(base64.b64decode(carried)))
    assert table["relative_change"].tolist() == pytest.approx(change.table["relative_change"].tolist())
    assert math.isnan(table["spatial_change"].iloc[-1])
