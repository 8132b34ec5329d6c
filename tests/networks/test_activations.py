import copy

import pytest
import torch
from torch import nn

from covalign.errors import InputError
from covalign.networks.readers.opening import read_network
from samples.strangers import Stranger, small_cnn


def test_inputs_are_what_the_weights_multiply():
    module = small_cnn()
    x = torch.randn(3, 3, 16, 16)
    received = read_network(module).source.inputs(x, ["first", "point", "hidden"])
    assert torch.equal(received["first"], x)
    with torch.no_grad():
        h = module.norm(torch.relu(module.second(nn.functional.max_pool2d(torch.relu(module.first(x)), 2))))
        torch.testing.assert_close(received["point"], h)
        torch.testing.assert_close(received["hidden"], torch.relu(module.point(h)).mean((2, 3)))


@pytest.mark.parametrize("size", [(24, 24), (41, 33)])
def test_any_image_size_is_taken(size):
    network = read_network(Stranger())
    received = network.source.inputs(torch.randn(2, 3, *size), [layer.name for layer in network.layers])
    assert all(x.shape[:2] == (2, network.layer(name).channels) for name, x in received.items())


def test_a_linear_layer_at_every_position_has_its_features_second():
    received = read_network(Stranger()).source.inputs(torch.randn(2, 3, 32, 32), ["line", "zz_top"])
    assert received["line"].shape == received["zz_top"].shape


def test_windows_of_an_image_become_its_positions():
    class Windows(nn.Module):
        def __init__(self):
            super().__init__()
            self.mix = nn.Linear(3, 5)

        def forward(self, x):
            rows = x.permute(0, 2, 3, 1).flatten(0, 1)  # every row of the image is a window
            return self.mix(rows)

    x = torch.randn(4, 3, 32, 32)
    received = read_network(Windows()).source.inputs(x, ["mix"])["mix"]
    torch.testing.assert_close(received, x)


def test_a_layer_called_twice_gives_both_inputs_along_the_positions():
    module = nn.Sequential(shared := nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(), shared)
    x = torch.randn(2, 3, 8, 8)
    received = read_network(module).source.inputs(x, ["0"])["0"]
    with torch.no_grad():
        torch.testing.assert_close(received, torch.cat([x, torch.relu(shared(x))], 2).view(2, 3, -1))


def test_inputs_are_kept_from_later_changes_in_place():
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Identity(), nn.ReLU(inplace=True))
    x = torch.randn(2, 3, 4, 4)
    module[0].register_forward_hook(lambda part, args, output: output + args[0].zero_()[:, :1])
    received = read_network(module).source.inputs(x.clone(), ["0"])["0"]
    assert torch.equal(received, x)


def test_the_module_is_afterwards_as_it_was():
    module = Stranger().train()
    module.thing.scale.eval()
    source = read_network(module).source
    state = copy.deepcopy(module.state_dict())
    source.inputs(torch.randn(2, 3, 20, 20), ["again"])
    with pytest.raises(InputError):
        source.inputs(torch.randn(2, 5, 20, 20), ["again"])
    assert [part.training for part in module.modules()].count(False) == 1
    assert all(torch.equal(state[name], value) for name, value in module.state_dict().items())
    assert not any(part._forward_pre_hooks or part._forward_hooks for part in module.modules())


def test_half_precision_modules_run_in_single_precision():
    module = small_cnn().half()
    x = torch.randn(2, 3, 8, 8)
    received = read_network(module).source.inputs(x, ["hidden"])["hidden"]
    expected = read_network(copy.deepcopy(module).float()).source.inputs(x, ["hidden"])["hidden"]
    assert torch.equal(received, expected)
    assert module.first.weight.dtype == torch.float16


def test_images_of_a_wrong_shape_are_refused_in_one_line():
    with pytest.raises(
        InputError, match=r"cannot run on images of 4x8x8 .* give images of the size"
    ) as caught:
        read_network(small_cnn()).source.inputs(torch.randn(2, 4, 8, 8), ["first"])
    assert "\n" not in str(caught.value)


def test_an_unknown_layer_is_refused():
    with pytest.raises(InputError, match="has no layer 'third'"):
        read_network(small_cnn()).source.inputs(torch.randn(2, 3, 8, 8), ["third"])


def test_a_layer_that_is_not_called_is_refused():
    with pytest.raises(InputError, match="did not call its layer 'lonely'"):
        read_network(Stranger()).source.inputs(torch.randn(2, 3, 16, 16), ["lonely"])
