"""The encoding that comes with the package, as a user meets it: by its name, in a process of its own."""

import subprocess
import sys

import pytest
import torch

from covalign.errors import InputError
from covalign.networks.architectures.vgg import vgg
from covalign.studies.universal.initialize import init_
from covalign.studies.universal.record import load_encoding
from covalign.studies.universal.shipped import file_of, shipped_names
from samples.pictures import corners

NAME = "vgg11-natural"

PROGRAM = f"""
import torch, covalign
m = covalign.vgg11('factorized', width=0.125, kernel_size=5, in_channels=4, classes=7)
x = torch.randint(0, 256, (60, 4, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
done = covalign.init_(m, {NAME!r}, x)
print([row.source for row in done.rows].count("encoding"), done.rows[0].source, done.rows[0].inputs)
print(all(0.5 < row.received < 2 for row in done.rows), tuple(m(torch.zeros(2, 4, 32, 32)).shape))
"""


@pytest.fixture(scope="module")
def natural():
    return load_encoding(NAME)


def test_a_fresh_process_starts_another_width_kernel_and_number_of_channels_by_name(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.splitlines() == ["7 images 40", "True (2, 7)"]


def test_every_encoding_that_comes_along_is_small_and_whole():
    assert NAME in shipped_names()
    for name in shipped_names():
        assert file_of(name).stat().st_size < 10e6
        assert load_encoding(name).layers


def test_its_card_says_what_stands_behind_it(natural):
    data = natural.card["data"]
    assert "non-commercial research" in data["tiny-imagenet-40a"]["licence"]
    assert "JPEG" in data["cifar10-jpeg"]["licence"]
    assert natural.card["holds"]
    conditions = [row.condition for row in natural.members]
    assert sorted(set(conditions)) == ["cifar10-jpeg", "tiny-imagenet-40a"]
    assert len({row.seed for row in natural.members}) == len(natural.members) == 10


def test_no_path_of_the_machine_that_built_it_is_in_it(natural):
    text = file_of(NAME).read_bytes()
    for part in (b"/work", b"/tmp", b"/home", b"/root"):
        assert part not in text[: 2**16]
        assert part.decode() not in str(natural.card) + str(natural.members)


def test_members_share_more_than_networks_turned_at_random(natural):
    for row in natural.rows:
        assert row.explained > row.explained_rotated
        assert row.explained <= 1
        assert row.score != row.score or row.low <= row.score <= row.high


def test_at_its_own_width_nothing_of_the_rows_is_lost(natural):
    torch.manual_seed(0)
    module = vgg("vgg11", "factorized", natural.reference.spec["width"], classes=3)
    done = init_(module, natural, corners(60, 3, "train"))
    assert [row.source for row in done.rows] == ["encoding"] * 8
    assert all(row.coverage == pytest.approx(1) for row in done.rows)


def test_a_file_goes_before_a_name(encoding, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    encoding.save(NAME)
    assert len(load_encoding(NAME).members) == 3


def test_a_name_that_does_not_exist_is_answered_with_those_that_do():
    with pytest.raises(InputError, match=f"one of .*{NAME}") as caught:
        load_encoding("vgg12")
    assert "\n" not in str(caught.value)
    for path in ("folder/vgg12", "vgg12.safetensors"):
        with pytest.raises(InputError, match="no such file"):
            load_encoding(path)
