"""What becomes of a file: bytes that a disk turned, pieces that went missing, and numbers that somebody chose.

Seeded, so that what was found can be found again. Structure-aware where a format has a header in text: numbers in
it become extreme ones; in zip archives entries are altered and the archive is written anew with right checksums.
"""

import random
import re
import zipfile
from io import BytesIO

EXTREMES = (0, 1, -1, 2**31 - 1, 2**31, 2**32, 2**62, 2**63 - 1, 10**8)


def mutated(content: bytes, seed: int) -> bytes:
    """Return a damaged or hostile copy of a file."""
    draw = random.Random(seed)
    if content[:2] == b"PK" and draw.random() < 0.5:
        return _rezipped(content, draw)
    return draw.choice((_flipped, _cut, _overwritten, _repeated, _renumbered))(content, draw)


def _flipped(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 8))):
        changed[_place(content, draw)] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _cut(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content))]


def _overwritten(content: bytes, draw: random.Random) -> bytes:
    start, length = _place(content, draw), draw.choice((1, 4, 8))
    size = draw.choice(EXTREMES).to_bytes(9, "little", signed=True)[:length]
    return content[:start] + draw.choice((size, bytes(length), b"\xff" * length)) + content[start + length :]


def _repeated(content: bytes, draw: random.Random) -> bytes:
    start = _place(content, draw)
    piece = content[start : start + draw.choice((1, 8, 64))]
    return content[:start] + piece * draw.choice((2, 50)) + content[start:]


def _renumbered(content: bytes, draw: random.Random) -> bytes:
    numbers = list(re.finditer(rb"\d+", content[:4096]))
    if not numbers:
        return _flipped(content, draw)
    found = draw.choice(numbers)
    return content[: found.start()] + str(draw.choice(EXTREMES)).encode() + content[found.end() :]


def _place(content: bytes, draw: random.Random) -> int:
    """Half of all places are near an end, where headers are."""
    near = min(len(content), 256)
    where = draw.choice(("any", "any", "start", "end"))
    if where == "any":
        return draw.randrange(len(content))
    return draw.randrange(near) if where == "start" else len(content) - 1 - draw.randrange(near)


def _rezipped(content: bytes, draw: random.Random) -> bytes:
    """Alter one entry and write the archive anew, so that its checksums are right."""
    with zipfile.ZipFile(BytesIO(content)) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    name = draw.choice([name for name, part in entries.items() if part])
    entries[name] = draw.choice((_flipped, _cut, _overwritten, _renumbered))(entries[name], draw)
    written = BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:
        for each, part in entries.items():
            archive.writestr(each, part)
    return written.getvalue()
