"""Weights in parts against the module that they belong to."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from covalign.networks.readers.composed import compose, is_mask
from covalign.networks.readers.opening import read_network

pytestmark = pytest.mark.filterwarnings("ignore")  # PyTorch deprecates the older forms


def saved(folder, module):
    """The layers of the file of a module's weights, and the weights that the module uses."""
    module.eval()
    torch.save(module.state_dict(), folder / "net.pt")
    return read_network(folder / "net.pt")


class Masked(nn.Module):
    def __init__(self, mask):
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight):
        return weight * self.mask


def masked(module, shape):
    parametrize.register_parametrization(module, "weight", Masked((torch.rand(shape) > 0.4).float()))
    return module


MODULES = {
    "weight norm, older": lambda: nn.utils.weight_norm(nn.Conv2d(3, 8, 3)),
    "weight norm": lambda: parametrizations.weight_norm(nn.Conv2d(3, 8, 3)),
    "weight norm over inputs": lambda: parametrizations.weight_norm(nn.Conv2d(3, 8, 3), dim=1),
    "weight norm over all": lambda: nn.utils.weight_norm(nn.Conv2d(3, 8, 3), dim=None),
    "weight norm, linear": lambda: parametrizations.weight_norm(nn.Linear(12, 5)),
    "spectral norm, older": lambda: nn.utils.spectral_norm(nn.Conv2d(3, 8, 3), n_power_iterations=30),
    "spectral norm": lambda: parametrizations.spectral_norm(nn.Conv2d(3, 8, 3)),
    "spectral norm, linear": lambda: parametrizations.spectral_norm(nn.Linear(12, 5)),
    "pruned, elementwise": lambda: prune.l1_unstructured(nn.Conv2d(3, 8, 3), "weight", 0.5),
    "pruned, channels": lambda: prune.ln_structured(nn.Conv2d(6, 8, 3), "weight", 0.5, n=2, dim=1),
    "pruned, linear": lambda: prune.random_unstructured(nn.Linear(12, 5), "weight", 0.5),
    "pruned, parametrized": lambda: masked(nn.Conv2d(3, 8, 3), (8, 3, 3, 3)),
    "normed and pruned": lambda: masked(parametrizations.spectral_norm(nn.Conv2d(3, 8, 3)), (8, 3, 3, 3)),
    "pruned with its bias": lambda: prune.random_unstructured(
        prune.random_unstructured(nn.Conv2d(3, 8, 3), "weight", 0.5), "bias", 0.5
    ),
}


@pytest.mark.parametrize("make", MODULES.values(), ids=MODULES)
def test_parts_are_put_together_as_the_module_does(tmp_path, make):
    torch.manual_seed(0)
    module = make()
    module(torch.randn(2, 3 if not hasattr(module, "in_channels") else module.in_channels, 9, 12))
    network = saved(tmp_path, nn.Sequential(module))
    assert [layer.name for layer in network.layers] == ["0"]
    torch.testing.assert_close(network.layers[0].weight.flatten(), module.eval().weight.detach().flatten())
    assert network.details["inferred"]["0"]


def test_spectral_norm_of_transposed_convolutions_is_along_the_axis_of_u(tmp_path):
    torch.manual_seed(0)
    for c_in, c_out in ((6, 4), (4, 4)):
        module = nn.utils.spectral_norm(nn.ConvTranspose2d(c_in, c_out, 3), n_power_iterations=50)
        module.train()(torch.randn(1, c_in, 5, 5))
        state = compose(module.eval().state_dict())
        torch.testing.assert_close(state.weight("weight"), module.weight.detach(), rtol=1e-4, atol=1e-5)


NAMES = {
    "suffix": ("conv.weight", "conv.weight_mask"),
    "beside": ("conv.weight", "conv.mask"),
    "below": ("conv.weight", "conv.weight.mask"),
    "module": ("conv.weight", "conv_mask"),
    "pruning": ("conv.weight", "conv.weight_pruning_mask"),
    "folder of masks": ("conv.weight", "masks.conv.weight"),
    "folder in front": ("net.conv.weight", "mask.net.conv.weight"),
    "kernel": ("conv.kernel", "conv.kernel_mask"),
    "kernel's mask": ("conv.kernel", "conv.mask"),
    "any word": ("conv.weight", "conv.sparse_mask"),
    "short": ("conv.weight", "conv.w_mask"),
    "bar": ("conv.weight_orig", "conv.weight_mask"),
}


@pytest.mark.parametrize(("weight", "mask"), NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.uint8])
def test_masks_of_any_name_are_multiplied_out(tmp_path, weight, mask, dtype):
    values, ones = torch.randn(8, 3, 3, 3), (torch.rand(8, 3, 3, 3) > 0.5).to(dtype)
    last = f"last.{weight.rpartition('.')[2].removesuffix('_orig')}"
    torch.save({weight: values, last: torch.randn(4, 8, 3, 3), mask: ones}, tmp_path / "net.pt")
    network = read_network(tmp_path / "net.pt")
    assert len(network.layers) == 2
    assert torch.equal(network.layers[0].weight, values * ones)
    assert network.skipped == ()


@pytest.mark.parametrize("place", ["mask", "masks", "pruning_masks"])
def test_masks_in_a_mapping_of_their_own_are_multiplied_out(tmp_path, place):
    weights = {"a.weight": torch.randn(8, 3, 3, 3), "b.weight": torch.randn(4, 8, 3, 3)}
    masks = {name: (torch.rand(weight.shape) > 0.5).float() for name, weight in weights.items()}
    torch.save({"state_dict": weights, place: masks, "epoch": 1}, tmp_path / "net.pt")
    network = read_network(tmp_path / "net.pt")
    for layer, (name, weight) in zip(network.layers, weights.items(), strict=True):
        assert torch.equal(layer.weight, weight * masks[name])


def test_masks_of_whole_channels_are_multiplied_out():
    values, ones = torch.randn(8, 3, 3, 3), (torch.arange(8) % 2).float().view(8, 1, 1, 1)
    whole = compose({"conv.weight": values, "conv.weight_mask": ones})
    assert torch.equal(whole.weight("conv.weight"), values * ones)


@pytest.mark.parametrize(
    "weights",
    [
        {"conv.weight_mask": torch.ones(4, 3, 3, 3)},
        {"conv.weight_orig": torch.randn(4, 3, 3, 3)},
        {"conv.weight_v": torch.randn(4, 3, 3, 3)},
        {
            "conv.parametrizations.weight.original": torch.randn(4, 4),
            "conv.parametrizations.weight.0.base": torch.eye(4),
        },
        {"conv.weight": torch.randn(4, 3, 3, 3), "conv.mask_scores": torch.randn(4, 3, 3, 3)},
    ],
    ids=["mask alone", "original alone", "direction alone", "orthogonal", "soft mask"],
)
def test_parts_without_their_others_are_left_out_and_listed(tmp_path, weights):
    torch.save({**weights, "first.weight": torch.randn(4, 3, 3, 3)}, tmp_path / "net.pt")
    network = read_network(tmp_path / "net.pt")
    odd = next(name for name in weights if not name.endswith(".weight"))
    assert odd not in [layer.name for layer in network.layers]
    assert odd in [entry.name for entry in network.skipped]


def test_a_mask_holds_zeros_and_ones_and_both():
    assert is_mask(torch.tensor([0.0, 1.0]))
    assert is_mask(torch.ones(2, dtype=torch.bool))
    for values in ([0.0, 0.0], [1.0, 1.0], [0.0, 0.5], []):
        assert not is_mask(torch.tensor(values))


def test_nothing_is_computed_before_it_is_asked_for():
    g, v = torch.ones(4, 1, 1, 1, device="meta"), torch.ones(4, 3, 3, 3, device="meta")
    whole = compose({"conv.weight_g": g, "conv.weight_v": v})
    assert whole.tensors == {"conv.weight": v}
