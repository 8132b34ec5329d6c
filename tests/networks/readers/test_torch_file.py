import json
import pickle
import struct
import zipfile
from collections import OrderedDict

import psutil
import pytest
import safetensors.torch
import torch

from covalign.errors import InputError
from covalign.networks.readers.opening import read_network
from covalign.networks.readers.torch_file import read_weight_file
from samples.strangers import small_cnn


class Call:
    """Pickles as the call of a function."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def saved(folder, content, name="net.pt", **options):
    torch.save(content, folder / name, **options)
    return folder / name


def refused(path, message):
    """Assert that a file ends in one line, and without much memory."""
    before = psutil.Process().memory_info().rss
    with pytest.raises(InputError, match=message) as caught:
        read_network(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert psutil.Process().memory_info().rss - before < 300e6


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
def test_tensors_come_back_as_they_were_saved(tmp_path, suffix, dtype):
    weights = {"a.weight": torch.randn(4, 3, 3, 3).to(dtype), "b.weight": torch.randn(2, 4).to(dtype)}
    path = tmp_path / f"net{suffix}"
    (safetensors.torch.save_file if suffix == ".safetensors" else torch.save)(weights, path)
    read = read_weight_file(path).tensors
    assert all(torch.equal(read[name], weight) for name, weight in weights.items())
    assert read_network(path).layers[0].weight.dtype == dtype


def test_the_older_pytorch_format_is_read(tmp_path):
    path = saved(tmp_path, small_cnn().state_dict(), _use_new_zipfile_serialization=False)
    assert len(read_network(path).layers) == 5


@pytest.mark.parametrize(
    ("wrap", "inside"),
    [
        (lambda weights: {"state_dict": weights, "epoch": 3}, "state_dict"),
        (lambda weights: {"model": weights, "ema": dict(weights), "args": {"lr": 0.1}}, "model"),
        (lambda weights: {"my_net": weights, "optimizer": {"state": {0: {"m": torch.ones(2, 2)}}}}, "my_net"),
        (lambda weights: {"run": {"deep": weights}}, "run.deep"),
        (lambda weights: OrderedDict((f"module.{k}", v) for k, v in weights.items()), None),
        (
            lambda weights: {"state_dict": {f"module._orig_mod.{k}": v for k, v in weights.items()}},
            "state_dict",
        ),
    ],
    ids=["state_dict", "model before ema", "the only one", "nested twice", "parallel", "compiled"],
)
def test_nested_and_prefixed_weights_are_found(tmp_path, wrap, inside):
    network = read_network(saved(tmp_path, wrap(small_cnn().state_dict())))
    assert [layer.name for layer in network.layers] == ["first", "second", "point", "hidden", "classes"]
    assert network.details.get("inside") == inside


def test_parts_of_one_network_in_one_file_are_read_side_by_side(tmp_path):
    weights = {"w.weight": torch.randn(4, 3, 3, 3)}
    path = saved(tmp_path, {"encoder": weights, "decoder": {"w.weight": torch.randn(5, 4, 3, 3)}})
    assert [layer.name for layer in read_network(path).layers] == ["encoder.w", "decoder.w"]


@pytest.mark.parametrize("file_format", ["zip", "older"])
def test_a_pickle_that_would_run_code_is_refused_unread(tmp_path, file_format):
    witness = tmp_path / "witness"
    content = {"weight": Call(open, str(witness), "w")}
    path = saved(tmp_path, content, _use_new_zipfile_serialization=file_format == "zip")
    refused(path, "refused unread, because loading it would import _?io open, which may run code")
    assert not witness.exists()


def test_a_pickled_module_is_refused_with_advice(tmp_path):
    refused(saved(tmp_path, small_cnn()), r"SmallCNN.* save model.state_dict\(\)")


def test_a_pickle_that_asks_for_memory_is_refused_unread(tmp_path):
    path = tmp_path / "net.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net/data.pkl", pickle.dumps(Call(bytearray, 10**11), 2))
        archive.writestr("net/version", "3\n")
    refused(path, "import __builtin__ bytearray")


@pytest.mark.slow
def test_a_zip_bomb_is_refused_unread(tmp_path):
    path = tmp_path / "net.pt"
    plain = saved(tmp_path, {"weight": torch.zeros(3000, 3000)}, "plain.pt")
    with zipfile.ZipFile(plain) as archive, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        for entry in archive.infolist():
            bomb.writestr(entry.filename, archive.read(entry))
    assert path.stat().st_size < 100_000
    refused(path, "bytes that unpack to 36.* refused unread")


def test_a_tensor_that_repeats_one_stored_number_is_refused(tmp_path):
    path = saved(tmp_path, {"weight": torch.zeros(1).expand(10**6, 10**3, 3, 3)})
    refused(path, "'weight' declares 9000000000 numbers and stores 4 bytes")


def test_a_torchscript_archive_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "net.pt", "w") as archive:
        archive.writestr("net/constants.pkl", b"")
    refused(tmp_path / "net.pt", "TorchScript archive, which contains code")


@pytest.mark.parametrize("keep", [0, 3, 100, 0.5, 0.99])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_truncated_file_is_refused(tmp_path, suffix, keep):
    path = tmp_path / f"net{suffix}"
    (safetensors.torch.save_file if suffix == ".safetensors" else torch.save)(small_cnn().state_dict(), path)
    data = path.read_bytes()
    path.write_bytes(data[: keep if isinstance(keep, int) else int(keep * len(data))])
    refused(path, "get it again")


def test_bytes_of_anything_are_refused(tmp_path):
    for index in range(20):
        path = tmp_path / f"net{index}.pt"
        path.write_bytes(torch.randint(256, (500,), dtype=torch.uint8).numpy().tobytes())
        refused(path, "not a PyTorch weight file")


def header(**tensors):
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<Q", 2**62) + b"{}",
        struct.pack("<Q", 99_000_000) + b"{}",
        struct.pack("<Q", 10**12),
        header(w={"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}) + bytes(4),
        header(w={"dtype": "F32", "shape": [1000, 1000], "data_offsets": [0, 4]}) + bytes(4),
        header(w={"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]}) + bytes(4),
        header(w={"dtype": "F32", "shape": [1], "data_offsets": [0, 4000]}) + bytes(4),
    ],
    ids=["header 2^62", "header 99 MB", "no header", "unknown dtype", "wrong size", "overflow", "short data"],
)
def test_a_safetensors_file_that_lies_about_itself_is_refused(tmp_path, data):
    (tmp_path / "net.safetensors").write_bytes(data)
    refused(tmp_path / "net.safetensors", "not a safetensors file")


@pytest.mark.slow
def test_a_safetensors_file_is_read_lazily(tmp_path):
    path = tmp_path / "net.safetensors"
    safetensors.torch.save_file({"a.weight": torch.zeros(50_000_000), "b.weight": torch.randn(4, 4)}, path)
    before = psutil.Process().memory_info().rss
    assert read_network(path).layers[0].name == "b"
    assert psutil.Process().memory_info().rss - before < 50e6


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("architecture", [None, "module"])
def test_weights_that_are_not_finite_are_refused(tmp_path, value, architecture):
    weights = small_cnn().state_dict()
    weights["second.weight"][1, 2, 0, 0] = value
    path = saved(tmp_path, weights)
    with pytest.raises(
        InputError, match=r"net.pt: 'second.* has weights that are not finite.* earlier checkpoint"
    ):
        read_network(path, small_cnn() if architecture else None)


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {"a": {"b": {}}}, torch.ones(3), {}])
def test_a_file_without_a_state_dict_is_refused(tmp_path, content):
    refused(saved(tmp_path, content), "expected a state dict")


def test_a_checkpoint_that_contains_itself_ends(tmp_path):
    loop = {"vector": torch.ones(3)}
    loop["model"] = loop
    refused(saved(tmp_path, {"model": loop}), "no weights of two-dimensional convolutions")


def test_an_empty_safetensors_file_is_refused(tmp_path):
    safetensors.torch.save_file({}, tmp_path / "net.safetensors")
    refused(tmp_path / "net.safetensors", "holds no tensors")


def test_an_unknown_kind_of_file_is_refused(tmp_path):
    (tmp_path / "net.odd").write_bytes(b"odd")
    refused(tmp_path / "net.odd", "ending in '.odd', expected .safetensors")


def test_what_a_safetensors_file_says_of_itself_is_kept(tmp_path):
    weights = {"w": torch.randn(4, 3, 3, 3)}
    safetensors.torch.save_file(weights, tmp_path / "net.safetensors", {"license": "MIT"})
    assert read_network(tmp_path / "net.safetensors").details["metadata"] == {"license": "MIT"}


@pytest.mark.slow
def test_what_a_checkpoint_may_hold_besides_weights_does_no_harm(tmp_path):
    content = {
        "model": {"weight": torch.nn.Parameter(torch.ones(2, 2, dtype=torch.bfloat16))},
        "size": torch.Size([1]),
        "type": torch.float16,
        "device": torch.device("cpu"),
        "names": {"a", "b"},
        "bytes": b"\xff",
        "optimizer": torch.optim.Adam(small_cnn().parameters()).state_dict(),
    }
    assert [layer.name for layer in read_network(saved(tmp_path, content)).layers] == ["weight"]
