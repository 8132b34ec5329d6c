"""What `--memory` holds a command to."""

import ctypes
import sys

from covalign.errors import InputError

MMAP_THRESHOLD = -3
"""`M_MMAP_THRESHOLD` of glibc's `mallopt`."""
LARGE_BLOCK = 2**20
"""Bytes from which a block goes back to the system as soon as it is freed."""


def held_to(gigabytes: float) -> int:
    """Return a stated memory in bytes, and hold the process to it.

    glibc raises the size from which blocks are given back at once to that of the largest it has freed, up to 32 MB,
    and keeps smaller ones in pieces: the same comparison then took 697 to 1141 MB from run to run, and 690 to 720
    with a size that stays.

    Raises:
        InputError: nothing that a comparison could work in.
    """
    if not 0.05 <= gigabytes <= 2**20:
        raise InputError(f"--memory: got {gigabytes}, expected gigabytes from 0.05")
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mallopt(MMAP_THRESHOLD, LARGE_BLOCK)
    return int(gigabytes * 2**30)
