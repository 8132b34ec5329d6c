"""Patch covariance of 50,000 images of 32 x 32 pixels, against the obvious way: unfold and multiply.

The rival unfolds each batch with `torch.nn.functional.unfold` and adds up p p^T, in float64 like ours and in
batches of the same size, so that both stay in bounded memory. Prints a Markdown table of processor seconds
(one thread, so that a busy machine does not blur them), peak memory of a fresh process, and the largest
difference of the two covariances relative to the leading variance.

    python benchmarks/patch_covariance.py [--images FOLDER] [--kernels 3 7] [--count 50000]

Without a folder the images are uniform noise: time and memory do not depend on what they show.
"""

import argparse
import multiprocessing
import resource
import time

import torch

from covalign.data.normalization import NORMALIZATIONS
from covalign.first_layer.patches import patch_covariance, pixel_batches

CIFAR = NORMALIZATIONS["cifar"]


def load(folder: str | None, count: int) -> torch.Tensor:
    """Pixels of the images, uint8."""
    if folder is None:
        generator = torch.Generator().manual_seed(0)
        return torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
    from covalign.data.loading import load_images

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


METHODS = {"covalign": streamed, "unfold and multiply": unfolded}


def measure(
    method: str, folder: str | None, count: int, kernel_size: int
) -> tuple[float, float, torch.Tensor]:
    """Processor seconds, peak resident memory in megabytes and the covariance, in this process."""
    torch.set_num_threads(1)
    pixels = load(folder, count)
    METHODS[method](pixels[:500], kernel_size)
    start = time.process_time()
    covariance = METHODS[method](pixels, kernel_size)
    seconds = time.process_time() - start
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, covariance


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images")
    parser.add_argument("--kernels", type=int, nargs="+", default=[3, 7])
    parser.add_argument("--count", type=int, default=50000)
    options = parser.parse_args()
    print("| kernel | method | processor seconds | peak memory (MB) | difference |\n|-|-|-|-|-|")
    for kernel_size in options.kernels:
        reference = None
        for method in METHODS:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                arguments = (method, options.images, options.count, kernel_size)
                seconds, memory, covariance = pool.apply(measure, arguments)
            reference = covariance if reference is None else reference
            difference = float((covariance - reference).abs().max() / reference.abs().max())
            print(
                f"| {kernel_size} | {method} | {seconds:.1f} | {memory:.0f} | {difference:.0e} |", flush=True
            )


if __name__ == "__main__":
    main()
