"""Arrays of Flax, Keras, Chainer and NumPy, against the layers that they are."""

import io
import zipfile

import numpy as np
import psutil
import pytest
import torch

from covalign.errors import InputError
from covalign.networks.readers.opening import read_network

RNG = np.random.default_rng(0)


def array(*shape):
    return RNG.normal(size=shape).astype(np.float32)


FLAX = {
    "Conv_0/kernel": array(3, 3, 3, 8),
    "Conv_0/bias": array(8),
    "Conv_1/kernel": array(3, 3, 8, 16),
    "BatchNorm_0/scale": array(16),
    "Dense_0/kernel": array(16, 10),
    "Dense_0/bias": array(10),
}
CHAINER = {"conv1/W": array(8, 3, 3, 3), "conv1/b": array(8), "fc/W": array(10, 8), "fc/b": array(10)}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_kernels_with_channels_last_are_read_as_pytorch_has_them(tmp_path, save):
    save(tmp_path / "net.npz", **FLAX)
    network = read_network(tmp_path / "net.npz")
    assert [layer.name for layer in network.layers] == ["Conv_0", "Conv_1", "Dense_0"]
    first, second, last = (layer.weight for layer in network.layers)
    assert torch.equal(first, torch.from_numpy(FLAX["Conv_0/kernel"]).permute(3, 2, 0, 1))
    assert torch.equal(second, torch.from_numpy(FLAX["Conv_1/kernel"]).permute(3, 2, 0, 1))
    assert torch.equal(last[:, :, 0, 0], torch.from_numpy(FLAX["Dense_0/kernel"]).T)
    assert "channels last" in network.details["axes"]


def test_kernels_with_channels_first_stay_as_they_are(tmp_path):
    np.savez(tmp_path / "net.npz", **CHAINER)
    network = read_network(tmp_path / "net.npz")
    assert torch.equal(network.layers[0].weight, torch.from_numpy(CHAINER["conv1/W"]))
    assert torch.equal(network.layers[1].weight[:, :, 0, 0], torch.from_numpy(CHAINER["fc/W"]))
    assert "axes" not in network.details


def test_attention_of_flax_has_one_axis_for_heads_and_features(tmp_path):
    weights = {
        "block/attn/query/kernel": array(12, 3, 4), "block/attn/query/bias": array(3, 4),
        "block/attn/out/kernel": array(3, 4, 12), "block/attn/out/bias": array(12),
        "block/mlp/kernel": array(12, 48), "block/mlp/bias": array(48),
    }  # fmt: skip
    np.savez(tmp_path / "net.npz", **weights)
    layers = {layer.name: layer.weight[:, :, 0, 0] for layer in read_network(tmp_path / "net.npz").layers}
    query, out = (torch.from_numpy(weights[f"block/attn/{name}/kernel"]) for name in ("query", "out"))
    assert torch.equal(layers["block.attn.query"], query.reshape(12, 12).T)
    assert torch.equal(layers["block.attn.out"], out.reshape(12, 12).T)


@pytest.mark.slow
def test_stored_arrays_are_mapped_and_not_loaded(tmp_path):
    np.savez(tmp_path / "net.npz", **{"table": np.zeros(50_000_000, np.float32), **CHAINER})
    before = psutil.Process().memory_info().rss
    assert len(read_network(tmp_path / "net.npz").layers) == 2
    assert psutil.Process().memory_info().rss - before < 50e6


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_either_order_and_byte_order_are_read(tmp_path, order):
    values = np.asarray(CHAINER["conv1/W"], order=order)
    np.savez(tmp_path / "net.npz", **{"a/W": values, "b/W": np.arange(0.0, 32).reshape(4, 8).astype(">f4")})
    layers = read_network(tmp_path / "net.npz").layers
    assert np.array_equal(layers[0].weight.numpy(), values)
    assert layers[1].weight.flatten().tolist() == list(range(32))


def test_pickled_objects_are_left_unread(tmp_path):
    np.savez(tmp_path / "net.npz", **CHAINER, odd=np.array([{"a": 1}], dtype=object))
    assert len(read_network(tmp_path / "net.npz").layers) == 2
    np.savez(tmp_path / "odd.npz", odd=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match="holds no arrays of numbers"):
        read_network(tmp_path / "odd.npz")


@pytest.mark.parametrize("keep", [0, 10, 200])
def test_a_damaged_file_is_refused(tmp_path, keep):
    np.savez(tmp_path / "net.npz", **CHAINER)
    data = (tmp_path / "net.npz").read_bytes()
    (tmp_path / "net.npz").write_bytes(data[:keep])
    with pytest.raises(InputError, match=r"net.npz: (not an .npz file|an empty file)"):
        read_network(tmp_path / "net.npz")


def test_without_its_reader_a_keras_file_names_the_line_that_installs_it(tmp_path):
    try:
        __import__("h5py")
    except ImportError:
        (tmp_path / "net.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
        with pytest.raises(InputError, match=r"pip install 'covalign\[keras\]'"):
            read_network(tmp_path / "net.h5")
    else:
        pytest.skip("h5py is installed")


KERAS = {
    "conv2d": {"kernel:0": array(3, 3, 3, 8), "bias:0": array(8)},
    "depthwise_conv2d": {"depthwise_kernel:0": array(3, 3, 8, 2), "bias:0": array(16)},
    "conv2d_transpose": {"kernel:0": array(2, 2, 6, 16), "bias:0": array(6)},
    "batch_normalization": {
        name: array(6) for name in ("gamma:0", "beta:0", "moving_mean:0", "moving_variance:0")
    },
    "lstm": {"kernel:0": array(6, 20), "recurrent_kernel:0": array(5, 20), "bias:0": array(20)},
    "embedding": {"embeddings:0": array(50, 6)},
    "dense": {"kernel:0": array(6, 10), "bias:0": array(10)},
}
READ = [("conv2d", 8, 3), ("depthwise_conv2d", 16, 8), ("conv2d_transpose", 6, 16), ("dense", 10, 6)]


def hdf5(target, third):
    """Write the weights as Keras 2 or Keras 3 does."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(target, "w") as file:
        if not third:
            file.create_group("model_weights").attrs["layer_names"] = [name.encode() for name in KERAS]
        for layer, variables in KERAS.items():
            for index, (name, value) in enumerate(variables.items()):
                inner = f"layers/{layer}/{'cell/' if layer == 'lstm' else ''}vars/{index}"
                file[inner if third else f"model_weights/{layer}/{layer}/{name}"] = value
        if not third:
            file["optimizer_weights/adam/conv2d/kernel/m:0"] = array(3, 3, 3, 8)


@pytest.mark.parametrize("form", ["Keras 2", "Keras 3", "archive"])
def test_keras_weights_are_read_as_layers(tmp_path, form):
    path = tmp_path / ("net.keras" if form == "archive" else "net.weights.h5")
    if form == "archive":
        buffer = io.BytesIO()
        hdf5(buffer, third=True)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("model.weights.h5", buffer.getvalue())
    else:
        hdf5(path, form == "Keras 3")
    network = read_network(path)
    called = [layer.name.removesuffix(".depthwise_kernel").rpartition(".")[2] for layer in network.layers]
    found = sorted(
        (name, layer.neurons, layer.channels) for name, layer in zip(called, network.layers, strict=True)
    )
    assert found == sorted(READ)
    assert torch.equal(
        next(layer.weight for layer in network.layers if layer.name.endswith("conv2d_transpose")),
        torch.from_numpy(KERAS["conv2d_transpose"]["kernel:0"]).permute(2, 3, 0, 1),
    )
    reasons = {entry.name: entry.reason for entry in network.skipped}
    assert any("recurrent" in reason for reason in reasons.values())
    assert any("embedding" in reason for reason in reasons.values())
