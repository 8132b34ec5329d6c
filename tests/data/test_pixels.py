from fractions import Fraction
from math import floor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from covalign.data.pixels import box_average, square, with_channels


def random_pixels(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def test_halving_is_the_mean_of_two_by_two_pixels_rounded_half_up():
    pixels = random_pixels(50, 3, 64, 64)
    sums = pixels.numpy().astype(int).reshape(50, 3, 32, 2, 32, 2).sum(axis=(3, 5))
    assert np.array_equal(box_average(pixels, 32).numpy(), (sums + 2) // 4)


@given(height=st.integers(1, 9), width=st.integers(1, 9), side=st.integers(1, 9), seed=st.integers(0, 99))
def test_any_ratio_is_the_exact_mean_over_the_cell(height, width, side, seed):
    """Oracle: repeat every pixel ``side`` times along each axis, then average whole blocks, in fractions."""
    pixels = random_pixels(height, width, seed=seed)
    fine = pixels.numpy().astype(int).repeat(side, axis=0).repeat(side, axis=1)
    blocks = fine.reshape(side, height, side, width).sum(axis=(1, 3))
    rounded = [[floor(Fraction(int(s), height * width) + Fraction(1, 2)) for s in row] for row in blocks]
    assert box_average(pixels, side).tolist() == rounded


def test_an_image_of_the_wanted_size_is_returned_as_it_is():
    pixels = random_pixels(2, 3, 5, 5)
    assert box_average(pixels, 5) is pixels


def test_the_central_square_is_cut_out():
    pixels = random_pixels(1, 1, 4, 9)
    assert torch.equal(square(pixels), pixels[..., 2:6])


def test_grey_is_repeated_in_three_channels():
    grey = random_pixels(2, 1, 3, 3)
    assert torch.equal(with_channels(grey, 3), torch.cat([grey] * 3, dim=1))


def test_colour_becomes_grey_as_pillow_does_it():
    colour = random_pixels(64, 64, 3)
    expected = torch.from_numpy(np.array(Image.fromarray(colour.numpy()).convert("L")))
    assert torch.equal(with_channels(colour.permute(2, 0, 1), 1)[0], expected)


@pytest.mark.parametrize(("alpha", "expected"), [(255, 10), (0, 255), (128, 132)])
def test_transparent_pixels_are_laid_over_white(alpha, expected):
    pixel = torch.tensor([10, 10, 10, alpha], dtype=torch.uint8)[:, None, None]
    assert with_channels(pixel, 3).flatten().tolist() == [expected] * 3
