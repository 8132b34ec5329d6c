"""Files that are not read are refused with what they are."""

import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from covalign.errors import InputError
from covalign.networks.readers.opening import read_network

BEGINNINGS = {
    "pointer.safetensors": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        "pointer of Git LFS",
    ),
    "page.pt": (b"<!DOCTYPE html><html>", "a web page"),
    "llm.gguf": (b"GGUF\x03\x00", "GGUF"),
    "llm.bin": (b"GGUF\x03\x00", "GGUF"),
    "phone.tflite": (b"\x1c\x00\x00\x00TFL3", "TensorFlow Lite.*tf2onnx"),
    "phone.pt": (b"\x1c\x00\x00\x00TFL3", "TensorFlow Lite.*tf2onnx"),
    "packed.pth": (b"\x1f\x8b\x08", "gzip archive.*unpack"),
    "keras.pt": (b"\x89HDF\r\n\x1a\n", "HDF5 file.*ending .h5"),
    "net.pdparams": (b"\x80\x02", "PaddlePaddle weights, a pickle"),
    "flax.msgpack": (b"\x81", "Flax weights.*numpy.savez"),
    "net.ckpt.data-00000-of-00001": (b"\x00", "TensorFlow checkpoint"),
    "net.pb": (b"\x08", "TensorFlow graph.*tf2onnx"),
    "net.pkl": (b"\x80\x04", "a pickle, which may run code"),
    "net.mlmodel": (b"\x08", "Core ML"),
    "net.caffemodel": (b"\x0a", "Caffe"),
    "net.npy": (b"\x93NUMPY", "a single array"),
    "net.engine": (b"ptrt", "TensorRT"),
}


@pytest.mark.parametrize(
    ("name", "content", "message"), [(n, *v) for n, v in BEGINNINGS.items()], ids=BEGINNINGS
)
def test_a_file_of_another_format_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_network(tmp_path / name)
    assert "truncated" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("beside", "name", "message"),
    [
        ("model.json", "group1-shard1of1.bin", "TensorFlow.js model"),
        ("net.param", "net.bin", "ncnn"),
        ("net.xml", "net.bin", "OpenVINO"),
        ("model.ckpt.index", "model.ckpt", "TensorFlow checkpoint"),
    ],
)
def test_a_file_is_known_by_those_beside_it(tmp_path, beside, name, message):
    (tmp_path / beside).write_text("{}")
    (tmp_path / name).write_bytes(bytes(8))
    with pytest.raises(InputError, match=message):
        read_network(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "message"),
    [("saved_model.pb", "SavedModel"), ("model.json", "TensorFlow.js"), ("x.txt", "without weight")],
)
def test_a_folder_of_another_format_is_named(tmp_path, name, message):
    (tmp_path / name).write_text("")
    with pytest.raises(InputError, match=message):
        read_network(tmp_path)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (["net/code/__torch__.py", "net/data.pkl"], "TorchScript archive"),
        (["net/constants.pkl", "net/data.pkl"], "TorchScript archive"),
        (["net/archive_format", "net/models/model.json"], "torch.export archive"),
        (["serialized_exported_program.json", "serialized_state_dict.pt"], "torch.export archive"),
        (["config.json", "model.weights.h5"], "Keras archive"),
        (["a.npy", "b.npy"], "archive of NumPy arrays.*ending .npz"),
        (["readme.txt"], "zip archive without PyTorch weights"),
    ],
)
@pytest.mark.parametrize("name", ["net.pt", "net.bin"])
def test_an_archive_is_known_by_what_is_in_it(tmp_path, name, entries, message):
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        for entry in entries:
            archive.writestr(entry, b"")
    with pytest.raises(InputError, match=message):
        read_network(tmp_path / name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["net.pt2", "net.pt"])
def test_an_exported_program_is_refused_as_what_it_is(tmp_path, name):
    program = torch.export.export(nn.Conv2d(3, 4, 3).eval(), (torch.randn(1, 3, 8, 8),))
    torch.export.save(program, tmp_path / "net.pt2")
    (tmp_path / "net.pt2").rename(tmp_path / name)
    with pytest.raises(InputError, match=r"a torch.export archive, which contains a program.*ONNX"):
        read_network(tmp_path / name)


def test_a_pickled_module_is_called_one(tmp_path):
    torch.save(nn.Sequential(nn.Conv2d(3, 4, 3)), tmp_path / "net.pt")
    with pytest.raises(InputError, match=r"a whole pickled module.*save model.state_dict\(\)"):
        read_network(tmp_path / "net.pt")


def test_the_arrays_of_numpy_are_read(tmp_path):
    np.savez(
        tmp_path / "net.npz", **{"conv/W": np.random.default_rng(0).normal(size=(8, 3, 3, 3)).astype("f")}
    )
    assert [layer.name for layer in read_network(tmp_path / "net.npz").layers] == ["conv"]


@pytest.mark.parametrize("name", ["net.npz", "net.h5"])
def test_an_archive_whose_table_of_contents_is_damaged_is_refused_in_one_line(tmp_path, name):
    path = tmp_path / "net.npz"
    np.savez(path, **{"a.weight": np.ones((4, 3), np.float32)})
    path.write_bytes(path.read_bytes().replace(b"PK\x01\x02", b"PK\x01\x03"))
    with pytest.raises(InputError, match=name):
        read_network(path.rename(tmp_path / name))
