"""`compare` holds no more than it was told to, measured from outside."""

import subprocess
import sys

import numpy as np
import pytest

NETWORKS = """
import torch
from torch import nn

def made(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1))

def one(): return made(0)

def other(): return made(1)
"""
MEASURED = """
import atexit, re, sys
from pathlib import Path
from covalign.cli.app import main
sys.argv = ["covalign", *sys.argv[1:]]
# Of this program alone: what `getrusage` says counts the process too that started it.
atexit.register(lambda: print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]))
main()
"""
LIBRARIES = 512
"""Megabytes that libraries, weights and the report take, whatever is compared (some 400 measured)."""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="its system counts peak memory in other units")
def test_wide_networks_on_large_images_stay_within_their_memory(tmp_path):
    (tmp_path / "nets.py").write_text(NETWORKS)
    pixels = np.random.default_rng(0).integers(256, size=(12, 224, 224, 3), dtype=np.uint8)
    np.savez(tmp_path / "large.npz", images=pixels, labels=np.arange(12) % 2)
    at_once = 12 * 2 * (3 + 64) * 224**2 * 4 * 5  # images, networks, channels, positions, bytes, copies
    options = (
        *("--images", "large.npz", "--resolution", "224", "--normalization", "cifar", "--memory", "0.6"),
        *("--no-calibrate", "--no-curves", "--no-cache", "--quiet", "--threads", "1", "--out", "out"),
    )
    ran = subprocess.run(
        [sys.executable, "-c", MEASURED, "compare", "nets.py:one", "nets.py:other", *options],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    peak = int(ran.stdout.split()[-1]) / 1024
    stated = 0.6 * 1024 + LIBRARIES
    assert peak < stated
    assert at_once / 2**20 > stated  # so that without a budget the test would fail
