import numpy as np
import onnx
import pytest
import safetensors.torch
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from covalign.data.images import Images
from covalign.encoding.spatial import spatial_covariance
from covalign.errors import InputError
from covalign.networks.readers.opening import read_network
from covalign.studies.comparison.measure import compare
from samples.strangers import SmallCNN, small_cnn

FLOAT = TensorProto.FLOAT


def tensor(name, *shape, dtype=np.float32, seed=0):
    values = np.random.default_rng(seed).normal(size=shape).astype(dtype)
    return numpy_helper.from_array(values, name)


def graph(folder, nodes, stored, *, image=("n", 3, 8, 8), inputs=("x",), name="net.onnx"):
    images = [helper.make_tensor_value_info(entry, FLOAT, image) for entry in inputs]
    result = helper.make_tensor_value_info("y", FLOAT, None)
    model = helper.make_model(
        helper.make_graph(nodes, "net", images, [result], stored), opset_imports=[helper.make_opsetid("", 18)]
    )
    model.ir_version = 10
    onnx.save(model, folder / name)
    return folder / name


def conv(*inputs, out="y", kind="Conv", name="", **options):
    return helper.make_node(kind, list(inputs), [out], name=name, **options)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The same small network as module, weight files, and ONNX by PyTorch's exporter."""
    folder = tmp_path_factory.mktemp("exported")
    module = small_cnn()
    torch.save(module.state_dict(), folder / "net.pt")
    safetensors.torch.save_file(module.state_dict(), folder / "net.safetensors")
    shapes = {"x": {0: torch.export.Dim.DYNAMIC}}
    torch.onnx.export(
        module, (torch.randn(2, 3, 16, 16),), folder / "net.onnx", dynamic_shapes=shapes, verbose=False
    )
    return folder


pytestmark = pytest.mark.filterwarnings("ignore")  # the exporter's own


def test_one_network_reads_the_same_from_every_format(exported):
    module, *others = (
        read_network(source)
        for source in (
            small_cnn(),
            *(exported / f"net{suffix}" for suffix in (".pt", ".safetensors", ".onnx")),
        )
    )
    for other in others:
        assert len(other.layers) == len(module.layers)
        for layer, same in zip(module.layers, other.layers, strict=True):
            assert (same.kind, same.form, same.neurons, same.channels) == (
                layer.kind, layer.form, layer.neurons, layer.channels
            )  # fmt: skip
            torch.testing.assert_close(same.weight, layer.weight, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(
                spatial_covariance(same.weight).eigenvalues,
                spatial_covariance(layer.weight).eigenvalues,
                atol=1e-5,
                rtol=1e-5,
            )


def test_layer_inputs_are_the_same_from_every_format_that_has_them(exported):
    x = torch.randn(5, 3, 16, 16)
    sources = (
        read_network(small_cnn()),
        read_network(exported / "net.onnx"),
        read_network(exported / "net.pt", SmallCNN()),
        read_network(exported / "net.safetensors", SmallCNN()),
    )
    expected, *others = (
        network.source.inputs(x, [layer.name for layer in network.layers]).values() for network in sources
    )
    for other in others:
        for received, same in zip(expected, other, strict=True):
            torch.testing.assert_close(same, received, atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_aligned_comparisons_are_the_same_from_every_format_that_can_run(exported):
    other = small_cnn()
    for part in other.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.normal_(part.weight, std=0.1, generator=torch.Generator().manual_seed(part.in_channels))
    pixels = torch.randint(
        0, 256, (60, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    images = Images(pixels, torch.zeros(60, dtype=torch.int64), ("any",), "noise", "train")
    reads = [
        read_network(small_cnn(), normalization="none"),
        read_network(exported / "net.onnx", normalization="none"),
    ]
    reads += [
        read_network(exported / f"net{suffix}", architecture=small_cnn(), normalization="none")
        for suffix in (".pt", ".safetensors")
    ]
    tables = [
        compare({"net": read, "other": read_network(other, normalization="none")}, images, draws=2).table
        for read in reads
    ]
    assert tables[0]["cosine"].notna().any()
    for table in tables[1:]:
        for column in (
            "alignment_correlation",
            "cosine",
            "chance",
            "similarity",
            "calibrated",
            "unaligned",
            "shuffled",
        ):
            np.testing.assert_allclose(table[column], tables[0][column], atol=1e-5, err_msg=column)


def test_options_of_convolutions_are_read(tmp_path):
    stored = [tensor("a.weight", 4, 3, 5, 5), tensor("w2", 4, 1, 3, 3), tensor("w3", 4, 3, 2, 2)]
    nodes = [
        conv("x", "a.weight", out="h", strides=[2, 2], pads=[2, 2, 2, 2]),
        conv("h", "w2", out="i", name="/deep/Conv", group=4, dilations=[2, 2], auto_pad="SAME_UPPER"),
        conv("i", "w3", kind="ConvTranspose", group=2, strides=[2, 2]),
    ]
    first, second, third = read_network(graph(tmp_path, nodes, stored)).layers
    assert (first.name, first.kind, first.stride, first.padding) == ("a", "convolution", (2, 2), (2, 2))
    assert (second.name, second.kind, second.groups) == ("deep/Conv", "depthwise", 4)
    assert (second.dilation, second.padding) == ((2, 2), (2, 2))
    assert (third.name, third.kind, third.groups) == ("ConvTranspose_2", "transposed", 2)
    assert third.weight.shape == (6, 2, 2, 2)


def test_weights_are_followed_through_what_exporters_leave_around_them(tmp_path):
    half = tensor("w", 4, 3, 1, 1, dtype=np.float16)
    value = tensor("", 4, 6, seed=1)
    nodes = [
        helper.make_node("Cast", ["w"], ["w32"], to=FLOAT),
        helper.make_node("Identity", ["w32"], ["same"]),
        conv("x", "same", out="h"),
        helper.make_node("GlobalAveragePool", ["h"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Constant", [], ["c"], value=value),
        helper.make_node("Transpose", ["c"], ["turned"], perm=[1, 0]),
        helper.make_node("Gemm", ["f", "turned"], ["y"], transB=1, alpha=2.0),
    ]
    first, last = read_network(graph(tmp_path, nodes, [half])).layers
    assert np.array_equal(first.weight.numpy(), numpy_helper.to_array(half))
    np.testing.assert_allclose(last.weight[:, :, 0, 0], 2 * numpy_helper.to_array(value).T)


def test_bfloat16_weights_are_read(tmp_path):
    weight = torch.randn(4, 3, 1, 1).bfloat16()
    stored = helper.make_tensor(
        "w", TensorProto.BFLOAT16, weight.shape, weight.view(torch.uint16).numpy().tobytes(), raw=True
    )
    nodes = [helper.make_node("Cast", ["w"], ["w32"], to=FLOAT), conv("x", "w32")]
    assert torch.equal(read_network(graph(tmp_path, nodes, [stored])).layers[0].weight, weight.float())


def test_batch_norm_is_found_on_either_side(tmp_path):
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 1, bias=False)).eval()
    values = {"mean": 1.0, "var": 2.0, "scale": 3.0, "bias": 4.0}
    stored = [numpy_helper.from_array(np.full(4, value, np.float32), key) for key, value in values.items()]
    stored += [numpy_helper.from_array(module[i].weight.detach().numpy(), f"w{i}") for i in (0, 2)]
    nodes = [
        conv("x", "w0", out="h"),
        helper.make_node("BatchNormalization", ["h", "scale", "bias", "mean", "var"], ["b"], epsilon=1e-5),
        conv("b", "w2"),
    ]
    module[1].running_mean.fill_(1)
    module[1].running_var.fill_(2)
    nn.init.constant_(module[1].weight, 3)
    nn.init.constant_(module[1].bias, 4)
    network, expected = read_network(graph(tmp_path, nodes, stored)), read_network(module)
    for side, index in (("norm_after", 0), ("norm_before", 1)):
        norm, same = getattr(network.layers[index], side), getattr(expected.layers[index], side)
        torch.testing.assert_close(norm.scale, same.scale)
        torch.testing.assert_close(norm.shift, same.shift)


def test_what_is_not_a_layer_is_listed_with_its_reason(tmp_path):
    quantized = numpy_helper.from_array(np.ones((4, 3, 1, 1), np.int8), "q")
    words = tensor("words", 9, 4)
    nodes = [
        conv("x", "w", out="h", name="one"),
        conv("x", "w", out="i", name="two"),
        conv("x", "q", out="j", name="int8"),
        conv("x", "cube", out="k", name="three_d"),
        conv("x", "h", out="l", name="computed"),
        helper.make_node("MatMul", ["x", "x"], ["attention"]),
        helper.make_node("Gather", ["words", "index"], ["m"]),
        helper.make_node("MatMul", ["x", "batch"], ["y"], name="batched"),
    ]
    index = numpy_helper.from_array(np.zeros(1, np.int64), "index")
    stored = [tensor("w", 4, 3, 1, 1), quantized, tensor("cube", 4, 3, 1, 1, 1), words, index]
    stored += [tensor("batch", 2, 8, 8), tensor("unused", 2, 2)]
    network = read_network(graph(tmp_path, nodes, stored))
    assert [layer.name for layer in network.layers] == ["one"]
    assert {entry.name: entry.reason for entry in network.skipped} == {
        "two": "tied: the same weights as one",
        "int8": "stored as int8 (quantized?), expected real numbers",
        "three_d": "a three-dimensional convolution, expected a two-dimensional one",
        "computed": "its weight is computed in the graph (by Conv), expected a constant",
        "batched": "matrix product with 3 axes: not a linear layer",
        "words": "used by Gather: an embedding (a table of vectors by index), not a layer",
        "unused": "used by no node of the main graph: perhaps by the body of another node",
    }


@pytest.mark.parametrize("images", [1, 5, 8])
def test_graphs_exported_for_a_fixed_number_of_images_take_any_number(tmp_path, images):
    nodes = [conv("x", "v", out="h"), conv("h", "w")]
    stored = [tensor("v", 4, 3, 3, 3), tensor("w", 4, 4, 1, 1)]
    fixed = read_network(graph(tmp_path, nodes, stored, image=(4, 3, 8, 8)))
    free = read_network(graph(tmp_path, nodes, stored, name="free.onnx"))
    x = torch.randn(images, 3, 8, 8)
    name = fixed.layers[1].name
    torch.testing.assert_close(fixed.source.inputs(x, [name]), free.source.inputs(x, [name]))
    assert fixed.resolution == 8


def test_weights_beside_the_graph_are_read_and_used(tmp_path):
    path = graph(tmp_path, [conv("x", "v", out="h"), conv("h", "w")], [
        tensor("v", 4, 3, 3, 3), tensor("w", 4, 4, 1, 1)
    ])  # fmt: skip
    embedded = read_network(path)
    other = tmp_path / "external.onnx"
    onnx.save(onnx.load(path), other, save_as_external_data=True, location="numbers", size_threshold=0)
    external = read_network(other)
    assert torch.equal(external.layers[0].weight, embedded.layers[0].weight)
    x, name = torch.randn(2, 3, 8, 8), embedded.layers[1].name
    torch.testing.assert_close(external.source.inputs(x, [name]), embedded.source.inputs(x, [name]))


def parted(folder):
    """A graph whose numbers lie beside it, and the same in one file."""
    nodes, stored = (
        [conv("x", "v", out="h"), conv("h", "w")],
        [tensor("v", 4, 3, 3, 3), tensor("w", 4, 4, 1, 1)],
    )
    whole = graph(folder, nodes, stored)
    path = folder / "parted.onnx"
    onnx.save(onnx.load(whole), path, save_as_external_data=True, location="numbers", size_threshold=0)
    return read_network(whole), path


def test_links_of_a_cache_to_the_files_of_one_network_are_followed(tmp_path):
    embedded, path = parted(tmp_path)
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "revision"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    for name, digest in ((path.name, "1a2b"), ("numbers", "3c4d")):
        (path.parent / name).rename(blobs / digest)
        (snapshot / name).symlink_to(f"../../blobs/{digest}")
    linked = read_network(snapshot / path.name)
    assert [layer.name for layer in linked.layers] == [layer.name for layer in embedded.layers]
    for one, other in zip(linked.layers, embedded.layers, strict=True):
        assert torch.equal(one.weight, other.weight)
    x, name = torch.randn(2, 3, 8, 8), embedded.layers[1].name
    torch.testing.assert_close(linked.source.inputs(x, [name]), embedded.source.inputs(x, [name]))


def test_a_link_within_the_folder_is_followed(tmp_path):
    embedded, path = parted(tmp_path)
    (tmp_path / "numbers").rename(tmp_path / "stored")
    (tmp_path / "numbers").symlink_to("stored")
    assert torch.equal(read_network(path).layers[0].weight, embedded.layers[0].weight)


@pytest.mark.parametrize("through", ["file", "folder"])
def test_a_link_that_leaves_the_folder_is_refused(tmp_path, through):
    home = tmp_path / "net"
    home.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "numbers").write_bytes(bytes(48))
    place = "numbers" if through == "file" else "sub/numbers"
    target = tmp_path / "elsewhere" / ("numbers" if through == "file" else "")
    (home / place.split("/")[0]).symlink_to(target)
    weight = tensor("w", 4, 3, 1, 1)
    onnx.external_data_helper.set_external_data(weight, place, 0, 48)
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    with pytest.raises(
        InputError, match=r"tensor 'w': .* is a link that leaves .*; keep the files of an export"
    ):
        read_network(graph(home, [conv("x", "w")], [weight]))


@pytest.mark.parametrize(
    ("location", "offset", "length"),
    [
        ("../secret", 0, 48),
        ("/etc/hostname", 0, 4),
        ("absent", 0, 48),
        ("numbers", 0, 10**12),
        ("numbers", 40, 48),
    ],
)
def test_weights_elsewhere_are_refused(tmp_path, location, offset, length):
    folder = tmp_path / "net"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(bytes(48))
    (folder / "numbers").write_bytes(bytes(48))
    weight = tensor("w", 4, 3, 1, 1)
    onnx.external_data_helper.set_external_data(weight, location, offset, length)
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    with pytest.raises(
        InputError, match=r"tensor 'w' cannot be read .*; keep the files of an export together"
    ):
        read_network(graph(folder, [conv("x", "w")], [weight]))


@pytest.mark.parametrize("nodes", [
    [conv("h", "w", out="i"), conv("i", "w", out="h"), conv("h", "w")],
    [conv("h", "w"), conv("x", "w", out="h")],
], ids=["cyclic", "not sorted"])  # fmt: skip
def test_a_graph_out_of_order_is_refused(tmp_path, nodes):
    with pytest.raises(InputError, match="uses 'h' before it is made: the graph is cyclic or not sorted"):
        read_network(graph(tmp_path, nodes, [tensor("w", 3, 3, 1, 1)]))


def test_a_tensor_that_lies_about_its_size_is_refused(tmp_path):
    weight = tensor("w", 4, 3, 1, 1)
    weight.dims[0] = 10**9
    with pytest.raises(InputError, match="tensor 'w' cannot be read"):
        read_network(graph(tmp_path, [conv("x", "w")], [weight]))


@pytest.mark.parametrize("keep", [0, 10, 200])
def test_a_truncated_file_is_refused(tmp_path, keep):
    path = graph(tmp_path, [conv("x", "w")], [tensor("w", 4, 3, 3, 3)])
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(
        InputError, match=r"net.onnx: (an empty file|not an ONNX file|no two-dimensional convolution)"
    ):
        read_network(path)


def test_a_graph_without_layers_is_refused(tmp_path):
    with pytest.raises(
        InputError, match="no two-dimensional convolution or linear layer with constant weights"
    ):
        read_network(graph(tmp_path, [helper.make_node("Relu", ["x"], ["y"])], []))


def test_weights_that_are_not_finite_are_refused(tmp_path):
    weight = numpy_helper.from_array(np.full((4, 3, 1, 1), np.nan, np.float32), "w")
    with pytest.raises(InputError, match=r"net.onnx: .* has weights that are not finite"):
        read_network(graph(tmp_path, [conv("x", "w")], [weight]))


def test_images_of_a_wrong_shape_are_refused_in_one_line(tmp_path):
    network = read_network(graph(tmp_path, [conv("x", "v", out="h"), conv("h", "w")], [
        tensor("v", 3, 3, 1, 1), tensor("w", 3, 3, 1, 1)
    ]))  # fmt: skip
    with pytest.raises(InputError, match=r"cannot run on images of 3x9x9") as caught:
        network.source.inputs(torch.randn(2, 3, 9, 9), [network.layers[1].name])
    assert "\n" not in str(caught.value)


def test_a_graph_with_several_inputs_is_not_run(tmp_path):
    nodes = [conv("x", "w", out="h"), helper.make_node("Add", ["h", "z"], ["y"])]
    network = read_network(graph(tmp_path, nodes, [tensor("w", 3, 3, 1, 1)], inputs=("x", "z")))
    with pytest.raises(InputError, match="the graph takes 2 inputs, expected images alone"):
        network.source.inputs(torch.randn(2, 3, 8, 8), [network.layers[0].name])


@pytest.mark.parametrize(
    "grow",
    [
        [
            helper.make_node("ConstantOfShape", ["huge"], ["big"]),
            helper.make_node("Add", ["h", "big"], ["i"]),
        ],
        [helper.make_node("Tile", ["h", "huge"], ["i"])],
    ],
    ids=["constant", "tile"],
)
def test_a_graph_that_would_fill_the_memory_is_not_run(tmp_path, grow):
    huge = numpy_helper.from_array(np.array([1, 1, 10**5, 10**5], np.int64), "huge")
    nodes = [conv("x", "w", out="h"), *grow, conv("i", "w")]
    network = read_network(graph(tmp_path, nodes, [tensor("w", 3, 3, 1, 1), huge]))
    with pytest.raises(InputError, match=r"its tensor '\w+' has \d+ numbers, expected at most .* not run"):
        network.source.inputs(torch.randn(2, 3, 8, 8), [network.layers[0].name])


def test_an_unknown_layer_is_refused(tmp_path):
    network = read_network(graph(tmp_path, [conv("x", "w")], [tensor("w", 3, 3, 1, 1)]))
    with pytest.raises(InputError, match="has no layer 'third'"):
        network.source.inputs(torch.randn(2, 3, 8, 8), ["third"])


def body(name, *nodes, stored=(), inputs=(), out="y"):
    result = [helper.make_tensor_value_info(out, FLOAT, None)]
    return helper.make_graph(list(nodes), name, list(inputs), result, list(stored))


def looped():
    """A loop whose body has a convolution, with its weight stored outside, and a product of two computed tensors."""
    info = helper.make_tensor_value_info
    entries = [info("i", TensorProto.INT64, []), info("go", TensorProto.BOOL, []), info("s", FLOAT, None)]
    inner = body(
        "round",
        helper.make_node("Identity", ["go"], ["more"]),
        conv("s", "w2", out="t", name="inside"),
        helper.make_node("MatMul", ["t", "t"], ["unused"]),
        inputs=entries,
        out="more",
    )
    inner.output.append(info("t", FLOAT, None))
    return helper.make_node("Loop", ["n", "yes", "a"], ["y"], name="rounds", body=inner)


def branched(depth=1):
    """An If whose branches have a convolution and a product, with their weights inside; nested where depth is two."""
    then = body("then", conv("a", "k", out="b", name="small"), stored=[tensor("k", 8, 8, 3, 3)], out="b")
    other = body(
        "else",
        helper.make_node("MatMul", ["a", "m"], ["e"], name="product"),
        stored=[tensor("m", 8, 8)],
        out="e",
    )
    node = helper.make_node("If", ["yes"], ["y"], name="choice", then_branch=then, else_branch=other)
    if depth == 1:
        return node
    outer = {"then_branch": body("outer_then", node), "else_branch": body("outer_else", branched())}
    return helper.make_node("If", ["yes"], ["y"], name="outer", **outer)


@pytest.mark.parametrize(
    ("node", "listed"),
    [
        (looped, {"inside": "Conv in the body of Loop rounds, expected in the main graph"}),
        (branched, {
            "small": "Conv in the then_branch of If choice, expected in the main graph",
            "product": "MatMul in the else_branch of If choice, expected in the main graph",
        }),
        (lambda: branched(2), {
            "small": "Conv in the then_branch of If, then_branch of If choice, expected in the main graph",
        }),
    ],
    ids=["loop", "if", "nested"],
)  # fmt: skip
def test_layers_in_the_bodies_of_other_nodes_are_listed(tmp_path, node, listed):
    stored = [
        tensor("w", 8, 3, 3, 3), tensor("w2", 8, 8, 1, 1),
        numpy_helper.from_array(np.array(3), "n"), numpy_helper.from_array(np.array(True), "yes"),
    ]  # fmt: skip
    network = read_network(graph(tmp_path, [conv("x", "w", out="a", name="first"), node()], stored))
    assert [layer.name for layer in network.layers] == ["first"]
    reasons = {entry.name: entry.reason for entry in network.skipped}
    assert {name: reasons[name] for name in listed} == listed


def test_layers_in_functions_of_the_model_are_read_where_they_are_called(tmp_path):
    path = graph(
        tmp_path,
        [conv("x", "w", out="a", name="first")],
        [tensor("w", 8, 3, 3, 3), tensor("v", 4, 8, 3, 3, seed=1)],
    )
    model = onnx.load(path)
    nodes = [conv("t", "k", out="c"), helper.make_node("Relu", ["c"], ["r"])]
    function = helper.make_function("mine", "Block", ["t", "k"], ["r"], nodes, [helper.make_opsetid("", 18)])
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("mine", 1))
    model.graph.node.append(helper.make_node("Block", ["a", "v"], ["y"], domain="mine", name="block"))
    onnx.save(model, path)
    network = read_network(path)
    assert len(network.layers) == 2
    assert np.array_equal(network.layers[1].weight.numpy(), numpy_helper.to_array(model.graph.initializer[1]))
    received = network.source.inputs(torch.randn(2, 3, 8, 8), [layer.name for layer in network.layers])
    assert [tuple(x.shape) for x in received.values()] == [(2, 3, 8, 8), (2, 8, 6, 6)]


def test_a_weight_behind_dequantization_is_called_quantized(tmp_path):
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s"], ["w"]),
        conv("x", "w", name="eight"),
        conv("x", "v", out="z"),
    ]
    stored = [
        numpy_helper.from_array(np.ones((8, 3, 3, 3), np.int8), "q"), numpy_helper.from_array(np.float32(0.1), "s"),
        tensor("v", 4, 3, 3, 3),
    ]  # fmt: skip
    reasons = {entry.name: entry.reason for entry in read_network(graph(tmp_path, nodes, stored)).skipped}
    assert reasons["eight"].startswith("quantized: its weight is stored as integers")


def test_a_weight_that_is_rounded_while_the_graph_runs_is_called_so(tmp_path):
    nodes = [
        helper.make_node("QuantizeLinear", ["w", "s"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s"], ["d"]),
        conv("x", "d", name="eight"),
        conv("x", "v", out="z"),
    ]
    held = [tensor("w", 8, 3, 3, 3), numpy_helper.from_array(np.float32(0.1), "s"), tensor("v", 4, 3, 3, 3)]
    reasons = {entry.name: entry.reason for entry in read_network(graph(tmp_path, nodes, held)).skipped}
    assert reasons["eight"].startswith("quantized: its weight is rounded while the graph runs")
    assert reasons["w"] == "used by QuantizeLinear: quantized while the graph runs, expected real numbers"


@pytest.mark.parametrize("first", ["m", "v"])
def test_whole_numbers_that_arithmetic_scales_are_quantized_and_masks_are_not(tmp_path, first):
    nodes = [
        helper.make_node("Cast", ["q"], ["f"], to=1),
        helper.make_node("Mul", ["f", "s"], ["w"]),
        conv("x", "w", name="eight"),
        helper.make_node("Cast", ["mask"], ["m"], to=1),
        helper.make_node("Mul", [first, "v" if first == "m" else "m"], ["pruned"]),
        conv("x", "pruned", out="z", name="masked"),
    ]
    v, mask = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype("f"), np.zeros((4, 3, 3, 3), bool)
    mask[::2] = True
    q = np.ones((8, 3, 3, 3), np.int8)
    network = read_network(
        graph(tmp_path, nodes, stored(q=q, s=np.full((8, 1, 1, 1), 0.1, "f"), mask=mask, v=v))
    )
    (layer,) = network.layers
    np.testing.assert_array_equal(layer.weight.numpy(), v * mask)
    (left,) = network.skipped
    assert (left.name, left.reason) == ("eight", "stored as int8 (quantized?), expected real numbers")


def test_a_weight_of_the_main_graph_that_a_body_uses_is_listed_once(tmp_path):
    def product(name, weight):
        return body(name, helper.make_node("MatMul", ["x", weight], ["y"]))

    choice = helper.make_node(
        "If", ["yes"], ["y"], then_branch=product("a", "one"), else_branch=product("b", "two")
    )
    held = [tensor("one", 8, 5), tensor("two", 8, 5), tensor("w", 8, 3, 3, 3), *stored(yes=np.array(True))]
    network = read_network(graph(tmp_path, [conv("x", "w", out="a"), choice], held))
    assert sorted(entry.name for entry in network.skipped) == ["one", "two"]
    assert all("branch of If y, expected in the main graph" in entry.reason for entry in network.skipped)


def stored(**arrays):
    return [numpy_helper.from_array(np.asarray(values), name) for name, values in arrays.items()]


NORMED = {
    "weight norm": (
        [
            helper.make_node("ReduceL2", ["v", "axes"], ["n"]),
            helper.make_node("Div", ["v", "n"], ["u"]),
            helper.make_node("Mul", ["g", "u"], ["w"]),
        ],
        lambda v, g: g * v / np.sqrt((v**2).sum((1, 2, 3), keepdims=True)),
    ),
    "spectral norm": (
        [
            helper.make_node("Flatten", ["v"], ["rows"]),
            helper.make_node("MatMul", ["rows", "right"], ["r"]),
            helper.make_node("MatMul", ["left", "r"], ["s"]),
            helper.make_node("Div", ["v", "s"], ["w"]),
        ],
        lambda v, g: v / (np.arange(8) @ (v.reshape(8, 27) @ np.arange(27))),
    ),
    "spectral norm, with columns": (
        [
            helper.make_node("Flatten", ["v"], ["rows"]),
            helper.make_node("Unsqueeze", ["right", "axis"], ["column"]),
            helper.make_node("MatMul", ["rows", "column"], ["r"]),
            helper.make_node("MatMul", ["left", "r"], ["s"]),
            helper.make_node("Div", ["v", "s"], ["w"]),
        ],
        lambda v, g: v / (np.arange(8) @ (v.reshape(8, 27) @ np.arange(27))),
    ),
    "weight standardization": (
        [
            helper.make_node("ReduceMean", ["v", "axes"], ["m"]),
            helper.make_node("Sub", ["v", "m"], ["c"]),
            helper.make_node("Mul", ["c", "c"], ["c2"]),
            helper.make_node("ReduceMean", ["c2", "axes"], ["q"]),
            helper.make_node("Sqrt", ["q"], ["d"]),
            helper.make_node("Div", ["c", "d"], ["w"]),
        ],
        lambda v, g: (v - v.mean((1, 2, 3), keepdims=True)) / v.std((1, 2, 3), keepdims=True),
    ),
}


@pytest.mark.parametrize(("nodes", "expected"), NORMED.values(), ids=NORMED)
def test_weights_that_a_graph_computes_of_constants_are_computed(tmp_path, nodes, expected):
    generator = np.random.default_rng(0)
    v, g = generator.normal(size=(8, 3, 3, 3)), generator.normal(size=(8, 1, 1, 1))
    held = stored(v=v, g=g, axes=[1, 2, 3], axis=[1], left=np.arange(8.0), right=np.arange(27.0))
    network = read_network(graph(tmp_path, [*nodes, conv("x", "w")], held))
    (layer,) = network.layers
    np.testing.assert_allclose(layer.weight.numpy(), expected(v, g), rtol=1e-10)
    assert not {"v", "w"} & {entry.name for entry in network.skipped}, "part of what was read"


def test_one_stored_weight_behind_two_transpositions_is_one_layer(tmp_path):
    turns = [helper.make_node("Transpose", ["w"], [name], perm=[1, 0]) for name in ("t1", "t2")]
    products = [
        helper.make_node("MatMul", [given, turned], [out], name=f"fc_{turned}")
        for given, turned, out in (("x", "t1", "h"), ("h", "t2", "y"))
    ]
    network = read_network(graph(tmp_path, [*turns, *products], [tensor("w", 8, 8)]))
    assert [layer.name for layer in network.layers] == ["fc_t1"]
    assert [(e.name, e.reason) for e in network.skipped] == [("fc_t2", "tied: the same weights as fc_t1")]


@pytest.mark.parametrize("product", ["MatMul", "Gemm"])
def test_a_constant_on_the_left_is_said_to_be_there(tmp_path, product):
    nodes = [conv("x", "v", out="z", name="right"), helper.make_node(product, ["w", "x"], ["y"], name="left")]
    network = read_network(graph(tmp_path, nodes, [tensor("w", 5, 8), tensor("v", 4, 3, 3, 3)]))
    assert [layer.name for layer in network.layers] == ["right"]
    (reason,) = [entry.reason for entry in network.skipped if entry.name == "left"]
    assert reason.startswith("a constant that multiplies its input from the left")


@pytest.mark.parametrize("operator", ["Mul", "Concat", "MatMul"])
def test_constants_that_grow_or_never_end_are_listed_and_not_computed(tmp_path, operator):
    """Each doubles the work, or the numbers, of the one before: 2^200 of either if it were followed."""
    options = {"axis": 0} if operator == "Concat" else {}
    nodes = [helper.make_node(operator, [f"c{i}", f"c{i}"], [f"c{i + 1}"], **options) for i in range(200)]
    nodes += [conv("x", "c200", name="grown"), conv("x", "v", out="z", name="plain")]
    held = [tensor("c0", 4, 4) if operator == "MatMul" else tensor("c0", 4, 3, 3, 3), tensor("v", 4, 3, 3, 3)]
    network = read_network(graph(tmp_path, nodes, held))
    assert [layer.name for layer in network.layers] == ["plain"]
    (reason,) = [entry.reason for entry in network.skipped if entry.name == "grown"]
    assert reason == f"its weight is computed in the graph (by {operator}), expected a constant"
