"""How does every random draw get a stream of its own?"""

import hashlib

import torch


def stream(seed: int, purpose: str, *position: int) -> torch.Generator:
    """Return the generator of one purpose at one position: no state has to be saved to resume it."""
    digest = hashlib.sha256(repr((seed, purpose, position)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
