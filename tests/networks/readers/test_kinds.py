"""Inputs of strangers by kind: what is read of them, and what is said of the rest.

Every expectation is worked out here, without the readers: by loops, by PyTorch's own modules, or by hand.
"""

import json
import re
import tarfile
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from covalign.errors import InputError
from covalign.networks.readers.adapter import adapted
from covalign.networks.readers.names import dotted
from covalign.networks.readers.opening import read_adapter, read_network


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


def binary(*shape, seed=7):
    return (normal(*shape, seed=seed) > 0).float()


def layers(network):
    return {layer.name: layer.weight for layer in network.layers}


def reasons(network):
    return {entry.name: entry.reason for entry in network.skipped}


ONE, TWO = normal(8, 3, 3, 3), normal(12, 8, 3, 3)
NET = {"one.weight": ONE, "one.bias": normal(8), "two.weight": TWO, "two.bias": normal(12)}
ROWS, COLUMNS, WHOLE = binary(12), binary(8), binary(12, 8, 3, 3)

MASKS = {
    "a number a neuron": ({**NET, "two.mask": ROWS}, TWO * ROWS[:, None, None, None]),
    "a number a channel": ({**NET, "two.weight_mask": COLUMNS}, TWO * COLUMNS[:, None, None]),
    "of the original": (
        {"one.weight": ONE, "two.weight_orig": TWO, "two.weight_mask": ROWS > 0}, TWO * ROWS[:, None, None, None],
    ),
    "wrapped weights": (
        {"state_dict": {f"module.{k}": v for k, v in NET.items()}, "masks": {"two.weight": WHOLE}}, TWO * WHOLE,
    ),
    "folder, module": ({**NET, "masks.two": WHOLE}, TWO * WHOLE),
    "folder, underscores": ({**NET, "masks.two_weight": WHOLE > 0}, TWO * WHOLE),
    "in front": ({**NET, "mask_two_weight": WHOLE}, TWO * WHOLE),
    "2:4 sparsity": ({**NET, "two.__weight_mma_mask": WHOLE > 0}, TWO * WHOLE),
    "beside params": ({"params": NET, "mask": {"two.weight": WHOLE}}, TWO * WHOLE),
}  # fmt: skip


@pytest.mark.parametrize(("content", "expected"), MASKS.values(), ids=MASKS)
def test_a_mask_is_multiplied_out_whatever_it_is_called_and_however_many_axes_it_has(
    tmp_path, content, expected
):
    torch.save(content, tmp_path / "net.pt")
    first, second = read_network(tmp_path / "net.pt").layers
    assert torch.equal(first.weight, ONE)
    assert torch.equal(second.weight, expected)


@pytest.mark.parametrize("name", ["two.weight_mask", "two.mask", "masks.two"])
def test_a_mask_of_ones_leaves_its_weight_as_it_is(tmp_path, name):
    torch.save({**NET, name: torch.ones_like(TWO), "loose.mask": torch.ones(3, 5)}, tmp_path / "net.pt")
    network = read_network(tmp_path / "net.pt")
    assert torch.equal(layers(network)["two"], TWO)
    assert reasons(network) == {"loose.mask": "a mask of ones alone, which prunes nothing"}
    assert network.details["inferred"]["two"] == "a mask of ones"


def test_a_running_copy_of_a_bias_is_called_so(tmp_path):
    torch.save({**NET, "two.bias_ema": normal(12), "two.weight_ema": TWO + 1}, tmp_path / "net.pt")
    network = read_network(tmp_path / "net.pt")
    assert torch.equal(layers(network)["two"], TWO)
    assert reasons(network) == {
        "two.weight_ema": "a running copy of weight",
        "two": "running copies (bias_ema) of what stands beside them",
    }


def test_masks_that_are_not_applied_are_listed_as_what_they_are(tmp_path):
    square = {"square.weight": normal(6, 6, 1, 1), "square.mask": binary(6)}
    soft = {"one.weight_mask": torch.rand(8, 3, 3, 3), "two.keep": WHOLE}
    torch.save({"model": {**NET, **square, **soft}, "masks": [WHOLE > 0]}, tmp_path / "net.pt")
    network = read_network(tmp_path / "net.pt")
    assert torch.equal(layers(network)["one"], ONE)
    assert torch.equal(layers(network)["square"], square["square.weight"]), "of rows or of columns?"
    said = reasons(network)
    assert "vectors (mask) beside a weight" in said["square"]
    assert said["one.weight_mask"] == "called a mask and not of zeros and ones: it is not applied to anything"
    assert said["two.keep"] == said["masks.0"] == "a mask of zeros and ones, not applied"


LEFT_OUT = {
    "gate of a cell": ({"lstm/linear/w": np.ones((14, 32)), "lstm/linear/b": np.ones(32)}, "recurrent"),
    "gates of Flax": ({"GRUCell_0/hr/kernel": np.ones((8, 8)), "GRUCell_0/ir/kernel": np.ones((6, 8))}, "recurrent"),
    "cell of linear maps": ({"cell.x2h.weight": normal(24, 6), "cell.h2h.weight": normal(24, 8)}, "recurrent"),
    "cell of x and h": ({"rnn.Wxh": normal(8, 6), "rnn.Whh": normal(8, 8)}, "recurrent"),
    "maps of x and h": ({"core.fc_x.weight": normal(24, 6), "core.fc_h.weight": normal(24, 8)}, "recurrent"),
    "stored turned": ({"core.W_xi": normal(6, 8), "core.W_hi": normal(8, 8)}, "recurrent"),
    "gates by letters": ({f"core.W{gate}.weight": normal(8, 14) for gate in "fioc"}, "recurrent"),
    "gates of GRU by letters": ({f"core.w_{gate}.weight": normal(8, 14) for gate in "rzh"}, "recurrent"),
    "experts": ({"mlp.experts.gate_up_proj": normal(4, 16, 8)}, r"several experts in one: \[4, 16, 8\]"),
    "gains of an activation": ({"act.weight": normal(8, 1, 1)}, "gains"),
    "video": ({"stem.weight": normal(8, 3, 1, 7, 7)}, "three-dimensional convolution"),
    "audio": ({"line.weight": normal(8, 3, 5), "line.bias": normal(8)}, "one-dimensional convolution"),
    "importances": ({"ewc_fisher_one__weight": normal(8, 3, 3, 3)}, "gradients or importances"),
    "gradients": ({"one.weight.grad": normal(8, 3, 3, 3)}, "gradients or importances"),
    "slots of an optimizer": ({"one.weight.Momentum": normal(8, 3, 3, 3)}, "beside weight of the same shape"),
    "complex": ({"fourier.weight": torch.complex(normal(4, 4), normal(4, 4))}, r"complex numbers \(complex64\)"),
    "four bits": ({"l.qweight": torch.ones(4, 4, dtype=torch.int32)}, r"stored as int32 \(quantized"),
    "eight bits": ({"l.weight": torch.ones(4, 4).to(torch.float8_e5m2)}, r"stored as float8_e5m2 \(quantized"),
}  # fmt: skip


@pytest.mark.parametrize(("found", "reason"), LEFT_OUT.values(), ids=LEFT_OUT)
def test_what_is_no_layer_is_left_out_with_its_reason(tmp_path, found, reason):
    if isinstance(next(iter(found.values())), np.ndarray):
        dense = {"Dense_0/kernel": np.ones((8, 5)), "Dense_0/bias": np.ones(5)}
        np.savez(tmp_path / "net.npz", **found, **dense)
        network = read_network(tmp_path / "net.npz")
        assert [layer.neurons for layer in network.layers] == [5]
    else:
        torch.save({**NET, **found}, tmp_path / "net.pt")
        network = read_network(tmp_path / "net.pt")
        assert [layer.name for layer in network.layers] == ["one", "two"]
    said = {name: reason_ for name, reason_ in reasons(network).items() if name in map(dotted, found)}
    assert said
    assert all(re.search(reason, each) for each in said.values()), said


FACTORS = {
    "numbered": {"w_a_000": (4, 32), "w_b_000": (24, 4), "w_a_001": (4, 24), "w_b_001": (16, 4)},
    "of linear maps": {"h.0.linear_A_q": (4, 32), "h.0.linear_B_q": (32, 4)},
    "of convolutions": {"conv.delta.down.weight": (4, 16, 3, 3), "conv.delta.up.weight": (24, 4, 1, 1)},
}


@pytest.mark.parametrize("shapes", FACTORS.values(), ids=FACTORS)
def test_pairs_of_factors_alone_are_no_network_whatever_they_are_called(tmp_path, shapes):
    factors = {name: normal(*shape) for name, shape in shapes.items()}
    torch.save(factors, tmp_path / "net.pt")
    with pytest.raises(InputError, match=r"pairs of factors alone.* product of rank 4 with"):
        read_network(tmp_path / "net.pt")
    assert len(read_network(tmp_path / "net.pt", insist=list(shapes)).layers) == len(shapes)
    torch.save({**factors, **NET}, tmp_path / "with.pt")
    assert len(read_network(tmp_path / "with.pt").layers) >= 2, "beside other layers they may be layers"


@pytest.mark.parametrize(
    "shapes",
    [
        {"a.weight": (8, 32), "a.bias": (8,), "b.weight": (32, 8), "b.bias": (32,)},
        {"a.weight": (32, 64), "b.weight": (10, 32)},
        {"down.weight": (4, 16, 3, 3), "up.weight": (16, 4, 3, 3)},
    ],
    ids=["with biases", "of full rank", "with kernels"],
)
def test_two_layers_called_a_and_b_are_layers(tmp_path, shapes):
    torch.save({name: normal(*shape) for name, shape in shapes.items()}, tmp_path / "net.pt")
    assert [layer.name for layer in read_network(tmp_path / "net.pt").layers] == [
        name.removesuffix(".weight") for name in shapes if name.endswith("weight")
    ]


def test_arrays_that_no_tensor_holds_are_listed(tmp_path):
    arrays = {
        "raw.weight": np.zeros((4, 4), "V2"), "complex.weight": np.zeros((4, 4), complex),
        "long.weight": np.arange(20, dtype=np.longdouble).reshape(5, 4), "fc.weight": np.ones((3, 4), "f"),
        "names": np.array(["a", "b"]),
    }  # fmt: skip
    np.savez(tmp_path / "net.npz", **arrays)
    network = read_network(tmp_path / "net.npz")
    assert set(layers(network)) == {"long", "fc"}
    assert torch.equal(layers(network)["long"].flatten(), torch.arange(20, dtype=torch.float64))
    assert reasons(network)["raw.weight"].startswith("stored as V2; such bytes may be bfloat16")
    assert reasons(network)["complex.weight"] == "complex numbers (complex128), expected real ones"


def test_scales_beside_a_weight_are_listed(tmp_path):
    stored = {"q.weight": normal(8, 4), "q.weight_scale": torch.tensor(0.5), "o.weight": normal(8, 8)}
    torch.save({**stored, "o.input_scale": normal(8)}, tmp_path / "net.pt")
    network = read_network(tmp_path / "net.pt")
    assert set(layers(network)) == {"q", "o"}
    assert all("scales or zero points" in reasons(network)[name] for name in ("q", "o"))


class BeforeConvolutions(nn.Module):
    """Norms that stand before their convolutions and go by the same number, as in DenseNet."""

    def __init__(self) -> None:
        super().__init__()
        self.conv0, self.norm0 = nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8)
        for index, c_in in enumerate((8, 12, 16), 1):
            block = {"norm1": nn.BatchNorm2d(c_in), "conv1": nn.Conv2d(c_in, 24, 1, bias=False)}
            block |= {"norm2": nn.BatchNorm2d(24), "conv2": nn.Conv2d(24, 4, 3, bias=False)}
            self.add_module(f"block{index}", nn.ModuleDict(block))


@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_a_norm_before_a_convolution_does_not_turn_it(tmp_path, ending):
    module = BeforeConvolutions()
    save = torch.save if ending == "pt" else safetensors.torch.save_file
    save(module.state_dict(), tmp_path / f"net.{ending}")
    found = layers(read_network(tmp_path / f"net.{ending}"))
    convolutions = {name: part for name, part in module.named_modules() if isinstance(part, nn.Conv2d)}
    assert found.keys() == convolutions.keys()
    assert all(torch.equal(found[name], part.weight) for name, part in convolutions.items())


COPIED = {
    "teacher of another kind": {"model": NET, "teacher": {"a.weight": normal(4, 3, 3, 3)}},
    "teacher beside, flat": {
        **{f"model.{k}": v for k, v in NET.items()}, "teacher.a.weight": normal(4, 3, 3, 3), "teacher.b.weight": TWO,
    },
    "average in a wrapper": {"model": NET, "model_ema": {"decay": 0.9, "module": dict(NET)}},
    "loss with a network": {
        **{f"model.{k}": v for k, v in NET.items()}, **{f"loss.vgg.{k}": v for k, v in NET.items()},
    },
    "list beside": {"state_dict": NET, "shadow_params": list(NET.values())},
    "weights at the start": {"model": NET, "init_weights": dict(NET)},
}  # fmt: skip


@pytest.mark.parametrize("content", COPIED.values(), ids=COPIED)
def test_one_network_is_read_and_the_other_can_be_chosen(tmp_path, content):
    torch.save(content, tmp_path / "net.pt")
    network = read_network(tmp_path / "net.pt")
    assert [layer.name.rpartition(".")[2] for layer in network.layers] == ["one", "two"]
    (aside,) = network.skipped
    assert f"choose it with --inside {aside.name}" in aside.reason
    assert read_network(tmp_path / "net.pt", inside=aside.name).layers


def test_what_goes_with_attention_of_other_heads_is_known():
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.num_heads, self.qkv, self.proj = 2, nn.Linear(8, 24), nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            split = self.qkv(x).unflatten(-1, (3, self.num_heads, 4)).movedim(-3, 0).transpose(-2, -3)
            q, k, v = split
            return self.proj((torch.softmax(q @ k.mT / 2, -1) @ v).transpose(-2, -3).flatten(-2))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.attn, self.head = nn.Conv2d(3, 8, 4, 4), Attention(), nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.attn(self.embed(x).flatten(2).mT).mean(1))

    heads = {layer.name: layer.heads for layer in read_network(Net()).layers}
    assert heads == {
        "embed": 0,
        **dict.fromkeys(("attn.qkv.q", "attn.qkv.k", "attn.qkv.v", "attn.proj"), 2),
        "head": 0,
    }
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 4, 16), 1, enable_nested_tensor=False)
    found = {layer.name: layer.heads for layer in read_network(encoder).layers}
    assert [found[f"layers.0.self_attn.{part}"] for part in ("in_proj.q", "out_proj")] == [4, 4]
    assert found["layers.0.linear1"] == 0


BASE = {"conv.weight": normal(6, 4, 3, 3), "fc.weight": normal(6, 8)}
SMALL, LARGE = normal(2, 2, seed=3), normal(3, 4, seed=4)
CORE, OUT, IN = normal(2, 2, 3, 3, seed=5), normal(2, 6, seed=6), normal(2, 4, seed=7)


def kronecker(one, two):
    """By the definition, entry by entry."""
    (m, n), (p, q) = one.shape, two.shape
    found = torch.zeros(m * p, n * q, dtype=torch.float64)
    for i in range(m * p):
        for j in range(n * q):
            found[i, j] = one[i // p, j // q].double() * two[i % p, j % q].double()
    return found


def tucker(core, out, into):
    found = torch.zeros(out.shape[1], into.shape[1], *core.shape[2:], dtype=torch.float64)
    for i in range(core.shape[0]):
        for j in range(core.shape[1]):
            found += (
                out[i].double()[:, None, None, None] * into[j].double()[:, None, None] * core[i, j].double()
            )
    return found


UPDATES = {
    "Kronecker, whole factors, by rank": (
        {"fc.lokr_w1": SMALL, "fc.lokr_w2": LARGE}, {"peft_type": "LOKR", "r": 4, "alpha": 8},
        "fc", 2.0 * kronecker(SMALL, LARGE),
    ),
    "Kronecker, whole factors, alone": (
        {"fc.lokr_w1": SMALL, "fc.lokr_w2": LARGE, "fc.alpha": torch.tensor(9.0)}, None,
        "fc", kronecker(SMALL, LARGE),
    ),
    "Hadamard with cores": (
        {
            "conv.hada_t1": CORE, "conv.hada_w1_a": OUT, "conv.hada_w1_b": IN,
            "conv.hada_t2": CORE, "conv.hada_w2_a": OUT, "conv.hada_w2_b": IN,
        },
        {"peft_type": "LOHA", "r": 2, "alpha": 2}, "conv", tucker(CORE, OUT, IN) ** 2,
    ),
    "Kronecker with a core": (
        {
            "conv.lokr_w1": SMALL, "conv.lokr_t2": CORE, "conv.lokr_w2_a": OUT[:, :3], "conv.lokr_w2_b": IN[:, :2],
        },
        {"peft_type": "LOKR", "r": 2, "alpha": 2}, "conv",
        torch.stack([
            kronecker(SMALL, tucker(CORE, OUT[:, :3], IN[:, :2])[..., i, j]) for i in range(3) for j in range(3)
        ], -1).unflatten(-1, (3, 3)),
    ),
}  # fmt: skip


def adapter_folder(folder, factors, stated):
    named = {f"base_model.model.{name}": factor.clone().contiguous() for name, factor in factors.items()}
    safetensors.torch.save_file(named, folder / "adapter_model.safetensors")
    if stated is not None:
        (folder / "adapter_config.json").write_text(json.dumps(stated))
    return folder


@pytest.mark.parametrize(("factors", "stated", "layer", "expected"), UPDATES.values(), ids=UPDATES)
def test_updates_of_every_form_are_what_their_formula_says(tmp_path, factors, stated, layer, expected):
    torch.save(BASE, tmp_path / "base.pt")
    (tmp_path / "adapter").mkdir()
    adapter = read_adapter(adapter_folder(tmp_path / "adapter", factors, stated))
    found = layers(adapted(read_network(tmp_path / "base.pt"), adapter))[layer]
    weight = BASE[f"{layer}.weight"].double()
    torch.testing.assert_close(found.reshape(weight.shape), weight + expected)


FOREIGN = {
    "HRA": {"fc.hra_u": normal(8, 2)},
    "MISS": {"fc.miss_block": normal(4, 6)},
    "LILY": {"fc.lily_A.weight": normal(2, 8), "fc.lily_B.weight": normal(6, 2)},
    "DELORA": {"fc.delora_A": normal(2, 8), "fc.delora_B": normal(6, 2)},
    "OFT": {"fc.oft_R.weight": normal(2, 6)},
    "VERA": {"fc.vera_lambda_b": normal(6), "fc.vera_lambda_d": normal(2)},
    "NEWEST": {"fc.unheard_of": normal(8, 2)},
}


@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize(("kind", "factors"), FOREIGN.items(), ids=FOREIGN)
def test_an_adapter_of_a_kind_that_is_not_read_is_called_one(tmp_path, kind, factors, stated):
    folder = adapter_folder(tmp_path, factors, {"peft_type": kind} if stated else None)
    with pytest.raises(InputError, match="an adapter of a kind that is not read"):
        read_adapter(folder)


def test_an_adapter_that_takes_its_start_out_of_the_base_is_refused(tmp_path):
    factors = {"fc.lora_A.weight": normal(2, 8), "fc.lora_B.weight": normal(6, 2)}
    folder = adapter_folder(tmp_path, factors, {"peft_type": "LORA", "init_lora_weights": "pissa_niter_4"})
    with pytest.raises(InputError, match=r"starts by changing its base \(init_lora_weights: pissa_niter_4\)"):
        read_adapter(folder)


def _of(content, ending):
    def write(folder):
        torch.save(content, folder / f"net.{ending}")

    return write


def _tar(folder):
    torch.save(NET, folder / "inner.pth")
    with tarfile.open(folder / "net.tar", "w") as archive:
        archive.add(folder / "inner.pth", "inner.pth")


def _zipped(folder):
    with zipfile.ZipFile(folder / "net.bin", "w") as archive:
        archive.writestr("inner.pth", b"weights")


def _renamed(folder):
    safetensors.torch.save_file(NET, folder / "net.safetensors")
    (folder / "net.safetensors").rename(folder / "net.bin")


def _older(folder):
    torch.save(NET, folder / "net.safetensors", _use_new_zipfile_serialization=False)


def _scripted(folder):
    with zipfile.ZipFile(folder / "net.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("net/data.pkl", b"")
        archive.writestr("net/code/__torch__.py", b"pass\n" * 1000)


CONTAINERS = {
    "older PyTorch as safetensors": (_older, "PyTorch weights.*give it the ending .pt"),
    "a small TorchScript, which unpacks to more than its size": (_scripted, "a TorchScript archive"),
    "PyTorch as arrays": (_of(NET, "npz"), "PyTorch weights.*give it the ending .pt"),
    "PyTorch as safetensors": (_of(NET, "safetensors"), "PyTorch weights.*give it the ending .pt"),
    "PyTorch as ONNX": (_of(NET, "onnx"), "PyTorch weights.*give it the ending .pt"),
    "safetensors as PyTorch": (_renamed, "a safetensors file.*give it the ending .safetensors"),
    "tar": (_tar, "a tar archive.*unpack it first"),
    "zip": (_zipped, "a zip archive without PyTorch weights.*unpack it first"),
    "numbers of NumPy": (
        _of({"model": NET, "best": np.float64(0.5)}, "pt"),
        "holds arrays or numbers of NumPy",
    ),
    "sparse": (_of({"l.weight": torch.eye(3).to_sparse()}, "pt"), "holds sparse tensors"),
    "no numbers": (
        _of({"l.weight": torch.empty(3, 3, device="meta")}, "pt"),
        r"without numbers \(on the device meta",
    ),
    "by number": (_of({0: ONE, 1: TWO}, "pt"), "holds entries by number alone"),
    "an answer": (lambda folder: (folder / "net.onnx").write_text("<html></html>"), "a web page"),
    "nothing": (lambda folder: (folder / "net.onnx").write_bytes(b""), "an empty file"),
    "pieces": (
        lambda folder: (folder / "net.distcp").write_bytes(b"x"),
        "a piece of a distributed PyTorch checkpoint",
    ),
}


@pytest.mark.parametrize(("write", "reason"), CONTAINERS.values(), ids=CONTAINERS)
def test_a_container_that_is_not_read_is_refused_with_its_true_reason(tmp_path, write, reason):
    write(tmp_path)
    (path,) = tmp_path.glob("net.*")
    with pytest.raises(InputError, match=reason):
        read_network(path)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (".metadata", "a distributed PyTorch checkpoint"), ("manifest.ocdbt", "an Orbax checkpoint"),
        (".zgroup", "a Zarr store"), ("model.json", "a TensorFlow.js model"),
    ],
)  # fmt: skip
def test_a_folder_that_is_not_read_is_refused_with_its_true_reason(tmp_path, entry, reason):
    (tmp_path / entry).write_bytes(b"{}")
    (tmp_path / "group1-shard1of1.bin").write_bytes(b"x")
    with pytest.raises(InputError, match=reason):
        read_network(tmp_path)


def stored(*shape):
    return normal(*shape).numpy()


WEIGHT, MASK = stored(4, 8, 3, 3), binary(4, 8, 3, 3).numpy()
FLAT, BYTES = stored(8, 5), np.ones((4, 8, 3, 3), np.int8)
POOLED = [("GlobalAveragePool", ["a"], "p", {}), ("Flatten", ["p"], "f", {})]

OPERATORS = {
    "mask": ([("Mul", ["w", "m"], "u", {}), ("Conv", ["a", "u"], "y", {})], {"w": WEIGHT, "m": MASK}, WEIGHT * MASK),
    "scale": (
        [("Mul", ["g", "w"], "u", {}), ("Conv", ["a", "u"], "y", {})], {"w": WEIGHT, "g": stored(4, 1, 1, 1)},
        WEIGHT * stored(4, 1, 1, 1),
    ),
    "reshaped": (
        [("Reshape", ["w", "s"], "u", {}), ("Conv", ["a", "u"], "y", {})],
        {"w": WEIGHT.reshape(4, 72), "s": np.array([0, 8, -1, 3])}, WEIGHT,
    ),
    "product": ([*POOLED, ("MatMul", ["f", "w"], "y", {})], {"w": FLAT}, FLAT.T),
    "turned product": ([*POOLED, ("Gemm", ["f", "w"], "y", {"transB": 1})], {"w": FLAT.T.copy()}, FLAT.T),
    "larger than its parts": (
        [("Mul", ["w", "m"], "u", {}), ("MatMul", ["a", "u"], "y", {})], {"w": stored(8, 1), "m": stored(1, 8)},
        r"computed in the graph \(by Mul\)",
    ),
    "sum over indices": (
        [*POOLED, ("Einsum", ["f", "w"], "y", {"equation": "nc,cd->nd"})], {"w": FLAT}, "which may be a linear layer",
    ),
    "recurrent": (
        [("Reshape", ["a", "s"], "r", {}), ("LSTM", ["r", "w", "v"], "y", {"hidden_size": 4})],
        {"w": stored(1, 16, 8), "v": stored(1, 16, 4), "s": np.array([-1, 1, 8])}, "weights of a recurrent layer",
    ),
    "quantized": (
        [("DynamicQuantizeLinear", ["a"], "q s z", {}), ("ConvInteger", ["q", "w", "z"], "y", {})], {"w": BYTES},
        "a quantized layer, expected real numbers",
    ),
    "over a line": (
        [("Reshape", ["a", "s"], "r", {}), ("Conv", ["r", "w"], "y", {})],
        {"w": stored(4, 8, 3), "s": np.array([0, 8, -1])}, "a one-dimensional convolution",
    ),
    "fused": (
        [("FusedConv", ["a", "w"], "y", {"domain": "com.microsoft"})], {"w": WEIGHT}, "fused with others",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("nodes", "constants", "expected"), OPERATORS.values(), ids=OPERATORS)
def test_every_operator_that_carries_weights_is_read_or_called_what_it_is(
    tmp_path, nodes, constants, expected
):
    onnx = pytest.importorskip("onnx")
    helper, real = onnx.helper, onnx.TensorProto.FLOAT
    made = [helper.make_node("Conv", ["x", "first"], ["a"], pads=[1] * 4)]
    made += [helper.make_node(kind, given, gives.split(), **options) for kind, given, gives, options in nodes]
    graph = helper.make_graph(
        made, "net", [helper.make_tensor_value_info("x", real, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("y", real, None)],
        [onnx.numpy_helper.from_array(v, k) for k, v in {**constants, "first": ONE.numpy()}.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "net.onnx")
    network = read_network(tmp_path / "net.onnx")
    if isinstance(expected, str):
        assert len(network.layers) == 1
        assert any(re.search(expected, said) for said in reasons(network).values()), reasons(network)
    else:
        assert np.array_equal(network.layers[1].weight.numpy().reshape(expected.shape), expected)
        assert network.skipped == ()
