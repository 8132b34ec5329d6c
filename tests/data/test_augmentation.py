import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from covalign.data.augmentation import augment


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images(n=64, side=6):
    rng = np.random.default_rng(1)
    return torch.from_numpy(rng.integers(1, 256, (n, 3, side, side), dtype=np.uint8))  # no black pixel


def every_variant(image, padding):
    """Slow oracle: all shifts of an image and its mirror image over black."""
    padded = np.pad(image.numpy(), ((0, 0), (padding, padding), (padding, padding)))
    height, width = image.shape[1:]
    for top in range(2 * padding + 1):
        for left in range(2 * padding + 1):
            crop = padded[:, top : top + height, left : left + width]
            yield crop.tobytes()
            yield crop[:, :, ::-1].tobytes()


def test_each_result_is_a_shift_of_the_image_or_its_mirror():
    pixels = images(20)
    for before, after in zip(pixels, augment(pixels, generator()), strict=True):
        assert after.numpy().tobytes() in set(every_variant(before, 4))


def test_all_variants_occur_equally_often():
    """Padding 1: 18 variants; chi-squared with 17 degrees of freedom exceeds 40.8 once in 1000 draws."""
    pixels = images(1).expand(9000, -1, -1, -1)
    seen = [after.numpy().tobytes() for after in augment(pixels, generator(), crop_padding=1)]
    counts = np.array([seen.count(variant) for variant in every_variant(pixels[0], 1)])
    assert counts.sum() == 9000
    assert ((counts - 500) ** 2 / 500).sum() < 40.8


def test_the_same_generator_state_gives_the_same_images():
    pixels, source = images(), generator(3)
    first, second = augment(pixels, source), augment(pixels, source)
    assert torch.equal(first, augment(pixels, generator(3)))
    assert not torch.equal(first, second)


def test_without_flip_and_padding_images_stay():
    pixels = images()
    assert torch.equal(augment(pixels, generator(), flip=False, crop_padding=0), pixels)


def test_switching_the_flip_off_leaves_the_shifts():
    pixels = images()
    flipped, straight = augment(pixels, generator()), augment(pixels, generator(), flip=False)
    same = (flipped == straight).flatten(1).all(1)
    mirrored = augment(pixels.flip(3), generator(), flip=False)
    assert 0 < same.sum() < len(pixels)
    assert straight.count_nonzero() == mirrored.count_nonzero()


class Counted(TorchFunctionMode):
    """Counts the operations on tensors."""

    operations = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.operations += 1
        return func(*args, **(kwargs or {}))


def test_many_images_cost_as_many_operations_as_one():
    counts = []
    for n in (1, 128):
        with Counted() as counted:
            augment(torch.zeros((n, 3, 32, 32), dtype=torch.uint8), generator())
        counts.append(counted.operations)
    assert 0 < counts[0] == counts[1] < 60
