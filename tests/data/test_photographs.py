import numpy as np
import pytest
import torch

from covalign.data.images import Images
from covalign.data.photographs import CROPS, MARGIN, SETS, crop_boxes, photographs
from covalign.errors import InputError


def covered(height, width, split, seed):
    canvas = np.zeros((height, width), bool)
    for top, left, side in crop_boxes(
        height, width, 2000, split, torch.Generator().manual_seed(seed)
    ).tolist():
        assert 0 <= top <= top + side <= height
        assert 0 <= left <= left + side <= width
        canvas[top : top + side, left : left + side] = True
    return canvas


@pytest.mark.parametrize("size", [(300, 451), (512, 512), (400, 600)])
def test_train_and_test_crops_share_no_pixel_and_no_jpeg_block(size):
    train, test = covered(*size, "train", 0), covered(*size, "test", 1)
    assert train.mean() > 0.3
    assert test.mean() > 0.1
    near = np.zeros_like(test)  # all that is closer than two margins to a test pixel
    for dy in range(-2 * MARGIN + 1, 2 * MARGIN):
        for dx in range(-2 * MARGIN + 1, 2 * MARGIN):
            near |= np.roll(test, (dy, dx), (0, 1))
    assert not (near & train).any()


@pytest.mark.slow
@pytest.mark.parametrize("split", ["train", "test"])
def test_every_photograph_gives_equally_many_crops_in_random_order(split):
    images = photographs("photos:a", split)
    assert images.pixels.shape == (5 * CROPS[split], 3, 32, 32)
    assert torch.bincount(images.labels).tolist() == [CROPS[split]] * 5
    assert len(images.labels[:20].unique()) == 5
    assert images.split == split


def test_the_two_sets_have_no_photograph_in_common_and_make_up_the_whole():
    assert not set(SETS["a"]) & set(SETS["b"])
    assert set(photographs("photos", "test").classes) == set(SETS["a"]) | set(SETS["b"])


@pytest.mark.slow
def test_crops_are_the_same_every_time():
    assert photographs("photos:b", "test").fingerprint == photographs("photos:b", "valid").fingerprint
    assert photographs("photos:b", "test").fingerprint != photographs("photos:a", "test").fingerprint


@pytest.mark.slow
def test_the_test_parts_can_be_told_apart_from_the_training_parts():
    """Nearest class in mean and spread of colour: far above the chance of 1/5, and far from perfect."""

    def statistics(images: Images):
        pixels = images.pixels.double()
        return torch.cat([pixels.mean((2, 3)), pixels.std((2, 3))], dim=1)

    train, test = photographs("photos:b", "train"), photographs("photos:b", "test")
    nearest = torch.cdist(statistics(test), statistics(train)).argmin(1)
    accuracy = (train.labels[nearest] == test.labels).double().mean()
    assert 0.5 < accuracy < 0.95


@pytest.mark.parametrize("source", ["photos:c", "photos:"])
def test_an_unknown_set_is_refused(source):
    with pytest.raises(InputError, match="expected 'photos', 'photos:a' or 'photos:b'"):
        photographs(source)
