"""Which images a network takes is known from reading it, and pixels are brought to that form."""

import pytest
import torch
from torch import nn

from covalign.data.pixels import box_average, with_channels
from covalign.errors import InputError
from covalign.networks.intake import ANY, Intake, arranged, fitted
from covalign.networks.readers.opening import read_network

onnx = pytest.importorskip("onnx")
FLOAT, UINT8 = onnx.TensorProto.FLOAT, onnx.TensorProto.UINT8


class Last(nn.Module):
    """A network that takes [n, h, w, c]."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x.permute(0, 3, 1, 2))


def any_size(channels: int = 3) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )


def one_size(side: int, channels: int = 3) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, 4, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(side**2, 3))


def shuffled() -> nn.Module:
    return nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3))


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (any_size(), Intake(3)),
        (any_size(1), Intake(1)),
        (any_size(4), Intake(4)),
        (any_size(12), Intake(12)),
        (shuffled(), Intake(3)),
        (one_size(32), Intake(3, 32, 32)),
        (one_size(64), Intake(3, 64, 64)),
        (one_size(28, 1), Intake(1, 28, 28)),
        (Last(any_size()), Intake(3, channels_last=True)),
        (Last(one_size(64, 4)), Intake(4, 64, 64, channels_last=True)),
    ],
    ids=str,
)
def test_a_module_is_tried_and_says_what_it_fixes(module, expected):
    network = read_network(module, normalization="none")
    assert network.intake == expected
    image = torch.rand(2, *expected.blank(3, 64).shape[1:])
    names = [layer.name for layer in network.layers]
    found = network.source.inputs(image, names)
    assert all(len(value) == 2 for value in found.values())
    torch.testing.assert_close(
        network.source.inputs(image[:1], names)[names[-1]], found[names[-1]][:1], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("side", [40, 48, 80])
def test_an_unusual_size_is_found_where_it_is_stated(side):
    module = one_size(side)
    assert read_network(module).intake == ANY, "no usual size fits"
    assert read_network(module, resolution=side).intake == Intake(3, side, side)


def saved(folder, shape, *, nodes="", kind=FLOAT, channels=3):
    """A graph of two convolutions on images of a stated shape, after nodes by name."""
    helper, stored = onnx.helper, onnx.numpy_helper.from_array
    made, image = [], "x"
    for index, (name, options) in enumerate(STEPS[nodes]):
        stated = {key: value for key, value in options.items() if key != "constants"}
        inputs = [image, *options.get("constants", ())]
        made.append(helper.make_node(name, inputs, [f"s{index}"], **stated))
        image = f"s{index}"
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(*s, generator=generator).numpy() for s in ((6, channels, 3, 3), (5, 6, 3, 3))]
    made += [
        helper.make_node("Conv", [image, "w0"], ["a"], pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w1"], ["y"], pads=[1] * 4),
    ]
    graph = helper.make_graph(
        made,
        "net",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", FLOAT, None)],
        [stored(value, f"w{index}") for index, value in enumerate(weights)]
        + [stored(torch.tensor(2.0).numpy(), "two")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, folder / "net.onnx")
    return folder / "net.onnx"


STEPS: dict[str, list[tuple[str, dict]]] = {
    "": [],
    "turned": [("Transpose", {"perm": [0, 3, 1, 2]})],
    "scaled, turned": [("Div", {"constants": ["two"]}), ("Transpose", {"perm": [0, 3, 1, 2]})],
    "cast, turned": [("Cast", {"to": FLOAT}), ("Transpose", {"perm": [0, 3, 1, 2]})],
    "there and back": [("Transpose", {"perm": [0, 2, 3, 1]}), ("Transpose", {"perm": [0, 3, 1, 2]})],
}


@pytest.mark.parametrize(
    ("shape", "nodes", "expected", "batch"),
    [
        (["n", 3, "h", "w"], "", Intake(3), 0),
        ([None, None, None, None], "", Intake(), 0),
        ([-1, 3, -1, -1], "", Intake(3), 0),
        ([1, 3, 24, 24], "", Intake(3, 24, 24), 1),
        ([8, 3, 24, 40], "", Intake(3, 24, 40), 8),
        (["n", 24, 24, 3], "turned", Intake(3, 24, 24, True), 0),
        ([None, None, None, None], "turned", Intake(channels_last=True), 0),
        ([3, "h", "w", 3], "scaled, turned", Intake(3, channels_last=True), 3),
        (["n", 3, 24, 24], "there and back", Intake(3, 24, 24), 0),
        ([2, 40, 24, 3], "turned", Intake(3, 40, 24, True), 2),
    ],
    ids=str,
)
@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_graph_says_its_size_layout_and_batch(tmp_path, shape, nodes, expected, batch, count):
    network = read_network(saved(tmp_path, shape, nodes=nodes))
    assert network.intake == expected
    assert network.source.batch == batch
    image = torch.rand(count, 3, *expected.size(24, 24), generator=torch.Generator().manual_seed(1))
    found = network.source.inputs(image, [layer.name for layer in network.layers])
    first, second = (found[layer.name] for layer in network.layers)
    torch.testing.assert_close(first, image / 2 if nodes.startswith("scaled") else image)
    weight = network.layers[0].weight
    expected_second = torch.relu(nn.functional.conv2d(first, weight, padding=1, stride=2))
    torch.testing.assert_close(second, expected_second, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("layout", "last"), [("first", False), ("last", True), (None, True)])
def test_a_stated_layout_wins(tmp_path, layout, last):
    network = read_network(saved(tmp_path, [1, 3, 5, 3], nodes="turned"), layout=layout)
    assert network.intake.channels_last is last


def test_an_unknown_layout_is_refused():
    with pytest.raises(InputError, match=r"layout: got 'NHWC', expected first .* or last"):
        read_network(any_size(), layout="NHWC")


def test_whole_numbers_are_given_as_pixels(tmp_path):
    network = read_network(saved(tmp_path, ["n", "h", "w", 3], nodes="cast, turned", kind=UINT8))
    pixels = torch.randint(256, (3, 3, 16, 16), dtype=torch.uint8)
    first = network.layers[0].name
    batch = network.normalization(fitted(pixels, network.intake, "net"))
    torch.testing.assert_close(network.source.inputs(batch, [first])[first], pixels.float())
    with pytest.raises(InputError, match="takes pixels as whole numbers from 0 to 255, got numbers from"):
        network.source.inputs(batch / 255, [first])


@pytest.mark.parametrize("size", [(16, 16), (8, 24), (40, 20)])
def test_images_are_averaged_to_the_size_that_a_network_fixes(size):
    pixels = torch.randint(256, (2, 3, 32, 32), dtype=torch.uint8)
    found = fitted(pixels, Intake(3, *size), "net")
    assert found.shape == (2, 3, *size)
    if size == (16, 16):
        assert torch.equal(found, box_average(pixels, 16))
    else:
        side = min(32, 32 * size[0] // size[1])
        rows = slice((32 - side) // 2, (32 + side) // 2)
        width = min(32, 32 * size[1] // size[0])
        columns = slice((32 - width) // 2, (32 + width) // 2)
        assert torch.equal(found, box_average(pixels[..., rows, columns], size))


def test_colours_become_grey_and_grey_colours_and_nothing_else():
    colours = torch.randint(256, (2, 3, 8, 8), dtype=torch.uint8)
    assert torch.equal(fitted(colours, Intake(1), "net"), with_channels(colours, 1))
    grey = colours[:, :1]
    assert torch.equal(fitted(grey, Intake(3), "net"), grey.expand(-1, 3, -1, -1))
    assert torch.equal(fitted(colours, ANY, "net"), colours)
    for given, wanted in ((3, 4), (4, 3), (1, 12), (12, 1)):
        pixels = torch.zeros(1, given, 8, 8, dtype=torch.uint8)
        with pytest.raises(
            InputError, match=rf"'net' takes images of {wanted} channels, and these have {given}"
        ):
            fitted(pixels, Intake(wanted), "net")


def test_axes_are_exchanged_for_networks_that_take_channels_last():
    batch = torch.rand(2, 3, 4, 5)
    assert arranged(batch, ANY) is batch
    assert torch.equal(arranged(batch, Intake(channels_last=True)).permute(0, 3, 1, 2), batch)
