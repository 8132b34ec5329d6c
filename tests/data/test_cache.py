import pytest
import torch

from covalign.data.cache import cached
from covalign.data.images import Images


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "data.bin"
    path.write_bytes(b"1")
    return path


class Maker:
    """Makes images and counts how often it was asked."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        pixels = torch.arange(48, dtype=torch.uint8).view(4, 3, 2, 2)
        return Images(pixels, torch.tensor([0, 1, 1, 0]), ("no", "yes"), "made", "train")


def test_a_second_call_reads_the_stored_images(file, cache_folder):
    make = Maker()
    first, second = (cached([file], {"split": "train"}, make) for _ in range(2))
    assert make.calls == 1
    assert second.fingerprint == first.fingerprint
    assert (second.classes, second.name, second.split) == (("no", "yes"), "made", "train")
    assert [entry.suffix for entry in cache_folder.iterdir()] == [".safetensors"]  # no temporary file is left


def test_other_options_or_a_changed_file_make_other_entries(file):
    make = Maker()
    cached([file], {"resolution": 32}, make)
    cached([file], {"resolution": 16}, make)
    file.write_bytes(b"22")
    cached([file], {"resolution": 32}, make)
    assert make.calls == 3


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "header"])
def test_a_damaged_entry_is_made_anew(file, cache_folder, damage):
    make = Maker()
    good = cached([file], {}, make)
    (entry,) = cache_folder.iterdir()
    data = bytearray(entry.read_bytes())
    if damage == "flip":
        data[-1] ^= 1
    elif damage == "header":
        data[data.index(b"made")] ^= 1
    entry.write_bytes({"cut": data[:-5], "empty": b""}.get(damage, data))
    assert cached([file], {}, make).fingerprint == good.fingerprint
    assert make.calls == 2
    assert cached([file], {}, make).name == "made"
    assert make.calls == 2  # the new entry is whole


def test_a_folder_that_cannot_be_written_costs_time_only(file, cache_folder):
    cache_folder.parent.mkdir()
    cache_folder.write_text("a file in the place of the folder")
    make = Maker()
    assert len(cached([file], {}, make)) == 4
    assert len(cached([file], {}, make)) == 4
    assert make.calls == 2
