"""Patch covariance of 50,000 images of 32 x 32 pixels, against unfold and multiply, and IncrementalPCA.

One rival unfolds each batch with `torch.nn.functional.unfold` and adds up p p^T, in float64. The other is
scikit-learn's `IncrementalPCA`, which centres, fed with all windows of some images at a time. Time and memory do not
depend on what images show: without a folder they are noise. Rivals see a part of the images, since their time is
proportional to the number; the same images are compared first.

    python benchmarks/bench_patch_covariance.py [--images FOLDER] [--count 50000] [--part 1500]
"""

import argparse
from importlib.metadata import version

import numpy as np
import torch
from harness import copying, measured, write
from sklearn.decomposition import IncrementalPCA

from covalign.data.loading import load_images
from covalign.data.normalization import NORMALIZATIONS
from covalign.first_layer.patches import PatchCovariance, patch_covariance

CIFAR = NORMALIZATIONS["cifar"]
WINDOWED = 250
"""Images unfolded at a time."""


def load(folder: str | None, count: int) -> torch.Tensor:
    """Pixels of the images, uint8."""
    if folder is None:
        generator = torch.Generator().manual_seed(0)
        return torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return load_images(folder, max_images=count).pixels


def normalized(pixels: torch.Tensor) -> torch.Tensor:
    """Normalize in float64, as the rivals' user would have to for sums as exact as ours."""
    scale, shift = CIFAR.affine(pixels.shape[1])
    return pixels.double() * scale[:, None, None] + shift[:, None, None]


def windows(pixels: torch.Tensor, kernel_size: int) -> torch.Tensor:
    """Every window of every image, a row each."""
    columns = torch.nn.functional.unfold(normalized(pixels), kernel_size)
    return columns.transpose(1, 2).reshape(-1, columns.shape[1])


def dense(patches: PatchCovariance) -> torch.Tensor:
    """Sigma from its axes."""
    return patches.eigenvectors * patches.standard_deviations.square() @ patches.eigenvectors.T


def unfolded(pixels: torch.Tensor, kernel_size: int) -> torch.Tensor:
    """The first rival."""
    total, count = 0, 0
    for part in pixels.split(WINDOWED):
        rows = windows(part, kernel_size)
        total, count = total + rows.T @ rows, count + len(rows)
    return total / count


def incremental(pixels: torch.Tensor, kernel_size: int) -> torch.Tensor:
    """The second rival; its variances divide by one less than the number of windows."""
    model = IncrementalPCA()
    for part in pixels.split(WINDOWED):
        model.partial_fit(windows(part, kernel_size).numpy())
    variances = model.explained_variance_ * (1 - 1 / model.n_samples_seen_)
    return torch.as_tensor(np.einsum("ki,k,kj->ij", model.components_, variances, model.components_))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images")
    parser.add_argument("--count", type=int, default=50_000)
    parser.add_argument("--part", type=int, default=1500)
    options = parser.parse_args()
    torch.set_num_threads(1)
    pixels = load(options.images, options.count)
    part = pixels[: options.part]
    rows = []
    for kernel_size in (3, 7):
        for name, rival, centred, asked in (
            ("unfold and multiply", unfolded, False, 4),
            (f"scikit-learn {version('scikit-learn')} IncrementalPCA", incremental, True, 20),
        ):
            expected = rival(part, kernel_size)
            found = dense(patch_covariance(part, kernel_size, centred=centred, normalization=CIFAR))
            rows.append(
                measured(
                    f"patch covariance of {len(pixels)} images, k = {kernel_size}",
                    name,
                    lambda k=kernel_size, c=centred: patch_covariance(
                        pixels, k, centred=c, normalization=CIFAR
                    ),
                    lambda k=kernel_size, rival=rival: rival(part, k),
                    difference=float((found - expected).abs().max() / expected.abs().max()),
                    allowed=1e-10,
                    at_least=asked,
                    limit=copying(pixels.numel()),
                    theirs_times=len(pixels) / len(part),
                )
            )
    write("patch_covariance", rows)


if __name__ == "__main__":
    main()
