"""Memory that is freed stays for the next step, and goes back in the end."""

import platform
import resource

import pytest
import torch

from covalign.kernels.freed_memory import kept

PIECES, BYTES = 8, 16 << 20


def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def fill():
    return [torch.ones(BYTES, dtype=torch.uint8) for _ in range(PIECES)]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_pages_are_cleared_once_and_given_back_in_the_end():
    with kept():
        fill()
        held, before = resident(), faults()
        for _ in range(3):
            fill()
        # One piece may find its room taken; clearing all anew each time were twelve times as many pages.
        assert faults() - before <= 2 * BYTES / resource.getpagesize()
    assert resident() < held - PIECES * BYTES / 2


def test_an_error_passes():
    with pytest.raises(ZeroDivisionError), kept():
        raise ZeroDivisionError
