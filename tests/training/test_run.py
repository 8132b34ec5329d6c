import pytest
import torch

from covalign.data.normalization import normalization
from covalign.errors import InputError
from covalign.training.loop import train
from covalign.training.run import Memory, Run, unpacked


def test_the_network_has_eight_factorized_stages_first(stored):
    _, run = stored
    layers = run.network.layers[:8]
    assert [layer.name for layer in layers] == [f"stages.{i}.pointwise" for i in range(8)]
    assert {layer.form for layer in layers} == {"factorized"}
    assert run.network.normalization == normalization("imagenet")
    assert run.network.resolution == 32


def test_each_layer_carries_final_and_initial_weights_and_their_variance(stored):
    _, run = stored
    for layer in run.network.layers:
        assert torch.equal(layer.weight.flatten(), run.final[f"{layer.name}.weight"].flatten())
        assert torch.equal(layer.initial.flatten(), run.initial[f"{layer.name}.weight"].flatten())
        assert layer.init_variance == pytest.approx(1 / (3 * layer.dimension))


@pytest.mark.slow
def test_initial_weights_have_the_stated_variance(tiny, images):
    run = train(tiny(width=0.25, epochs=0), images=images, progress=False)
    for layer in run.network.layers[2:8]:
        measured = layer.initial.double().square().mean().item()
        assert measured == pytest.approx(layer.init_variance, rel=0.05)


def test_a_joint_network_is_read_as_joint(tiny, images):
    run = train(tiny(form="joint", epochs=0), images=images, progress=False)
    assert {layer.form for layer in run.network.layers[:8]} == {"joint"}
    assert run.network.layers[0].dimension == 27


@pytest.mark.slow
def test_a_residual_network_trains_by_the_same_recipe(tiny, images):
    spec = tiny(architecture="resnet20", form="joint", width=1.0, epochs=1, batch_size=48, drop_last=True)
    run = train(spec, images=images, progress=False)
    first = run.network.layers[0]
    assert (first.name, first.neurons, first.dimension) == ("conv1", 16, 27)
    assert not torch.equal(first.weight, first.initial)


def test_the_module_gives_the_recorded_test_accuracy(stored, images):
    _, run = stored
    _, test = images
    with torch.no_grad():
        scores = run.module()(normalization("imagenet")(test.pixels))
    accuracy = (scores.argmax(1) == test.labels).double().mean().item()
    assert accuracy == pytest.approx(run.history[-1].test_accuracy)


def test_kept_epochs_are_readable_and_others_say_so(stored):
    _, run = stored
    first, last = run.at_epoch(1), run.at_epoch(3)
    assert first.name.endswith("epoch 1")
    assert not torch.equal(first.layers[3].weight, last.layers[3].weight)
    assert torch.equal(run.at_epoch(0).layers[3].weight, first.layers[3].initial)
    with pytest.raises(InputError, match=r"weights of epoch 2 were not kept; kept: 0 and 3 .* \[1\]"):
        run.at_epoch(2)


def test_a_run_opens_without_its_filter_file(tiny, images, tmp_path):
    from covalign.networks.filters import analytic_filters

    path = analytic_filters().save(tmp_path / "bank.safetensors")
    run = train(tiny(filters=str(path), epochs=0), images=images, progress=False)
    path.unlink()
    assert torch.equal(run.module().state_dict()["head.weight"], run.final["head.weight"])


def test_an_unfinished_run_says_how_far_it_is(stored):
    _, run = stored
    files = Memory({name: run.files.read(name) for name in ("spec.json", "initial.safetensors")})
    unfinished = Run.open(files)
    assert not unfinished.complete
    with pytest.raises(
        InputError, match="stopped after epoch 0 of 3; train the same spec again to finish it"
    ):
        unfinished.network  # noqa: B018


def test_what_is_no_safetensors_file_is_refused():
    for content in (b"", b"\x05\0\0\0\0\0\0\0hello", b"\xff" * 20):
        with pytest.raises(InputError, match=r"x\.safetensors: not a safetensors file"):
            unpacked(Memory({"x.safetensors": content}), "x.safetensors")
