"""What does a reader need to judge whether numbers can be expected to repeat?"""

import platform
from typing import Any

import torch


def environment() -> dict[str, Any]:
    """Return what a reader needs to judge whether bits can be expected to repeat."""
    return {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
    }
