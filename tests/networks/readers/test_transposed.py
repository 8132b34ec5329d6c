"""Transposed convolutions in bare files, against the modules that they belong to."""

import pytest
import torch
from torch import nn

from covalign.networks.readers.opening import read_network


def norm(channels):
    return nn.BatchNorm2d(channels)


TRANSPOSED = {
    "by its bias": nn.Sequential(nn.Conv2d(3, 8, 3), nn.ConvTranspose2d(8, 4, 4), nn.Conv2d(4, 2, 3)),
    "by its groups": nn.Sequential(nn.Conv2d(3, 16, 3), nn.ConvTranspose2d(16, 6, 2, groups=2)),
    "by the batch norm after it": nn.Sequential(
        nn.ConvTranspose2d(100, 32, 4, bias=False), norm(32), nn.ReLU(),
        nn.ConvTranspose2d(32, 16, 4, bias=False), norm(16), nn.ReLU(),
        nn.ConvTranspose2d(16, 3, 4, bias=False),
    ),
    "by what it receives": nn.Sequential(nn.Conv2d(3, 8, 3), nn.ConvTranspose2d(8, 4, 2, bias=False)),
    "by its name": nn.ModuleDict({"conv": nn.Conv2d(3, 8, 3), "deconv": nn.ConvTranspose2d(8, 8, 3)}),
    "grouped, by its name": nn.ModuleDict(
        {"conv": nn.Conv2d(3, 8, 3), "deconv": nn.ConvTranspose2d(8, 8, 4, groups=4)}
    ),
    "not": nn.Sequential(
        nn.Conv2d(3, 8, 4, bias=False), norm(8),
        nn.Conv2d(8, 16, 4, bias=False), nn.Conv2d(16, 16, 2), nn.Conv2d(16, 1, 4),
    ),
}  # fmt: skip


@pytest.mark.parametrize("module", TRANSPOSED.values(), ids=TRANSPOSED)
def test_transposed_convolutions_are_read_as_the_module_says(tmp_path, module):
    torch.save(module.state_dict(), tmp_path / "net.pt")
    layers = read_network(tmp_path / "net.pt").layers
    expected = [part for part in module.modules() if isinstance(part, nn.Conv2d | nn.ConvTranspose2d)]
    for layer, part in zip(layers, expected, strict=True):
        transposed = isinstance(part, nn.ConvTranspose2d)
        assert (layer.kind == "transposed") == transposed
        if not transposed:
            assert torch.equal(layer.weight, part.weight)
        elif part.groups == 1:
            assert torch.equal(layer.weight, part.weight.transpose(0, 1))
        assert (layer.neurons, layer.channels) == (part.out_channels, part.in_channels)


def test_the_evidence_is_said(tmp_path):
    torch.save(TRANSPOSED["by what it receives"].state_dict(), tmp_path / "net.pt")
    inferred = read_network(tmp_path / "net.pt").details["inferred"]
    assert inferred == {
        "1": "transposed, since its first axis is what the layer before gives, and its second is not"
    }


@pytest.mark.parametrize("second", [nn.ConvTranspose2d(8, 8, 4, groups=4), nn.Conv2d(8, 8, 3, groups=4)])
def test_what_may_be_grouped_or_transposed_is_said(tmp_path, second):
    torch.save(nn.Sequential(nn.Conv2d(3, 8, 3), second).state_dict(), tmp_path / "net.pt")
    said = read_network(tmp_path / "net.pt").details["inferred"]["1"]
    assert "if it receives all 8 of the layer before, it has 4 groups or is transposed" in said
