import pytest
from safetensors.torch import save_file

from covalign.errors import InputError
from covalign.networks.filters import FilterBank, analytic_filters


def test_a_bank_comes_back_as_it_was(tmp_path):
    bank = analytic_filters()
    again = FilterBank.load(bank.save(tmp_path / "bank.safetensors"))
    assert (again.fingerprint, again.provenance) == (bank.fingerprint, bank.provenance)


def test_every_flipped_byte_of_a_bank_is_noticed_and_named(tmp_path):
    path = analytic_filters().save(tmp_path / "bank.safetensors")
    content = path.read_bytes()
    for position in range(len(content)):
        for bit in (0x01, 0x20, 0x80):
            damaged = bytearray(content)
            damaged[position] ^= bit
            path.write_bytes(damaged)
            with pytest.raises(InputError, match=r"bank\.safetensors"):
                FilterBank.load(path)


@pytest.mark.parametrize("metadata", [{"provenance": '{"name": "older"}'}, {"format": "pt"}, None])
def test_banks_without_a_checksum_load(tmp_path, metadata):
    bank = analytic_filters()
    save_file({"filters": bank.filters}, tmp_path / "bank.safetensors", metadata)
    assert FilterBank.load(tmp_path / "bank.safetensors").fingerprint == bank.fingerprint
