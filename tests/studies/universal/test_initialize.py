import pytest
import torch

from covalign.data.images import Images
from covalign.errors import InputError
from covalign.networks.architectures.resnet import resnet20
from covalign.networks.architectures.vgg import vgg
from covalign.networks.readers.opening import read_network
from covalign.studies.inputs import layer_inputs
from covalign.studies.structure import hidden_layers
from covalign.studies.universal.drawing import closed_form_rows, drawn_rows
from covalign.studies.universal.filling import Target, aligned
from covalign.studies.universal.initialize import for_reference, init_
from samples.planted import generator, orthonormal
from samples.trainings import corners


def test_rows_have_the_encodings_covariance_in_the_new_coordinates(encoding):
    layer = encoding.layers[1]
    turn = orthonormal(layer.channels, layer.channels, 0)
    weight, coverage = drawn_rows(layer, turn, 20_000, (1, 1), generator(0))
    rows = weight.flatten(1)
    factor = turn.T @ layer.factor.double()
    expected = factor @ factor.T / (3 * len(factor))
    assert torch.allclose(rows.T @ rows / len(rows), expected, atol=0.05 * float(expected.diagonal().max()))
    assert coverage == pytest.approx(1)


def test_a_narrower_layer_keeps_the_part_that_it_sees(encoding):
    layer = encoding.layers[2]
    few = orthonormal(layer.channels, layer.channels // 2, 0)
    weight, coverage = drawn_rows(layer, few, 5_000, (1, 1), generator(0))
    inside = float((few.T @ layer.factor.double()).square().sum() / layer.factor.double().square().sum())
    assert coverage == pytest.approx(inside, rel=0.05)
    whole = float(layer.factor.double().square().sum()) / len(layer.factor)
    assert float(weight.square().mean()) == pytest.approx(whole / (3 * few.shape[1]))


def test_a_planted_turn_of_the_inputs_is_found(encoding):
    module = vgg(form="factorized", width=0.04)
    images = corners(40, 3, "train")
    network = read_network(module, normalization="imagenet")
    layer = hidden_layers(network)[2]
    turn = orthonormal(layer.channels, layer.channels, 1).float()

    def coordinates(index, pixels):
        received = layer_inputs([(network, layer)], pixels)[id(network), layer.name]
        return torch.einsum("nc...,kc->nk...", received, turn)

    target = Target(module, network, (layer,), (2,), own_first=True)
    found = aligned(target, layer, coordinates, 2, images.pixels, images.pixels)
    assert found.correlation == pytest.approx(1, abs=1e-4)
    received = layer_inputs([(network, layer)], images.pixels)[id(network), layer.name]
    apart = torch.einsum("nc...,kc->nk...", received, found.rotation.float()) - coordinates(2, images.pixels)
    assert float(apart.norm() / received.norm()) < 0.01  # dead channels may be turned as they like


@pytest.mark.parametrize("changes", [{}, {"width": 0.02}, {"width": 0.08, "kernel_size": 5}])
def test_any_width_and_kernel_starts_with_activations_of_unit_scale(encoding, changes):
    module = vgg(form="factorized", classes=4, **{"width": 0.04, **changes})
    before = module.head.weight.clone()
    done = init_(module, encoding, corners(40, 4, "train"))
    assert [row.source for row in done.rows] == ["encoding"] * 8
    assert all(0.9 < row.received < 1.1 for row in done.rows)
    assert torch.equal(module.head.weight, before)
    assert module.training
    assert done.normalization.name == "imagenet"


@pytest.mark.parametrize("channels", [1, 2, 4, 8])
def test_any_number_of_channels_takes_the_closed_form(encoding, channels):
    module = vgg(form="factorized", width=0.04, in_channels=channels)
    done = init_(module, encoding, corners(40, 4, "train", channels).pixels)
    assert done.rows[0].source == "images"
    assert done.rows[0].inputs == 10 * channels
    assert done.rows[1].source == "encoding"


def test_joint_layers_take_any_kernel_and_are_scaled_where_no_norm_does_it(joint_encoding):
    module = vgg(form="joint", width=0.04, kernel_size=5, norm=False, in_channels=4)
    images = corners(40, 4, "train", 4).pixels
    done = init_(module, joint_encoding, images)
    assert all(row.given == pytest.approx(1, rel=1e-3) for row in done.rows)
    assert all(0.1 < row.received < 10 for row in done.rows)
    assert "8 layers filled" in done.summary[0]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(encoding):
    images = corners(40, 4, "train")
    made = []
    for seed in (0, 0, 1):
        torch.manual_seed(5)
        module = vgg(form="factorized", width=0.04)
        init_(module, encoding, images, seed=seed)
        made.append(module.stages[3].pointwise.weight.detach().clone())
    assert torch.equal(made[0], made[1])
    assert not torch.allclose(made[0], made[2])


def test_only_named_layers_are_filled(encoding):
    module = vgg(form="factorized", width=0.04)
    before = {name: value.clone() for name, value in module.named_parameters()}
    init_(module, encoding, corners(40, 4, "train"), layers=["stages.1.pointwise"])
    changed = {name for name, value in module.named_parameters() if not torch.equal(value, before[name])}
    assert changed == {"stages.1.pointwise.weight"}


def test_the_closed_form_follows_the_images_not_the_number_of_filters():
    maps = torch.randn(50, 4, 8, 8, generator=generator(0)).double() * torch.tensor(
        [4.0, 2.0, 1.0, 0.1]
    ).view(4, 1, 1)
    rows = closed_form_rows(maps, 400, (1, 1), 0).flatten(1)
    energy = rows.square().mean(0).sqrt()
    deviations = maps.square().mean((0, 2, 3)).sqrt()
    expected = (1 - torch.exp(-60 * (deviations / deviations.max()).square())) / deviations
    assert torch.allclose(energy / energy.norm(), expected / expected.norm(), atol=0.05)


def test_the_reference_sees_three_channels_of_any_images():
    for channels in (1, 2, 3, 4, 8):
        pixels = corners(3, 0, "train", channels).pixels
        assert for_reference(pixels).shape == (3, 3, 32, 32)
    assert torch.equal(for_reference(pixels), pixels[:, :3])


def test_what_the_encoding_does_not_have_is_said_in_one_line(encoding, joint_encoding):
    images = corners(40, 4, "train")
    cases = [
        (vgg("vgg13", "factorized", 0.04), images, {}, "has no such layer as 'stages.8.pointwise'"),
        (resnet20(), images, {}, "19 hidden layers"),
        (vgg("vgg11", "joint", 0.04), images, {}, "is joint and the encoding's"),
        (vgg("vgg11", "factorized", 0.04, in_channels=4), None, {}, "pass uint8 images"),
        (vgg("vgg11", "factorized", 0.04), images.pixels.float(), {}, "expected uint8 pixels"),
        (vgg("vgg11", "factorized", 0.04), images.pixels[:3], {}, "expected at least 10"),
        (vgg("vgg11", "factorized", 0.04), images, {"layers": ["x"]}, "no layer 'x'"),
        (vgg("vgg11", "factorized", 0.04), images, {"first": "none"}, "expected auto, encoding or images"),
    ]
    four = Images(corners(40, 4, "train", 4).pixels, images.labels, images.classes, "four", "train")
    wide = vgg("vgg11", "factorized", 0.04, in_channels=4)
    cases.append((wide, four, {"first": "encoding"}, "has no such layer"))
    for module, given, options, said in cases:
        with pytest.raises(InputError, match=said) as caught:
            init_(module, encoding, given, **options)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="pointwise layers stay pointwise"):
        drawn_rows(
            joint_encoding.layers[1],
            torch.eye(joint_encoding.layers[1].channels).double(),
            3,
            (1, 1),
            generator(0),
        )


def narrow():
    return vgg(form="factorized", width=0.02)


def test_a_module_of_half_precision_gets_what_one_of_full_precision_gets(encoding):
    images = corners(40, 4, "train")
    full, half = narrow(), narrow().bfloat16()
    assert init_(full, encoding, images).table.equals(init_(half, encoding, images).table)
    for (name, own), expected in zip(half.state_dict().items(), full.state_dict().values(), strict=True):
        assert own.dtype == (torch.bfloat16 if expected.is_floating_point() else expected.dtype)
        assert name.startswith("head") or torch.equal(own, expected.to(own.dtype)), name


def test_a_wrapped_module_is_filled_as_the_one_inside(encoding):
    images = corners(40, 4, "train")
    plain, inside = narrow(), narrow().requires_grad_(False)
    init_(plain, encoding, images)
    init_(torch.nn.DataParallel(inside), encoding, images)
    assert torch.equal(plain.stages[3].pointwise.weight, inside.stages[3].pointwise.weight)
    assert not any(each.requires_grad for each in inside.parameters())


def test_what_cannot_be_filled_is_left_as_it_was(encoding):
    images = corners(40, 4, "train")
    cases = [
        (narrow(), images.pixels[:, :, :8, :8], "cannot run on images of 3x8x8"),
        (vgg("vgg13", form="factorized", width=0.02), images, "the network has 10 hidden layers"),
    ]
    for module, given, said in cases:
        for stage in module.stages:
            stage.depthwise.weight.fill_(0.25)
        before = {name: value.clone() for name, value in module.state_dict().items()}
        with pytest.raises(InputError, match=said):
            init_(module, encoding, given)
        assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_a_module_without_memory_of_its_own_is_refused(encoding):
    with torch.device("meta"):
        nothing = torch.nn.Linear(3, 4)
    with pytest.raises(InputError, match=r"'weight' is on the meta device .*to_empty"):
        init_(nothing, encoding)
    with torch.inference_mode():
        locked = torch.nn.Linear(3, 4)
    with pytest.raises(InputError, match=r"'weight' was made under torch.inference_mode"):
        init_(locked, encoding)
