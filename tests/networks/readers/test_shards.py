"""Networks in pieces, by any of their names."""

import json

import pytest
import safetensors.torch
import torch

from covalign.errors import InputError
from covalign.networks.readers.opening import read_network
from samples.strangers import small_cnn

WEIGHTS = small_cnn().state_dict()
PARTS = [
    {name: WEIGHTS[name] for name in WEIGHTS if name.startswith(start)}
    for start in (("first", "second"), ("norm", "point"), ("hidden", "classes"))
]


def shards(folder, suffix=".safetensors", index=True, stem="model"):
    names = [f"{stem}-{number:05d}-of-00003{suffix}" for number in (1, 2, 3)]
    for name, part in zip(names, PARTS, strict=True):
        if suffix == ".safetensors":
            safetensors.torch.save_file(part, folder / name)
        else:
            torch.save(part, folder / name)
    if index:
        where = {tensor: name for name, part in zip(names, PARTS, strict=True) for tensor in part}
        (folder / f"{stem}{suffix}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return names


@pytest.mark.parametrize(("suffix", "stem"), [(".safetensors", "model"), (".bin", "pytorch_model")])
@pytest.mark.parametrize("index", [True, False])
def test_a_shard_an_index_and_a_folder_are_the_whole_network(tmp_path, suffix, stem, index):
    names = shards(tmp_path, suffix, index, stem)
    paths = [tmp_path, *(tmp_path / name for name in names)]
    paths += [tmp_path / f"{stem}{suffix}.index.json"] if index else []
    for path in paths:
        network = read_network(path)
        assert sorted(layer.name for layer in network.layers) == [
            "classes",
            "first",
            "hidden",
            "point",
            "second",
        ]
        assert network.details["shards"] == names
        assert network.name == (tmp_path.name if path == tmp_path else stem)


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_missing_shard_is_named(tmp_path, index, lost):
    names = shards(tmp_path, index=index)
    (tmp_path / names[lost]).unlink()
    for path in (tmp_path, tmp_path / names[lost - 1]):
        with pytest.raises(InputError, match=f"the shard {names[lost]} is missing"):
            read_network(path)


def test_a_tensor_that_the_index_promises_and_no_shard_has_is_named(tmp_path):
    names = shards(tmp_path)
    safetensors.torch.save_file({"first.weight": WEIGHTS["first.weight"]}, tmp_path / names[0])
    with pytest.raises(InputError, match=rf"{names[0]} holds 'first.bias', which is not there"):
        read_network(tmp_path)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": "../b.bin"}}']
)
def test_an_index_that_is_none_is_refused(tmp_path, content):
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(InputError, match=r"not an index of shards|expected files beside it"):
        read_network(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "odd.pt"])
def test_a_folder_with_one_weight_file_is_that_file(tmp_path, name):
    save = safetensors.torch.save_file if name.endswith("safetensors") else torch.save
    save(WEIGHTS, tmp_path / name)
    (tmp_path / "config.json").write_text("{}")
    assert len(read_network(tmp_path).layers) == 5


def test_a_folder_of_several_networks_is_refused_with_their_names(tmp_path):
    for name in ("one.pt", "two.pt"):
        torch.save(WEIGHTS, tmp_path / name)
    with pytest.raises(InputError, match=r"holds several weight files \(one.pt, two.pt\), expected one"):
        read_network(tmp_path)


def test_more_shards_are_counted_than_there_can_be(tmp_path):
    torch.save(PARTS[0], tmp_path / "model-00001-of-99999999.bin")
    with pytest.raises(InputError, match=r"the shard model-00002-of-99999999.bin is missing"):
        read_network(tmp_path / "model-00001-of-99999999.bin")
