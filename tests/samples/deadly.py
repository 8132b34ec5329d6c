"""A network that ends the process in which it is run, so many times."""

import os
import signal
from pathlib import Path

from torch import Tensor, nn

from samples.networks import module


class Deadly(nn.Module):
    """A network of the others' form; ``deaths`` files in a folder say how often it still ends its process.

    In the process that made it, it only computes.
    """

    def __init__(self, folder: Path, deaths: int, seed: int = 0) -> None:
        super().__init__()
        self.inside = module(seed=seed)
        self.folder, self.parent = folder, os.getpid()
        for death in range(deaths):
            (folder / f"death {death}").touch()

    def forward(self, images: Tensor) -> Tensor:
        left = sorted(self.folder.iterdir())
        if left and os.getpid() != self.parent:
            left[0].unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.inside(images)
