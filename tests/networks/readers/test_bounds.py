"""A small file cannot ask for unbounded work; each limit is named with the variable that raises it."""

import pickle
import zipfile

import numpy as np
import onnx
import pytest
import safetensors.torch
import torch
from onnx import TensorProto, helper, numpy_helper

from covalign.errors import InputError
from covalign.limits import LIMITS
from covalign.networks.readers.opening import read_network

ROW = {"a.weight": torch.ones(8, 3, 3, 3), "b.weight": torch.ones(8, 8, 3, 3)}


def model(path, nodes, stored, functions=()):
    weights = [
        numpy_helper.from_array(np.ones((8, 3, 3, 3), np.float32), "w1"),
        numpy_helper.from_array(np.ones((8, 8, 3, 3), np.float32), "w2"),
    ]
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 3, 8, 8))
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    around = [
        helper.make_node("Conv", ["x", "w1"], ["h"]),
        *nodes,
        helper.make_node("Conv", ["r", "w2"], ["y"]),
    ]
    made = helper.make_model(
        helper.make_graph(around, "net", [image], [result], [*weights, *stored]),
        opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("own", 1)],
        functions=list(functions),
    )
    made.ir_version = 10
    onnx.save(made, path)
    return path


def test_functions_that_double_one_another_are_counted_before_they_are_put_in_place(tmp_path):
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
    functions = []
    for depth in range(40):
        kind, domain = ("Relu", "") if depth == 0 else (f"F{depth - 1}", "own")
        body = [helper.make_node(kind, [one], [two], domain=domain) for one, two in (("a", "m"), ("m", "b"))]
        functions.append(helper.make_function("own", f"F{depth}", ["a"], ["b"], body, opsets))
    path = model(tmp_path / "net.onnx", [helper.make_node("F39", ["h"], ["r"], domain="own")], [], functions)
    with pytest.raises(InputError, match=r"asks for \d+ nodes, expected at most \d+; .* COVALIGN_MAX_NODES"):
        read_network(path)


def shape_from_pixels(path):
    """A graph that fills as many numbers as it computes from its images: nothing in the file says how many."""
    constants = {"zero": np.array(0, np.float32), "big": np.array(3e9, np.float32), "axis": np.array([0])}
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("Mul", ["most", "zero"], ["none"]),
        helper.make_node("Add", ["none", "big"], ["count"]),
        helper.make_node("Cast", ["count"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Unsqueeze", ["whole", "axis"], ["shape"]),
        helper.make_node("ConstantOfShape", ["shape"], ["huge"]),
        helper.make_node("ReduceSum", ["huge"], ["sum"], keepdims=0),
        helper.make_node("Add", ["h", "sum"], ["r"]),
    ]
    return model(path, nodes, [numpy_helper.from_array(value, name) for name, value in constants.items()])


@pytest.mark.slow
def test_memory_that_a_graph_asks_for_while_it_runs_is_bounded(tmp_path):
    network = read_network(shape_from_pixels(tmp_path / "net.onnx"))
    with pytest.raises(InputError, match="COVALIGN_MAX_FORWARD_BYTES"):
        network.source.inputs(torch.zeros(1, 3, 8, 8), [network.layers[1].name])


@pytest.mark.slow
def test_a_graph_without_end_is_ended(tmp_path, monkeypatch):
    monkeypatch.setenv("COVALIGN_MAX_FORWARD_SECONDS", "1")
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["still"]), helper.make_node("Relu", ["a"], ["next"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("a", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    stored = [numpy_helper.from_array(np.array(2**62), "n"), numpy_helper.from_array(np.array(True), "go")]
    loop = helper.make_node("Loop", ["n", "go", "h"], ["r"], body=body)
    network = read_network(model(tmp_path / "net.onnx", [loop], stored))
    with pytest.raises(InputError, match=r"was stopped .* COVALIGN_MAX_FORWARD_SECONDS"):
        network.source.inputs(torch.zeros(1, 3, 8, 8), [network.layers[1].name])


def archive(path, content, records=()):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as made:
        made.writestr("net/data.pkl", content)
        made.writestr("net/version", "3\n")
        made.writestr("net/byteorder", "little")
        for key, record in records:
            made.writestr(f"net/data/{key}", record)
    return path


def test_keys_that_collide_are_refused_before_they_are_hashed(tmp_path):
    colliding = {index * (2**61 - 1): 0 for index in range(1, 200)}
    text = pickle.dumps(colliding, 2)
    entries = text[text.index(b"(") + 1 : text.rindex(b"u.")]
    head = text[: text.index(b"(") + 1]
    many = b"".join(
        b"\x8a" + bytes([len(number)]) + number + b"K\x00"
        for number in ((index * (2**61 - 1)).to_bytes(12, "little") for index in range(1, 5100))
    )
    with pytest.raises(InputError, match=r"keys that are neither texts nor small numbers.*COVALIGN_MAX_KEYS"):
        read_network(archive(tmp_path / "net.pt", head + entries + many + b"u."))


def test_a_key_of_keys_of_keys_is_refused_before_it_is_hashed(tmp_path):
    key = b"K\x01" + b"2\x86" * 60  # each a pair of the one before
    with pytest.raises(InputError, match="a key of keys"):
        read_network(archive(tmp_path / "net.pt", b"\x80\x02}" + key + b"K\x00s."))


def test_a_damaged_archive_is_noticed_by_its_checksum(tmp_path):
    torch.save(ROW, tmp_path / "net.pt")
    content = bytearray((tmp_path / "net.pt").read_bytes())
    content[content.index(bytes(torch.ones(8).numpy().tobytes())) + 5] ^= 4
    (tmp_path / "net.pt").write_bytes(content)
    with pytest.raises(InputError, match="Bad CRC-32"):
        read_network(tmp_path / "net.pt")


def test_a_record_of_another_size_than_is_declared_is_refused(tmp_path):
    torch.save(ROW, tmp_path / "net.pt")
    with zipfile.ZipFile(tmp_path / "net.pt") as whole:
        parts = {entry.filename: whole.read(entry) for entry in whole.infolist()}
    with zipfile.ZipFile(tmp_path / "net.pt", "w", zipfile.ZIP_STORED) as changed:
        for name, part in parts.items():
            changed.writestr(name, part[:-4] if name.endswith("data/0") else part)
    with pytest.raises(InputError, match="says that storage 0 has 864 bytes, and keeps 860"):
        read_network(tmp_path / "net.pt")


def test_parts_of_arrays_that_declare_more_than_they_hold_are_refused(tmp_path):
    np.savez(tmp_path / "net.npz", **{name: value.numpy() for name, value in ROW.items()})
    with zipfile.ZipFile(tmp_path / "net.npz") as whole:
        parts = {entry.filename: whole.read(entry) for entry in whole.infolist()}
    with zipfile.ZipFile(tmp_path / "net.npz", "w") as changed:
        for name, part in parts.items():
            changed.writestr(name, part.replace(b"(8, 3, 3, 3)", b"(9, 3, 3, 3)"))
    with pytest.raises(InputError, match=r"declares \[9, 3, 3, 3\]"):
        read_network(tmp_path / "net.npz")


def test_many_layers_keep_their_order(tmp_path):
    names = [f"part{index}.weight" for index in range(300)]
    safetensors.torch.save_file(
        {name: torch.randn(4, 4, 3, 3) for name in names}, tmp_path / "net.safetensors"
    )
    assert [f"{layer.name}.weight" for layer in read_network(tmp_path / "net.safetensors").layers] == names


def test_numbers_of_thousands_of_digits_in_names_are_an_order(tmp_path):
    long, longer = "9" * 5000, "1" * 5001
    weights = {f"a{number}.weight": torch.randn(4, 4, 3, 3) for number in (longer, long, "2")}
    safetensors.torch.save_file(weights, tmp_path / "net.safetensors")
    found = [layer.name for layer in read_network(tmp_path / "net.safetensors").layers]
    assert found == ["a2", f"a{long}", f"a{longer}"]


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.name)
def test_a_limit_is_raised_by_its_variable(limit, monkeypatch):
    with pytest.raises(InputError, match=f"here: asks for {limit.usual + 1} .* set {limit.name} to raise"):
        limit.check(limit.usual + 1, "here")
    monkeypatch.setenv(limit.name, str(limit.usual + 1))
    limit.check(limit.usual + 1, "here")


@pytest.mark.parametrize("stated", ["-1", "much", "1e9", "²"])
def test_a_limit_that_is_no_number_is_refused(stated, monkeypatch):
    monkeypatch.setenv("COVALIGN_MAX_NODES", stated)
    with pytest.raises(InputError, match="expected a positive whole number of nodes"):
        LIMITS[7].check(1, "here")
