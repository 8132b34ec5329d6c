"""Is a zip archive whole, and does it unpack to what it says?

Weight files of PyTorch, NumPy and Keras are zip archives, whose entries carry checksums (CRC-32) that the libraries
that map them into memory do not look at. Here every entry that is used is read once, a piece at a time.
"""

import zipfile
from collections.abc import Iterable

from covalign.limits import UNPACKED

RATIO = 100
"""How many times its size an archive may unpack to in any case (our choice)."""
PIECE = 2**20
"""Bytes read at once."""


def check_size(declared: int, size: int, where: str) -> None:
    """Refuse what unpacks to far more than its size.

    Args:
        declared: bytes that it unpacks to.
        size: of the file.
        where: its path.

    Raises:
        InputError: more than `RATIO` times the file and than the limit.
    """
    if declared > RATIO * size:
        UNPACKED.check(declared, f"{where}: {size} bytes that unpack to {declared}")


def check_entries(archive: zipfile.ZipFile, entries: Iterable[zipfile.ZipInfo]) -> None:
    """Read entries through, a piece at a time.

    Raises:
        zipfile.BadZipFile: an entry that is damaged, by its checksum, or shorter than it says.
    """
    for entry in entries:
        read = 0
        with archive.open(entry) as stream:
            while piece := stream.read(PIECE):
                read += len(piece)
        if read != entry.file_size:
            raise zipfile.BadZipFile(f"{entry.filename}: {read} bytes where {entry.file_size} are declared")
