"""What does a reader need to judge whether numbers can be expected to repeat?"""

import hashlib
import platform
from functools import cache
from pathlib import Path
from typing import Any

import torch

from covalign.version import __version__


def environment() -> dict[str, Any]:
    """Return what a reader needs to judge whether bits can be expected to repeat."""
    return {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
    }


@cache
def code_digest() -> str:
    """Return a digest of the code of this package, and of what computes: what is kept for later depends on both."""
    digest = hashlib.sha256(f"{__version__} {environment()}".encode())
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
