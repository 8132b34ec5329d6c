"""What `--memory` holds a command to."""

import ctypes
import sys

from covalign.errors import InputError

MMAP_THRESHOLD = -3
"""`M_MMAP_THRESHOLD` of glibc's `mallopt`."""
SMALLEST, LARGEST = 2**20, 2**25
"""Bytes between which that threshold lies; glibc itself never goes beyond the second."""
BLOCKS = 64
"""How many blocks of that size the memory holds."""


def held_to(gigabytes: float) -> int:
    """Return a stated memory in bytes, and hold the process to it.

    glibc raises the size from which blocks are given back at once to that of the largest it has freed, up to 32 MB,
    and keeps smaller ones in pieces: in little memory the same comparison then took 697 to 1141 MB from run to run,
    and 690 to 720 with a size that stays. Blocks that are given back have to be cleared when they are wanted again,
    which took a quarter of a comparison's time where all from 1 MB on were; so the size grows with the memory.

    Raises:
        InputError: nothing that a comparison could work in.
    """
    if not 0.05 <= gigabytes <= 2**20:
        raise InputError(f"--memory: got {gigabytes}, expected gigabytes from 0.05")
    memory = int(gigabytes * 2**30)
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mallopt(MMAP_THRESHOLD, min(LARGEST, max(SMALLEST, memory // BLOCKS)))
    return memory
