import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, conv_transpose2d
from torch.nn.utils import prune

from covalign.errors import InputError
from covalign.networks.architectures.vgg import vgg11
from covalign.networks.filters import analytic_filters
from covalign.networks.readers.opening import read_network
from samples.strangers import Separable, Stranger, small_cnn


@pytest.fixture(scope="module")
def stranger():
    torch.manual_seed(0)
    return read_network(Stranger())


def test_layers_come_in_the_order_of_execution_not_of_registration(stranger):
    names = [layer.name for layer in stranger.layers]
    assert names == ["q9", "thing.deep", "thing.mix", "again", "up", "back", "weighed", "line", "zz_top"]
    assert stranger.details["order"].startswith("of execution")


def test_every_kind_of_layer_is_told_apart(stranger):
    kinds = {layer.name: (layer.kind, tuple(layer.weight.shape), layer.groups) for layer in stranger.layers}
    assert kinds["q9"] == ("convolution", (8, 3, 5, 5), 1)
    assert kinds["thing.deep"] == ("depthwise", (8, 1, 3, 3), 8)
    assert kinds["up"] == ("transposed", (12, 4, 4, 4), 2)
    assert kinds["back"] == ("convolution", (8, 12, 1, 1), 1)
    assert kinds["line"] == ("linear", (8, 8, 1, 1), 1)


def test_stride_padding_and_dilation_are_recorded(stranger):
    assert (stranger.layer("q9").stride, stranger.layer("q9").padding) == ((2, 2), (0, 0))
    assert (stranger.layer("thing.deep").dilation, stranger.layer("thing.deep").padding) == ((2, 2), (2, 2))
    assert stranger.layer("again").padding == (1, 1)


def test_a_grouped_convolution_is_not_a_depthwise_one():
    layer = read_network(nn.Sequential(nn.Conv2d(4, 8, 3, groups=2))).layers[0]
    assert (layer.kind, layer.channels, layer.dimension) == ("grouped", 4, 18)


@pytest.mark.parametrize("groups", [1, 2])
def test_the_weight_of_a_transposed_convolution_is_that_of_the_convolution_it_is(groups):
    part = nn.ConvTranspose2d(4, 6, 3, groups=groups, bias=False).double()
    weight = read_network(nn.Sequential(part)).layers[0].weight
    x = torch.randn(1, 4, 7, 7, dtype=torch.float64)
    as_convolution = conv2d(x, weight.flip(2, 3), padding=2, groups=groups)
    torch.testing.assert_close(conv_transpose2d(x, part.weight, groups=groups), as_convolution)


def test_what_is_not_read_is_listed_with_its_reason(stranger):
    reasons = {entry.name: entry.reason for entry in stranger.skipped}
    assert set(reasons) == {"gain", "lonely", "one_d", "words", "group_norm", "twin", "alias"}
    assert "Conv1d" in reasons["one_d"]
    assert "Embedding" in reasons["words"]
    assert "never called" in reasons["lonely"]
    assert reasons["twin"] == "tied: the same weights as again"
    assert reasons["alias"] == "tied: the same module as back"


@pytest.mark.filterwarnings("ignore")  # PyTorch deprecates old spectral norm, lazy and quantized modules
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: nn.Conv3d(4, 4, 1), "Conv3d is neither"),
        (lambda: nn.BatchNorm3d(4), "neither directly precedes nor directly follows a layer"),
        (lambda: nn.LazyConv2d(4, 1), "has no weights before its first forward pass"),
        (lambda: nn.Conv2d(4, 4, 1, dtype=torch.complex64), "complex64"),
        (lambda: nn.LSTM(4, 4), "LSTM is neither"),
        (lambda: nn.MultiheadAttention(4, 2), "never called"),
        (lambda: torch.ao.nn.quantized.Conv2d(4, 4, 1), "quantized"),
    ],
)
def test_strange_parts_are_left_out_and_named(make, reason):
    part = make()

    class Holder(nn.Module):
        def __init__(self):
            super().__init__()
            self.odd = part
            self.plain = nn.Conv2d(3, 4, 1)

        def forward(self, x):
            return self.plain(x)

    network = read_network(Holder())
    assert [layer.name for layer in network.layers] == ["plain"]
    assert reason in next(entry.reason for entry in network.skipped if entry.name == "odd")


@pytest.mark.filterwarnings("ignore")  # PyTorch deprecates the older forms
@pytest.mark.parametrize(
    "make",
    [
        lambda part: nn.utils.parametrizations.weight_norm(part),
        lambda part: nn.utils.parametrizations.spectral_norm(part),
        lambda part: nn.utils.parametrizations.orthogonal(part),
        lambda part: nn.utils.weight_norm(part),
        lambda part: nn.utils.spectral_norm(part),
        lambda part: prune.l1_unstructured(part, "weight", 0.5),
    ],
    ids=["weight norm", "spectral norm", "orthogonal", "older weight norm", "older spectral norm", "pruned"],
)
@pytest.mark.parametrize("part", [nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(3, 4, 2)])
def test_weights_in_parts_are_those_that_the_layer_applies(make, part):
    module = nn.Sequential(make(copy.deepcopy(part)), nn.ReLU(), nn.Conv2d(4, 2, 1))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(1.5)  # what was computed before is stale
    state = {name: value.clone() for name, value in module.state_dict().items()}
    network = read_network(module)
    assert [layer.name for layer in network.layers] == ["0", "2"]
    x = torch.randn(1, 3, 6, 6)
    bias = module[0].bias.detach()
    weight = network.layers[0].weight
    applied = (
        conv2d(x, weight, bias)
        if isinstance(part, nn.Conv2d)
        else conv_transpose2d(x, weight.transpose(0, 1), bias, stride=part.stride)
    )
    with torch.no_grad():
        torch.testing.assert_close(module.eval()[0](x), applied, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(value, module.state_dict()[name]) for name, value in state.items())


def test_a_convolution_that_standardizes_its_weight_is_not_read_as_it_is_stored():
    class Standardized(nn.Conv2d):
        def forward(self, x):
            weight = self.weight / self.weight.norm()
            return nn.functional.conv2d(x, weight, self.bias)

    class Padded(nn.Conv2d):
        def forward(self, x):
            return super().forward(nn.functional.pad(x, (1, 1, 1, 1)))

    network = read_network(nn.Sequential(Padded(3, 4, 3), Standardized(4, 4, 1)))
    assert [layer.name for layer in network.layers] == ["0"]
    assert network.skipped[0].reason == "Standardized does not apply its stored weight as it is"


def test_batch_norm_is_found_where_it_touches_a_layer_directly():
    inplace = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(inplace=True), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 1))
    first, last = read_network(inplace).layers
    assert first.norm_after is None
    assert last.norm_before is not None
    followed = read_network(Separable(3, 4)).layers[0]
    assert followed.norm_after is not None


def test_a_batch_norm_with_an_activation_inside_precedes_nothing():
    class NormAct(nn.BatchNorm2d):
        def forward(self, x):
            return torch.relu(super().forward(x))

    first, last = read_network(nn.Sequential(nn.Conv2d(3, 4, 1), NormAct(4), nn.Conv2d(4, 5, 1))).layers
    assert last.norm_before is None
    assert first.norm_after is not None


def test_a_norm_precedes_a_layer_only_if_it_does_so_in_every_call(stranger):
    assert stranger.layer("thing.mix").norm_after is not None
    assert stranger.layer("again").norm_before is None


def test_own_networks_know_form_and_initial_variance():
    network = read_network(vgg11("factorized", width=0.1, filters=analytic_filters()))
    assert [layer.form for layer in network.layers] == ["factorized"] * 8 + ["linear"]
    assert {entry.reason for entry in network.skipped} == {"frozen filter bank"}
    layer = network.layers[1]
    assert layer.init_variance == pytest.approx(1 / (3 * layer.dimension))
    assert float(layer.weight.var()) == pytest.approx(layer.init_variance, rel=0.2)
    assert read_network(vgg11("joint", width=0.1)).layers[3].form == "joint"


def test_the_initial_variance_of_strangers_is_unknown(stranger):
    assert all(layer.init_variance is None and not layer.factorized for layer in stranger.layers)


def test_reading_leaves_the_module_as_it_was():
    module = Stranger()
    module.thing.eval()
    state = copy.deepcopy(module.state_dict())
    hooks = [len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules()]
    read_network(module)
    assert module.training
    assert not module.thing.training
    assert all(torch.equal(state[name], value) for name, value in module.state_dict().items())
    assert hooks == [len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules()]


def test_weights_are_those_at_the_time_of_reading():
    module = small_cnn()
    layer = read_network(module).layers[0]
    before = layer.weight.clone()
    with torch.no_grad():
        module.first.weight.zero_()
    assert torch.equal(layer.weight, before)


def test_a_module_that_cannot_run_is_read_in_the_order_of_registration():
    class Picky(nn.Module):
        def __init__(self):
            super().__init__()
            self.b = nn.Conv2d(3, 4, 1)
            self.a = nn.Linear(4, 5)

        def forward(self, x, y):
            return self.a(self.b(x).mean((2, 3)) + y)

    network = read_network(Picky())
    assert [layer.name for layer in network.layers] == ["b", "a"]
    assert "no forward pass" in network.details["order"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_modules_are_read_as_they_are(dtype):
    network = read_network(nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).to(dtype))
    assert network.layers[0].weight.dtype == dtype
    assert network.layers[0].norm_after is not None
    assert network.layers[0].matrix.dtype == torch.float64


@pytest.mark.slow
@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda m: torch.compile(m, backend="eager")])
def test_wrappers_are_taken_off(wrap):
    names = [layer.name for layer in read_network(wrap(small_cnn())).layers]
    assert names == ["first", "second", "point", "hidden", "classes"]


def test_weights_that_are_not_finite_are_refused():
    module = small_cnn()
    with torch.no_grad():
        module.second.weight[0, 0, 0, 0] = torch.nan
    with pytest.raises(InputError, match="'second' has weights that are not finite"):
        read_network(module)


@pytest.mark.parametrize("module", [nn.ReLU(), nn.Sequential(nn.Conv1d(3, 4, 1))])
def test_a_module_without_layers_is_refused(module):
    with pytest.raises(InputError, match="no two-dimensional convolution or linear layer"):
        read_network(module)
