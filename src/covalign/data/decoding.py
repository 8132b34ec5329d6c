"""How do encoded image files become one uint8 tensor?

Each image is decoded by Pillow, turned upright as its camera says, brought to the wanted channels and size
(`covalign.data.pixels`) and written into its place, a batch at a time, so that memory holds the result and
one batch. Whatever is wrong with an image is reported with its file and row.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageOps
from torch import Tensor

from covalign.data.listing import Listing
from covalign.data.pixels import CHUNK, box_average, square, with_channels
from covalign.errors import InputError
from covalign.limits import DECODED, PIXELS

NATIVE_MODES = ("L", "RGB", "RGBA")


def decode_listing(
    listing: Listing, channels: int | None = 3, resolution: int | None = None
) -> UInt8[Tensor, "n c h w"]:
    """Decode the images of a listing, in its order.

    Args:
        listing: which images, and how to read their bytes.
        channels: their number afterwards (`with_channels`); None leaves them as they are, if all have the same.
        resolution: side in pixels: the central square is averaged down to it. None keeps the size, which must
            then be the same for all images.

    Raises:
        InputError: an image that cannot be decoded, or sizes that differ while ``resolution`` is None.
    """
    order = torch.argsort(listing.rows)
    if resolution is not None:
        PIXELS.check(resolution**2, "resolution")
    pixels: Tensor | None = None
    decoded = (
        _Decoded(place, origin, with_channels(decode(data, origin), channels))
        for place, (origin, data) in zip(
            order.tolist(), listing.read(listing.rows[order].tolist()), strict=True
        )
    )
    for batch in _alike(decoded):
        images, origin = torch.stack([each.image for each in batch]), batch[0].origin
        if resolution is not None:
            images = box_average(square(images), resolution)
        if pixels is None:
            DECODED.check(len(listing) * images[0].numel(), f"{origin} and {len(listing) - 1} more images")
            pixels, first = torch.empty((len(listing), *images.shape[1:]), dtype=torch.uint8), origin
        if images.shape[1] != pixels.shape[1]:
            raise InputError(
                f"{origin}: got {images.shape[1]} channels where {first} has {pixels.shape[1]}; "
                "state how many to take"
            )
        if images.shape[1:] != pixels.shape[1:]:
            raise InputError(
                f"{origin}: got {_size(images)} pixels where {first} has {_size(pixels)}; "
                "pass a resolution to bring all images to one size"
            )
        pixels[[each.place for each in batch]] = images
    if pixels is None:
        raise InputError("no images to decode; choose other classes or files")
    return pixels


@dataclass(frozen=True)
class _Decoded:
    """An image, where it belongs, and where it came from."""

    place: int
    origin: str
    image: UInt8[Tensor, "c h w"]


def _alike(images: Iterable[_Decoded]) -> Iterator[list[_Decoded]]:
    """Yield images that follow one another and have one shape together, as many as are averaged at once."""
    batch: list[_Decoded] = []
    for each in images:
        if batch and (each.image.shape != batch[0].image.shape or len(batch) * each.image.numel() > CHUNK):
            yield batch
            batch = []
        batch.append(each)
    if batch:
        yield batch


def decode(data: bytes, origin: str) -> UInt8[Tensor, "c h w"]:
    """Decode one image to grey, RGB or RGBA.

    Args:
        data: an encoded image (JPEG, PNG, ...).
        origin: file and row, for the message.

    Raises:
        InputError: the bytes are no image, or only part of one.
    """
    try:
        with _measured_here(), Image.open(BytesIO(data)) as image:
            PIXELS.check(image.width * image.height, origin)
            ImageOps.exif_transpose(image, in_place=True)
            array = np.array(image if image.mode in NATIVE_MODES else _native(image))
    except InputError:
        raise
    except Exception as error:  # a decoder fed damaged bytes may raise nearly anything
        reason = str(error).partition(" <_io.")[0] or type(error).__name__
        raise InputError(f"{origin}: not a readable image ({reason}); restore or remove it") from error
    return torch.from_numpy(array.reshape(*array.shape[:2], -1)).permute(2, 0, 1)


@contextmanager
def _measured_here() -> Iterator[None]:
    """Turn off the bound of the library, which no option of ours would raise: `PIXELS` is checked instead."""
    usual, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = usual


def _native(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"pixel mode {image.mode} has no fixed range")
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        return image.convert("RGBA")
    return image.convert("L" if image.mode == "1" else "RGB")


def _size(pixels: Tensor) -> str:
    return f"{pixels.shape[-1]}x{pixels.shape[-2]}"
