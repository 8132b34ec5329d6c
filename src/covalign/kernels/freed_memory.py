"""What becomes of memory that is freed and soon wanted again?

The allocator of most Linux systems (glibc) hands large pieces back to the system, which clears every page anew when
the next step asks for them: a tenth to a fifth of a training step. Here they stay with the process for a while.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

# Of malloc.h. Left behind are the values that glibc itself comes to once pieces of the largest size were freed.
_TRIM, _MMAP = -1, -3
_LARGEST = 32 << 20


@contextmanager
def kept() -> Iterator[None]:
    """Keep what is freed until the end, then hand it back; elsewhere than on glibc this does nothing."""
    libc = _glibc()
    if libc is None:
        yield
        return
    libc.mallopt(_TRIM, 2**31 - 1)
    libc.mallopt(_MMAP, _LARGEST)
    try:
        yield
    finally:
        libc.mallopt(_TRIM, 2 * _LARGEST)
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(None)
        return library if hasattr(library, "gnu_get_libc_version") else None
    except (OSError, TypeError):
        return None
