"""Which photograph is this crop from? A task that needs no download.

Ten photographs in the public domain come with the package, in two sets of five, three in colour and two in
grey each, so that a population has two data sets. Each photograph is a class; an image is a crop of 32 to 56
pixels, box-averaged to 32x32.

Train and test share no pixel: a photograph is cut into 4x4 tiles, one of each row and column is kept for the
test, every crop lies within one tile, and tiles keep 8 pixels away from their borders, so that training and
test pixels are at least 16 apart (two blocks of the JPEG files). The test therefore asks for the look of a
photograph in parts of it that were never seen; it is no test of object recognition.
"""

from functools import cache, partial
from importlib.resources import files
from zlib import crc32

import torch
from jaxtyping import Int64, UInt8
from torch import Generator, Tensor

from covalign.data.decoding import decode
from covalign.data.images import Images
from covalign.data.listing import choose_split
from covalign.data.pixels import box_average, with_channels
from covalign.errors import InputError

SETS = {
    "a": ("astronaut", "brick", "coffee", "grass", "retina"),
    "b": ("camera", "chelsea", "gravel", "hopper", "hubble"),
}
CROPS = {"train": 800, "test": 200}  # per photograph
RESOLUTION = 32
SIDES = (32, 40, 48, 56)  # of crops, in pixels of the photograph
GRID = 4
TEST_COLUMNS = (1, 3, 0, 2)  # the test tile of each row of tiles
MARGIN = 8  # pixels between a tile's border and its crops


def photographs(source: str, split: str = "train") -> Images:
    """Return 32x32 RGB crops of the embedded photographs, in random order.

    Args:
        source: "photos:a" or "photos:b" (5 classes, 4000 training and 1000 test crops each), or "photos"
            (both: 10 classes).
        split: "train" or "test".

    Raises:
        InputError: a set or split that does not exist.
    """
    name = source.partition(":")[2]
    if source not in ("photos", *(f"photos:{known}" for known in SETS)):
        raise InputError(f"photographs: got {source!r}, expected 'photos', 'photos:a' or 'photos:b'")
    classes = SETS[name] if name else tuple(sorted(sum(SETS.values(), ())))
    split = choose_split(CROPS, split, source)
    pixels = torch.cat([_crops(photograph, split) for photograph in classes])
    labels = torch.arange(len(classes)).repeat_interleave(CROPS[split])
    order = torch.randperm(len(labels), generator=_stream(source, split))
    return Images(pixels[order], labels[order], classes, source, split)


def crop_boxes(height: int, width: int, count: int, split: str, generator: Generator) -> Int64[Tensor, "n 3"]:
    """Draw crops of a photograph: rows of (top, left, side), each within one tile of the split.

    Tiles, sides and places are uniform and independent.

    Args:
        height: of the photograph, in pixels.
        width: of the photograph, in pixels.
        count: n.
        split: "train" (12 tiles) or "test" (4).
        generator: source of the draws.
    """
    below = partial(torch.randint, size=(count,), generator=generator)
    tiles = [
        (row, column)
        for row in range(GRID)
        for column in range(GRID)
        if (column == TEST_COLUMNS[row]) == (split == "test")
    ]
    tile = torch.tensor(tiles)[below(len(tiles))]
    side = torch.tensor(SIDES)[below(len(SIDES))]
    extent = torch.tensor([height, width])
    start = tile * extent // GRID + MARGIN
    room = (tile + 1) * extent // GRID - MARGIN - side[:, None] - start + 1
    place = (torch.rand((count, 2), generator=generator, dtype=torch.float64) * room).long()
    return torch.cat([start + place, side[:, None]], dim=1)


@cache  # 30 MB for all of them
def _crops(photograph: str, split: str) -> UInt8[Tensor, "n 3 32 32"]:
    file = files("covalign.data").joinpath("photographs", f"{photograph}.jpg")
    pixels = with_channels(decode(file.read_bytes(), str(file)), 3)
    _, height, width = pixels.shape
    boxes = crop_boxes(height, width, CROPS[split], split, _stream(photograph, split))
    crops = torch.empty((len(boxes), 3, RESOLUTION, RESOLUTION), dtype=torch.uint8)
    for side in SIDES:
        chosen = boxes[:, 2] == side
        top, left = boxes[chosen, :2, None].unbind(1)
        span = torch.arange(side)
        cut = pixels[:, (top + span)[:, :, None], (left + span)[:, None, :]]
        crops[chosen] = box_average(cut, RESOLUTION).transpose(0, 1)
    return crops


def _stream(*parts: str) -> Generator:
    return torch.Generator().manual_seed(crc32(" ".join(parts).encode()))
