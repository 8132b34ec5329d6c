"""Log how near every layer of a training network comes to a reference.

python docs/examples/track_a_training.py
"""

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from covalign import InputError, lightning_callback, load_images, trainer_callback

STEPS = 4 if "--smoke" in sys.argv else 400

images = load_images("photos:a", max_images=200 if "--smoke" in sys.argv else 2000)
pixels, labels = images.pixels.float() / 255, images.labels


def network() -> nn.Sequential:
    """Three convolutions and a readout."""
    parts: list[nn.Module] = []
    for narrow, wide in ((3, 16), (16, 32), (32, 32)):
        parts += [nn.Conv2d(narrow, wide, 3, stride=2, padding=1), nn.ReLU()]
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(32 * 16, len(images.classes)))


def train(module: nn.Module, track: Callable[..., object]) -> None:
    """Train as anybody would; the tracker is one line of the loop."""
    optimizer = torch.optim.AdamW(module.parameters(), 2e-3)
    for step in range(STEPS):
        track(module, step)
        batch = torch.randint(len(pixels), (64,))
        optimizer.zero_grad()
        cross_entropy(module(pixels[batch]), labels[batch]).backward()
        optimizer.step()
    track(module, STEPS, now=True)


torch.manual_seed(0)
reference, module = network(), network()
train(reference, lambda module, step, now=False: None)

# [track]
from covalign import Tracker

track = Tracker(reference, images, "R.jsonl", every=100, normalization="none")
train(module, track)  # calls track(module, step) before every step
print(Path("R.jsonl").read_text(encoding="utf-8"))

# [adapters]
try:
    callback = trainer_callback(track)  # transformers.Trainer(..., callbacks=[callback])
    callback = lightning_callback(track)  # lightning.Trainer(callbacks=[callback])
except InputError as error:
    print(error)
