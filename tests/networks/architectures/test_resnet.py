import pytest
import torch
from safetensors import safe_open

from covalign.data.loading import load_images
from covalign.data.normalization import normalization
from covalign.errors import InputError
from covalign.networks.architectures.resnet import resnet, resnet20, resnet32, resnet44, resnet56
from covalign.networks.readers.opening import read_network


@pytest.mark.parametrize(
    ("make", "depth", "parameters"),
    [
        (resnet20, 20, 269_722),
        (resnet32, 32, 464_154),
        (resnet44, 44, 658_586),
        (resnet56, 56, 853_018),
    ],
)
def test_depth_and_size_are_those_of_he_et_al(make, depth, parameters):
    """Table 6 of He et al. 2016 gives 0.27, 0.46, 0.66 and 0.85 million parameters."""
    network = make()
    assert len(read_network(network).layers) == depth
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_groups_halve_the_resolution():
    network = read_network(resnet20())
    received = network.source.inputs(
        torch.zeros(1, 3, 32, 32), ["layer1.2.conv2", "layer2.2.conv2", "linear"]
    )
    assert [tuple(x.shape[1:]) for x in received.values()] == [(16, 32, 32), (32, 16, 16), (64,)]


def test_a_shortcut_between_groups_subsamples_and_pads_with_zeros():
    block = resnet20().layer2[0].eval()
    with torch.no_grad():
        block.bn2.weight.zero_()
        block.bn2.bias.zero_()
        x = torch.rand(1, 16, 8, 8)
        y = block(x)
    assert torch.equal(y[:, 8:24], x[:, :, ::2, ::2])
    assert not y[:, :8].any()
    assert not y[:, 24:].any()


@pytest.mark.parametrize("depth", [2, 18, 21])
def test_other_depths_are_refused(depth):
    with pytest.raises(InputError, match=r"expected 6n \+ 2"):
        resnet(depth)


@pytest.mark.shared
@pytest.mark.parametrize("depth", [20, 56])
def test_published_networks_are_filled_completely_and_classify(shared, depth):
    """91.8 % and 93.6 % on the original images; about ten points less on the recompressed ones at hand."""
    path = shared / "models" / "cifar10-resnets" / f"resnet{depth}.safetensors"
    network = read_network(path, resnet(depth))
    with safe_open(path, "pt") as file:
        assert set(file.keys()) == {k for k in network.source.module.state_dict() if "num_batches" not in k}
    images = load_images(shared / "data" / "cifar10-jpeg", "test", max_images=200)
    with torch.no_grad():
        scores = network.source.module.eval()(normalization("imagenet")(images.pixels))
    assert float((scores.argmax(1) == images.labels).float().mean()) > 0.7
