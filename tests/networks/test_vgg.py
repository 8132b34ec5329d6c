import pytest
import torch

from covalign.errors import InputError
from covalign.networks.filters import FilterBank, analytic_filters
from covalign.networks.vgg import vgg, vgg11


def test_full_width_has_the_published_numbers_of_convolution_parameters():
    joint = sum(stage.convolution.weight.numel() for stage in vgg11("joint").stages)
    factorized = sum(stage.pointwise.weight.numel() for stage in vgg11("factorized").stages)
    assert joint == 9_217_728
    assert factorized == 10_241_920


def test_neurons_have_ten_coordinates_per_channel_in_the_factorized_form():
    shapes = [tuple(stage.pointwise.weight.shape[:2]) for stage in vgg11("factorized").stages]
    assert shapes == [(64, 30), (128, 640), (256, 1280), (256, 2560), (512, 2560), *[(512, 5120)] * 3]


@pytest.mark.parametrize("form", ["joint", "factorized"])
@pytest.mark.parametrize("kernel_size", [3, 5, 7])
@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_every_form_gives_class_scores(form, kernel_size, head):
    module = vgg11(form, 0.125, kernel_size, classes=7, head=head, in_channels=1)
    assert module(torch.randn(2, 1, 32, 32)).shape == (2, 7)


def test_there_are_no_biases_and_no_affine_norms():
    names = [name for name, _ in vgg11("factorized", 0.125, head="mlp").named_parameters()]
    assert all(name.endswith(".weight") and ".norm." not in name for name in names)


def test_only_the_filters_are_frozen():
    frozen = {name for name, p in vgg11("factorized", 0.125).named_parameters() if not p.requires_grad}
    assert frozen == {f"stages.{i}.depthwise.weight" for i in range(8)}


def test_initial_variance_is_one_over_three_fan_in():
    torch.manual_seed(0)
    weight = vgg11("factorized").stages[5].pointwise.weight
    assert float(weight.detach().var()) == pytest.approx(1 / (3 * 5120), rel=0.01)


def test_slots_of_a_channel_are_consecutive():
    stage = vgg11("factorized", 0.125).stages[0]
    x = torch.zeros(1, 3, 9, 9)
    x[0, 1] = torch.randn(9, 9)
    active = stage.depthwise(x)[0].flatten(1).abs().sum(1) > 0
    assert active.nonzero().flatten().tolist() == list(range(10, 20))


def test_norm_can_be_removed():
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in vgg11("joint", 0.125, norm=False).modules())


def test_deeper_plans_have_more_stages():
    assert [len(vgg(plan, width=0.125).stages) for plan in ("vgg11", "vgg13", "vgg16")] == [8, 10, 13]


def test_analytic_filters_are_orthonormal_with_fixed_signs():
    filters = analytic_filters().filters.flatten(1)
    torch.testing.assert_close(filters @ filters.T, torch.eye(5))
    again = FilterBank.of(-analytic_filters().filters, {})
    torch.testing.assert_close(again.filters, analytic_filters().filters)


def test_resized_filters_keep_their_symmetry():
    for k in (5, 7):
        low, dx, dy, laplacian, _ = analytic_filters().resize(k).filters
        torch.testing.assert_close(low, low.T)
        torch.testing.assert_close(dx, dy.T)
        torch.testing.assert_close(dx, -dx.flip(1))
        torch.testing.assert_close(laplacian, laplacian.flip(0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"form": "dense"}, "form: got 'dense', expected one of joint, factorized"),
        ({"head": "none"}, "head: got 'none'"),
        ({"width": 0.0}, "width: got 0"),
        ({"kernel_size": 4}, "kernel size: got 4"),
        ({"classes": 0}, "got 0 classes"),
    ],
)
def test_unknown_options_are_named(options, message):
    with pytest.raises(InputError, match=message):
        vgg("vgg11", **options)


def test_unusable_banks_are_named():
    with pytest.raises(InputError, match="k odd"):
        FilterBank.of(torch.ones(2, 4, 4), {})
    with pytest.raises(InputError, match="is zero"):
        FilterBank.of(torch.zeros(2, 3, 3), {})
    with pytest.raises(InputError, match="odd number"):
        analytic_filters().resize(4)
