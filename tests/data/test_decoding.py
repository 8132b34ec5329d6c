import numpy as np
import pytest
import torch
from PIL import Image

from covalign.data.decoding import decode, decode_listing
from covalign.data.listing import Listing
from covalign.errors import InputError


def listing(*data):
    def read(rows):
        for row in rows:
            yield f"row {row}", data[row]

    count = len(data)
    return Listing(torch.arange(count), torch.zeros(count, dtype=torch.int64), ("a",), read)


@pytest.fixture
def colour(pictures):
    return pictures[0][0]


def test_decoding_gives_the_channels_that_the_file_has(colour, encoded):
    assert decode(encoded(colour), "x").tolist() == colour.transpose(2, 0, 1).tolist()
    assert decode(encoded(colour[..., 0]), "x").tolist() == [colour[..., 0].tolist()]
    assert decode(encoded(np.dstack([colour, colour[..., 0]])), "x").shape == (4, 8, 8)


def test_palettes_bits_and_sixteen_bits_become_ordinary_pixels(encoded):
    ramp = np.arange(64, dtype=np.uint8).reshape(8, 8)
    palette = np.array(Image.fromarray(ramp).convert("P"))
    assert decode(encoded(palette), "x")[0].tolist() == ramp.tolist()
    assert decode(encoded(ramp > 31), "x")[0].tolist() == np.where(ramp > 31, 255, 0).tolist()
    assert decode(encoded(ramp.astype(np.uint16) * 257), "x")[0].tolist() == ramp.tolist()


def test_a_palette_with_transparency_keeps_it(tmp_path):
    image = Image.new("P", (2, 2), 0)
    image.putpalette([10, 20, 30])
    image.save(tmp_path / "clear.png", transparency=0)
    assert decode((tmp_path / "clear.png").read_bytes(), "x")[3].tolist() == [[0, 0], [0, 0]]


def test_the_camera_orientation_is_applied(colour, encoded):
    exif = Image.Exif()
    exif[0x0112] = 6  # the top of the scene is at the right edge
    turned = decode(encoded(colour[:4], exif=exif), "x")
    assert turned.permute(1, 2, 0).tolist() == np.rot90(colour[:4], -1).tolist()


def test_a_listing_is_decoded_in_its_own_order(pictures, encoded):
    pixels, _ = pictures
    order = torch.tensor([5, 0, 11, 3])
    decoded = decode_listing(listing(*map(encoded, pixels)).take(order))
    assert torch.equal(decoded, torch.from_numpy(pixels).permute(0, 3, 1, 2)[order])


def test_images_of_several_sizes_need_a_resolution(colour, encoded):
    files = listing(encoded(colour), encoded(colour[:6]))
    with pytest.raises(InputError, match="row 1: got 8x6 pixels where row 0 has 8x8; pass a resolution"):
        decode_listing(files)
    assert decode_listing(files, resolution=4).shape == (2, 3, 4, 4)


def test_images_averaged_together_are_those_averaged_one_by_one(encoded):
    """Sizes change within a listing, and 80 images of 72 x 76 are more than are averaged at once."""
    draw = np.random.default_rng(1)
    sides = [72] * 80 + [8, 24, 24, 72]
    files = [encoded(draw.integers(0, 256, (side, side + 4, 3), dtype=np.uint8)) for side in sides]
    alone = [decode_listing(listing(each), resolution=4) for each in files]
    assert torch.equal(decode_listing(listing(*files), resolution=4), torch.cat(alone))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_truncated_image_is_named(colour, encoded, kind):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    with pytest.raises(InputError, match=r"row 1: not a readable image \(.*\); restore or remove it"):
        decode_listing(listing(encoded(noise), encoded(noise, kind)[:2000]))


def test_bytes_that_are_no_image_are_named():
    with pytest.raises(InputError, match=r"row 0: not a readable image \(cannot identify image file\)"):
        decode_listing(listing(b"no image"))


def test_floating_point_images_are_refused(encoded):
    with pytest.raises(InputError, match="pixel mode F has no fixed range"):
        decode(encoded(np.zeros((2, 2), np.float32), "TIFF"), "x")


def test_nothing_to_decode_is_refused():
    with pytest.raises(InputError, match="no images to decode"):
        decode_listing(listing())
