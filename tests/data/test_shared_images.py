"""Real images: every number here was counted in the files by other means."""

import io

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from covalign.data.loading import load_images

pytestmark = pytest.mark.shared


def rows(file, count, column):
    cells = pq.read_table(file).slice(0, count).to_pylist()
    return [np.array(Image.open(io.BytesIO(cell[column]["bytes"])).convert("RGB")) for cell in cells]


def test_cifar_is_read_in_the_order_of_its_file(shared):
    folder = shared / "cifar10-jpeg"
    images = load_images(folder, "test")
    assert images.pixels.shape == (10000, 3, 32, 32)
    assert images.classes[:3] == ("airplane", "automobile", "bird")
    assert torch.bincount(images.labels).tolist() == [1000] * 10
    assert images.labels[:6].tolist() == [1, 5, 2, 3, 0, 5]
    expected = np.stack(rows(folder / "test-00000-of-00001.parquet", 50, "img"))
    assert np.array_equal(images.pixels[:50].permute(0, 2, 3, 1), expected)


def test_tiny_imagenet_is_averaged_two_by_two(shared):
    folder = shared / "tiny-imagenet-40a"
    images = load_images(folder, "test", resolution=32)
    assert (images.split, images.pixels.shape) == ("valid", (2000, 3, 32, 32))
    sums = np.stack(rows(folder / "valid-00000-of-00001.parquet", 50, "image")).astype(int)
    means = (sums.reshape(50, 32, 2, 32, 2, 3).sum(axis=(2, 4)) + 2) // 4
    assert np.array_equal(images.pixels[:50].permute(0, 2, 3, 1), means)


def test_the_two_tiny_imagenets_have_no_class_in_common(shared):
    a, b = (load_images(shared / f"tiny-imagenet-40{x}", "test", max_images=10) for x in "ab")
    assert len({*a.classes, *b.classes}) == 80


def test_the_first_five_classes_of_cifar(shared):
    images = load_images(shared / "cifar10-jpeg", "test", classes=5, max_images=500)
    assert images.classes == ("airplane", "automobile", "bird", "cat", "deer")
    assert len(images) == 500
    assert torch.bincount(images.labels).min() > 60
