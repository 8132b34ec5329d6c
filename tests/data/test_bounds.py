"""Small files of images cannot ask for unbounded work."""

import struct
import zipfile
import zlib
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from covalign.data.decoding import decode
from covalign.data.loading import load_images
from covalign.errors import InputError


def picture() -> bytes:
    made = BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(made, "PNG")
    return made.getvalue()


@pytest.mark.parametrize("label", [10**8, 2**40, 2**62])
def test_a_label_does_not_make_as_many_classes(tmp_path, label):
    frame = pd.DataFrame({"image": [{"bytes": picture(), "path": None}] * 2, "label": [0, label]})
    frame.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match=f"asks for {label + 1} classes, .* set COVALIGN_MAX_CLASSES"):
        load_images(tmp_path / "a.parquet", cache=False)
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 8, 8, 3), np.uint8), labels=np.array([0, label]))
    with pytest.raises(InputError, match=f"asks for {label + 1} classes, .* set COVALIGN_MAX_CLASSES"):
        load_images(tmp_path / "a.npz", cache=False)


@pytest.mark.parametrize("side", [13_000, 2**31 - 1])
def test_an_image_is_measured_before_it_is_decoded(side):
    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    with pytest.raises(
        InputError, match=f"row 3: asks for {side**2} pixels in one image.*COVALIGN_MAX_PIXELS"
    ):
        decode(data, "row 3")


def test_arrays_that_are_not_images_are_not_read(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 8, 8, 3), np.uint8), labels=np.arange(2))
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("other.npy", b"no array at all")
    assert len(load_images(tmp_path / "a.npz", cache=False)) == 2


def test_images_are_measured_before_they_are_enlarged(tmp_path, monkeypatch):
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 8, 8, 3), np.uint8), labels=np.arange(2))
    with pytest.raises(InputError, match="COVALIGN_MAX_PIXELS"):
        load_images(tmp_path / "a.npz", resolution=100_000)
    monkeypatch.setenv("COVALIGN_MAX_DECODED", "1000")
    with pytest.raises(InputError, match="COVALIGN_MAX_DECODED"):
        load_images(tmp_path / "a.npz", resolution=64)
