"""The stage against its slow twin: the chain of modules that it stands for."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from covalign.kernels.factorized_stage import Moments, factorized_stage
from covalign.networks.architectures.blocks import FEWEST_IMAGES, FactorizedStage
from covalign.networks.filters import FilterBank, analytic_filters

BOUND = {torch.float64: 1e-10, torch.float32: 3e-6}


def literal(x, filters, weight, given, eps):
    """The formula, map by map."""
    channels = x.shape[1]
    bank = torch.cat([filters, -filters]).repeat(channels, 1, 1)[:, None]
    z = torch.relu(functional.conv2d(x, bank, padding=bank.shape[-1] // 2, groups=channels))
    if given is None:
        variance, mean = torch.var_mean(z, (0, 2, 3), correction=0)
    else:
        mean, variance = given
    standard = (z - mean[:, None, None]) / (variance[:, None, None] + eps).sqrt()
    return functional.conv2d(standard, weight[:, :, None, None]), Moments(mean, variance)


def case(images, channels, c_out, height, width, side, filters=5, dtype=torch.float64):
    torch.manual_seed(channels + side)
    x = torch.randn(images, channels, height, width, dtype=dtype)
    bank = torch.randn(filters, side, side, dtype=dtype)
    weight = torch.randn(c_out, 2 * filters * channels, dtype=dtype)
    moments = Moments(*torch.rand(2, 2 * filters * channels, dtype=dtype))
    return x, bank, weight, moments


def close(found, expected, dtype=torch.float64):
    assert (found - expected).abs().max() <= BOUND[dtype] * expected.abs().max()


SHAPES = [
    (3, 2, 4, 8, 6, 3),
    (2, 3, 2, 5, 7, 5),
    (4, 2, 3, 2, 2, 7),
    (6, 2, 2, 1, 1, 3),
    (1, 3, 2, 4, 4, 3),
    (2, 1, 1, 3, 9, 1),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_values_moments_and_gradients_are_those_of_the_formula(
    shape, given, threads, dtype, monkeypatch, torch_threads
):
    torch_threads(threads)
    # Blocks of two pixels and a half: parts of rows, rows, and whole maps occur.
    monkeypatch.setattr(
        "covalign.kernels.pixel_blocks.BLOCK_BYTES", 25 * shape[0] * shape[1] * dtype.itemsize
    )
    x, bank, weight, moments = case(*shape, dtype=dtype)
    twins = [
        (function, x.clone().requires_grad_(), weight.clone().requires_grad_())
        for function in (factorized_stage, literal)
    ]
    results = []
    for function, leaf, w in twins:
        out, used = function(leaf, bank, w, moments if given else None, 1e-5)
        (out * torch.linspace(-1, 2, out.numel(), dtype=dtype).view(out.shape)).sum().backward()
        results.append((out, *used, leaf.grad, w.grad))
    for found, expected in zip(*results, strict=True):
        close(found, expected, dtype)


@pytest.mark.parametrize("given", [False, True])
def test_gradients_agree_with_finite_differences(given):
    x, bank, weight, moments = case(3, 2, 2, 3, 4, 3, filters=2)

    def stage(x, weight):
        return factorized_stage(x, bank, weight, moments if given else None, 1e-3)[0]

    assert torch.autograd.gradcheck(stage, (x.requires_grad_(), weight.requires_grad_()))


def test_a_second_derivative_is_refused():
    x, bank, weight, _ = case(2, 2, 2, 3, 3, 3)
    out, _ = factorized_stage(x, bank, weight.requires_grad_(), None, 1e-5)
    (gradient,) = torch.autograd.grad(out.square().sum(), weight, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def modules_one_by_one(stage, x):
    return stage.pool(stage.pointwise(stage.norm(torch.relu(stage.depthwise(x)))))


def stages(side=3, *, norm=True, pool=False, dtype=torch.float32):
    torch.manual_seed(0)
    bank = FilterBank.of(torch.randn(5, side, side), {})
    stage = FactorizedStage(3, 4, bank, norm=norm, pool=pool).to(dtype)
    return stage, copy.deepcopy(stage)


def fused(stage, x) -> bool:
    return stage.is_plain(x)


def test_few_images_go_module_by_module():
    stage, _ = stages()
    assert not fused(stage, torch.randn(FEWEST_IMAGES - 1, 3, 6, 6))
    assert fused(stage, torch.randn(FEWEST_IMAGES, 3, 6, 6))


@pytest.fixture
def few_images(monkeypatch):
    """Take the fast path from two images on."""
    monkeypatch.setattr("covalign.networks.architectures.blocks.FEWEST_IMAGES", 2)


@pytest.mark.usefixtures("few_images")
@pytest.mark.parametrize("side", [3, 5, 7])
@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("pool", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_a_stage_is_its_modules_one_by_one(side, norm, pool, dtype, memory):
    ours, theirs = stages(side, norm=norm, pool=pool, dtype=dtype)
    for _ in range(3):
        x = torch.randn(5, 3, 9, 6, dtype=dtype).contiguous(memory_format=memory)
        mine, other = x.clone().requires_grad_(), x.clone().requires_grad_()
        assert fused(ours, mine)
        found, expected = ours(mine), modules_one_by_one(theirs, other)
        close(found, expected, dtype)
        direction = torch.randn_like(expected)
        found.backward(direction)
        expected.backward(direction)
        close(mine.grad, other.grad, dtype)
        close(ours.pointwise.weight.grad, theirs.pointwise.weight.grad, dtype)
    for (name, found), (same, expected) in zip(
        ours.state_dict().items(), theirs.state_dict().items(), strict=True
    ):
        assert name == same
        close(found.double(), expected.double(), dtype)
    ours.eval(), theirs.eval()
    with torch.no_grad():
        close(ours(x), modules_one_by_one(theirs, x), dtype)


def judged(run, stage, x, direction):
    """Values, moments and gradients of a stage, as float64."""
    leaf = x.clone().requires_grad_()
    out = run(stage, leaf)
    out.backward(direction.to(out.dtype))
    found = out, stage.norm.running_mean, stage.norm.running_var, leaf.grad, stage.pointwise.weight.grad
    return [each.detach().double() for each in found]


@pytest.mark.parametrize(("channels", "c_out", "side"), [(8, 6, 9), (3, 4, 12), (4, 160, 2)])
@pytest.mark.parametrize("threads", [1, 2])
def test_in_bfloat16_a_stage_is_as_near_the_truth_as_its_modules(
    channels, c_out, side, threads, torch_threads
):
    torch_threads(threads)
    torch.manual_seed(0)
    stage = FactorizedStage(channels, c_out, analytic_filters())
    images = torch.randn(64, channels, side, side).bfloat16().float()
    direction = torch.randn(64, c_out, side, side).bfloat16().float()

    def lower(run):
        return lambda *arguments: torch.autocast("cpu", torch.bfloat16)(run)(*arguments)

    with torch.autocast("cpu", torch.bfloat16):
        assert fused(stage, images)
        assert copy.deepcopy(stage)(images).dtype == torch.bfloat16
    truth = judged(modules_one_by_one, copy.deepcopy(stage).double(), images.double(), direction.double())
    theirs = judged(lower(modules_one_by_one), copy.deepcopy(stage), images, direction)
    ours = judged(lower(lambda module, x: module(x)), stage, images, direction)
    assert stage.norm.running_mean.dtype == stage.pointwise.weight.grad.dtype == torch.float32
    for mine, other, true in zip(ours, theirs, truth, strict=True):
        apart, far = (mine - true).norm(), (other - true).norm()
        assert apart <= 1.1 * far + 1e-3 * true.norm()
        assert far <= 0.02 * true.norm()


@pytest.mark.usefixtures("few_images")
def test_frozen_weights_and_images_get_no_gradient():
    stage, _ = stages()
    x = torch.randn(4, 3, 6, 6)
    stage(x).sum().backward()
    assert x.grad is None
    stage.pointwise.weight.requires_grad_(False)
    assert not stage(x).requires_grad
    x.requires_grad_()
    stage.pointwise.weight.grad = None
    stage(x).sum().backward()
    assert x.grad is not None
    assert stage.pointwise.weight.grad is None


@pytest.mark.usefixtures("few_images")
def test_hooks_see_what_the_modules_receive():
    stage, _ = stages()
    x, seen = torch.randn(4, 3, 6, 6), []
    for module in (stage.depthwise, stage.norm, stage.pointwise):
        handle = module.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[1]))
        assert not fused(stage, x)
        stage(x)
        handle.remove()
    assert seen == [3, 30, 30]
    assert fused(stage, x)


@pytest.mark.usefixtures("few_images")
def test_what_is_not_the_plain_stage_runs_module_by_module():
    stage, _ = stages()
    x = torch.randn(4, 3, 6, 6)
    with torch.autocast("cpu", torch.float16):
        assert not fused(stage, x)
    assert not fused(stage.to(torch.bfloat16), x.bfloat16())
    stage, _ = stages()
    with pytest.raises(ValueError, match="more than 1 value"):
        stage(x[:1, :, :1, :1])
    with torch.no_grad():
        stage.depthwise.weight[7] *= 2
    assert not fused(stage, x)
    stage, _ = stages()
    stage.norm = nn.BatchNorm2d(30)
    assert not fused(stage, x)
    stage, _ = stages()
    stage.norm.momentum = None
    assert not fused(stage, x)
    for pool in (nn.MaxPool2d(3, stride=2), nn.MaxPool2d(2, padding=1), nn.AvgPool2d(2)):
        stage, theirs = stages(pool=True)
        assert fused(stage, x)
        stage.pool = theirs.pool = pool
        assert not fused(stage, x)
        close(stage(x), modules_one_by_one(theirs, x), torch.float32)
    stage, _ = stages(pool=True)
    for small in (x[:, :, :1, :1], x[:, :, :1], x[:, :, :, :1]):
        with pytest.raises(RuntimeError, match="Output size is too small"):
            stage(small)


@pytest.mark.parametrize("threads", [1, 2])
def test_equal_steps_give_equal_bits(threads, torch_threads):
    torch_threads(threads)
    torch.manual_seed(0)
    stage = FactorizedStage(16, 8, analytic_filters(), pool=True)
    x = torch.randn(64, 16, 16, 16, requires_grad=True)
    first, second = (torch.autograd.grad(stage(x).square().sum(), (x, stage.pointwise.weight)) for _ in "ab")
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
