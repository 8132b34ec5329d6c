"""Patch covariance of 32 x 32 images, against the obvious way: unfold and multiply.

The rival unfolds each batch with `torch.nn.functional.unfold` and adds up p p^T, in float64 like ours and in
batches of the same size, so that both stay in bounded memory. Each runs in a fresh process on one thread; processor
seconds, so that a busy machine does not blur them.

    python benchmarks/bench_patch_covariance.py [--images FOLDER] [--kernels 3 7] [--count 1500] [--repeats 3]

Without a folder the images are uniform noise: time and memory do not depend on what they show.
"""

import argparse
import multiprocessing
import resource
import statistics
import time

import numpy as np
import torch

from covalign.data.loading import load_images
from covalign.data.normalization import NORMALIZATIONS
from covalign.first_layer.patches import patch_covariance, pixel_batches

CIFAR = NORMALIZATIONS["cifar"]
SAME = 1e-10
"""Largest difference, relative to the leading variance, of two covariances that count as equal."""


def load(folder: str | None, count: int) -> torch.Tensor:
    """Pixels of the images, uint8."""
    if folder is None:
        generator = torch.Generator().manual_seed(0)
        return torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return load_images(folder, max_images=count).pixels


def streamed(pixels: torch.Tensor, kernel_size: int) -> torch.Tensor:
    """Ours."""
    patches = patch_covariance(pixels, kernel_size, normalization=CIFAR)
    axes = patches.eigenvectors
    return axes * patches.standard_deviations.square() @ axes.T


def unfolded(pixels: torch.Tensor, kernel_size: int) -> torch.Tensor:
    """The rival: copy every patch out, then multiply."""
    total, count = 0, 0
    for batch in pixel_batches(pixels, CIFAR):
        for part in batch.split(256):
            columns = torch.nn.functional.unfold(part, kernel_size)
            rows = columns.transpose(1, 2).reshape(-1, columns.shape[1])
            total, count = total + rows.T @ rows, count + len(rows)
    return total / count


METHODS = (streamed, unfolded)


def measure(
    method: int, folder: str | None, count: int, kernel_size: int, repeats: int
) -> tuple[float, float, np.ndarray]:
    """Median processor seconds, peak resident memory in megabytes and the covariance, in this process."""
    torch.set_num_threads(1)
    pixels, seconds = load(folder, count), []
    covariance = METHODS[method](pixels[:500], kernel_size)
    for _ in range(repeats):
        start = time.process_time()
        covariance = METHODS[method](pixels, kernel_size)
        seconds.append(time.process_time() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    # An array, not a tensor: a tensor is handed over by a process that has to stay alive for it.
    return statistics.median(seconds), peak, covariance.numpy()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images")
    parser.add_argument("--kernels", type=int, nargs="+", default=[3, 7])
    parser.add_argument("--count", type=int, default=1500)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print("| patch covariance | seconds | unfold and multiply | ratio | memory (MB) | unfold | difference |")
    print("|-|-|-|-|-|-|-|")
    for kernel_size in options.kernels:
        arguments = (options.images, options.count, kernel_size, options.repeats)
        with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            ours, theirs = (pool.apply(measure, (method, *arguments)) for method in range(2))
        difference = float(np.abs(ours[2] - theirs[2]).max() / np.abs(theirs[2]).max())
        assert difference < SAME, f"kernel {kernel_size}: both should be equal, differ by {difference:.0e}"
        print(
            f"| kernel {kernel_size} | {ours[0]:.2f} | {theirs[0]:.2f} | {theirs[0] / ours[0]:.1f} | "
            f"{ours[1]:.0f} | {theirs[1]:.0f} | {difference:.0e} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
