import json

import pytest
from matplotlib.figure import Figure
from PIL import Image

from covalign.figures.saving import save_figure


@pytest.fixture
def figure():
    figure = Figure(figsize=(1, 1))
    figure.subplots().plot([0, 1])
    return figure


def test_both_files_carry_their_provenance(figure, tmp_path):
    provenance = {"seed": 3, "network": "(a) ünïcode"}
    png, pdf = save_figure(figure, tmp_path / "deep" / "name.with.dots", provenance)
    assert (png.name, pdf.name) == ("name.with.dots.png", "name.with.dots.pdf")
    with Image.open(png) as image:
        assert json.loads(image.text["covalign"]) == provenance
    assert b"/Keywords" in pdf.read_bytes()


def test_the_same_figure_gives_the_same_bytes(figure, tmp_path):
    first = [path.read_bytes() for path in save_figure(figure, tmp_path / "a", {"seed": 1})]
    second = [path.read_bytes() for path in save_figure(figure, tmp_path / "b", {"seed": 1})]
    assert first == second
