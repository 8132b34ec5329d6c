"""Filters as pictures."""

import torch

from covalign.figures.first_layer import mosaic


def test_mosaic_places_filters_in_rows_with_zero_at_mid_grey():
    weight = torch.zeros(3, 3, 2, 2)
    weight[0, 0, 0, 1] = 2.0
    weight[2, 1, 1, 0] = -0.5
    sheet = mosaic(weight, columns=2)
    assert sheet.shape == (5, 5, 3)
    assert sheet[0, 1].tolist() == [255, 128, 128]
    assert sheet[4, 0].tolist() == [128, 0, 128]
    assert (sheet[:, 2] == 255).all()
    assert (sheet[3:, 3:] == 255).all()


def test_grey_filters_are_drawn_in_grey():
    picture = mosaic(torch.tensor([[[[1.0, -1.0], [0.0, 0.0]]]]), columns=8)
    assert picture[0, 0].tolist() == [255, 255, 255]
    assert picture[0, 1].tolist() == [0, 0, 0]
