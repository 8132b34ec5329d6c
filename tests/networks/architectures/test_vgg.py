import pytest
import torch

from covalign.errors import InputError
from covalign.networks.architectures.blocks import TrimmedConvolution
from covalign.networks.architectures.vgg import vgg, vgg11
from covalign.networks.filters import FilterBank, analytic_filters


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


@pytest.mark.slow
@pytest.mark.parametrize("side", [1, 2, 3, 4])
@pytest.mark.parametrize("kernel_size", [3, 5, 7])
def test_leaving_out_taps_that_meet_only_padding_changes_nothing(kernel_size, side):
    torch.manual_seed(0)
    trimmed = TrimmedConvolution(4, 6, kernel_size)
    plain = torch.nn.Conv2d(4, 6, kernel_size, padding=kernel_size // 2, bias=False)
    plain.load_state_dict(trimmed.state_dict())
    x = torch.randn(5, 4, side, side + 1)
    torch.testing.assert_close(trimmed(x), plain(x), rtol=0, atol=1e-6)
    for module in (trimmed, plain):
        module(x).square().sum().backward()
    torch.testing.assert_close(trimmed.weight.grad, plain.weight.grad, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_gradients_of_large_kernels_on_small_maps_are_numbers_in_bfloat16():
    torch.manual_seed(0)
    module = vgg11("joint", 0.25, kernel_size=7).to(memory_format=torch.channels_last)
    for _ in range(3):
        batch = torch.randn(32, 3, 32, 32).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            scores = module(batch).float()
        torch.nn.functional.cross_entropy(scores, torch.arange(32) % 10).backward()
    assert all(weight.grad.isfinite().all() for weight in module.parameters())
    last = module.stages[-1].convolution.weight.grad
    assert not last[:, :, :2].any()
    assert last[:, :, 2:5, 2:5].any()


def test_a_first_stride_reads_patches_that_lie_side_by_side():
    module = vgg("vgg11", "joint", 0.125, first_stride=3)
    assert module.stages[0].convolution(torch.randn(2, 3, 96, 96)).shape == (2, 8, 32, 32)
    assert module(torch.randn(2, 3, 96, 96)).shape == (2, 10)


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
        (
            {"form": "factorized", "first_stride": 3},
            "first stride: got 3 for the factorized form, expected 1",
        ),
        ({"first_stride": 0}, "first stride: got 0"),
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


def test_a_kernel_on_which_filters_vanish_is_refused():
    with pytest.raises(InputError, match=r"got 1, on which 3 of 5 filters vanish; .* a joint one takes 1"):
        vgg("vgg11", form="factorized", width=0.05, kernel_size=1)
    joint = vgg("vgg11", width=0.05, kernel_size=1)
    assert all(bool(each.isfinite().all()) for each in joint.parameters())
