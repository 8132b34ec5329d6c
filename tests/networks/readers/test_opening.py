import re
import subprocess
import sys

import pytest
import safetensors.torch
import torch
from torch import nn

from covalign.data.images import Images
from covalign.data.normalization import Normalization, normalization
from covalign.errors import InputError
from covalign.networks.readers.opening import read_network
from covalign.studies.subjects import load_network
from covalign.training.loop import train
from covalign.training.spec import TrainingSpec
from covalign.training.store import RunStore
from samples.strangers import SmallCNN, small_cnn


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "small.safetensors"
    safetensors.torch.save_file(small_cnn().state_dict(), path)
    return path


@pytest.fixture
def factory(tmp_path, monkeypatch):
    """A module in the current folder, as users of the command line have it."""
    (tmp_path / "my_nets.py").write_text(
        "from torch import nn\n"
        "net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2))\n"
        "def make(): return net\n"
        "def picky(classes): return net\n"
        "def broken(): raise OSError('no luck')\n"
        "def other(): return 3\n"
        "class Holder:\n    make = staticmethod(make)\n"
    )
    monkeypatch.chdir(tmp_path)
    yield "my_nets"
    sys.modules.pop("my_nets", None)


def test_an_architecture_gives_a_weight_file_its_layer_inputs(weights):
    network = read_network(weights, SmallCNN())
    x = torch.randn(2, 3, 12, 12)
    names = [layer.name for layer in network.layers]
    expected = read_network(small_cnn()).source.inputs(x, names)
    for name, received in network.source.inputs(x, names).items():
        torch.testing.assert_close(received, expected[name])
    assert network.details["architecture"] == "SmallCNN"


def test_prefixes_of_wrappers_do_not_matter_to_an_architecture(tmp_path):
    path = tmp_path / "net.pt"
    torch.save({"state_dict": {f"module.net.{k}": v for k, v in small_cnn().state_dict().items()}}, path)
    assert read_network(path, SmallCNN()).layers[0].weight.equal(small_cnn().first.weight)


def test_checkpoints_from_before_batch_norm_counted_its_batches_are_read(tmp_path):
    state = small_cnn().state_dict()
    del state["norm.num_batches_tracked"]
    torch.save(state, tmp_path / "net.pt")
    assert len(read_network(tmp_path / "net.pt", SmallCNN()).layers) == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda state: state.pop("second.bias"),
            "SmallCNN has 'second.bias', which the file lacks (1 in all)",
        ),
        (lambda state: state.update(third=torch.ones(1)), "the file has 'third', which SmallCNN lacks"),
        (
            lambda state: state.update({"second.bias": torch.ones(3)}),
            "'second.bias' is [3] in the file and [12] in SmallCNN",
        ),
    ],
)
def test_weights_that_do_not_fit_the_architecture_are_refused_by_name(tmp_path, change, message):
    state = small_cnn().state_dict()
    change(state)
    torch.save(state, tmp_path / "net.pt")
    with pytest.raises(InputError, match=re.escape(message) + ".*; give the architecture these weights"):
        read_network(tmp_path / "net.pt", SmallCNN())


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn])
def test_quantized_weights_do_not_fill_an_architecture(tmp_path, dtype):
    state = small_cnn().state_dict()
    state["second.weight"] = state["second.weight"].to(dtype)
    torch.save(state, tmp_path / "net.pt")
    with pytest.raises(InputError, match=r"'second.weight' is stored as torch.* expected real numbers"):
        read_network(tmp_path / "net.pt", SmallCNN())


@pytest.mark.parametrize("name", ["my_nets:make", "my_nets:net", "my_nets:Holder.make", "my_nets.py:make"])
def test_a_factory_is_found_beside_the_user(factory, name):
    network = read_network(name)
    assert [layer.kind for layer in network.layers] == ["convolution", "linear"]
    assert network.details["source"] == name
    assert network.details["order"] == "of execution, on noise of 3x8x8"


def test_a_factory_can_be_the_architecture(tmp_path, factory):
    torch.save(read_network(f"{factory}:make").source.module.state_dict(), "net.pt")
    assert read_network("net.pt", f"{factory}:make").details["architecture"] == "my_nets:make"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_nets:picky", "TypeError: picky.* expected a factory that works without arguments"),
        ("my_nets:broken", "failed with OSError: no luck"),
        ("my_nets:other", "gave a int, expected a torch.nn.Module"),
        ("my_nets:absent", "AttributeError.* expected module.path:factory"),
        ("no_such_module:net", "No module named 'no_such_module'"),
        ("no_such_file.py:net", "cannot be imported .FileNotFoundError"),
    ],
)
def test_a_factory_that_does_not_work_ends_in_one_line(factory, name, message):
    with pytest.raises(InputError, match=f"{name}: .*{message}") as caught:
        read_network(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["timm:resnet18", "torchvision:resnet18"])
def test_published_networks_need_their_library_and_say_so(name):
    library = name.partition(":")[0]
    try:
        __import__(library)
    except Exception:
        with pytest.raises(InputError, match=rf"{library}.* pip install 'covalign\[hub\]'"):
            read_network(name)
    else:
        pytest.skip(f"{library} is installed")


@pytest.mark.slow
def test_optional_libraries_are_imported_only_when_asked_for():
    code = "import sys, covalign.networks.readers.opening; print([m for m in ('onnx', 'timm') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_names_are_taken_from_the_source_or_stated(weights):
    assert read_network(weights).name == "small"
    assert read_network(small_cnn()).name == "SmallCNN"
    assert read_network(weights, name="mine").name == "mine"
    assert read_network(read_network(weights), name="again").name == "again"


def test_the_normalization_is_what_the_user_states(weights):
    mine = Normalization("mine", (0.5,), (0.5,))
    assert read_network(weights).normalization is None
    assert read_network(weights, normalization="cifar").normalization == normalization("cifar")
    assert read_network(weights, normalization=mine).normalization == mine
    with pytest.raises(InputError, match="normalization: got 'odd'"):
        read_network(weights, normalization="odd")


def test_a_normalization_can_be_given_by_its_constants():
    assert normalization("0.5/0.25") == Normalization("0.5/0.25", (0.5,), (0.25,))
    assert normalization("0.5,0.4,0.3/1,2,3").std == (1.0, 2.0, 3.0)
    for wrong in ("0.5", "0.5/0", "0.5/0.2,0.2", "0.5/nan", "0.5/inf", "inf/1", "/", "a/b", "1/2/3"):
        with pytest.raises(InputError, match=r"normalization: got .* or MEAN/STD"):
            normalization(wrong)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("no/such/file.pt", "no/such/file.pt: no such file; expected a weight file"),
        ("nonsense", "nonsense: no such file"),
        (3, "network: got a int, expected a torch.nn.Module"),
    ],
)
def test_what_is_no_network_is_refused(source, message):
    with pytest.raises(InputError, match=message):
        read_network(source)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(InputError, match=re.escape(str(tmp_path))):
        read_network(tmp_path)


@pytest.mark.parametrize("source", [nn.Linear(2, 2), "timm:resnet18", "net.onnx"])
def test_an_architecture_goes_with_weight_files_alone(source):
    with pytest.raises(InputError, match=r"architecture: given for .*, expected a weight file"):
        read_network(source, SmallCNN())


@pytest.mark.slow
def test_a_run_of_the_store_is_a_network_by_folder_key_or_record(tmp_path, monkeypatch):
    pixels = torch.randint(256, (20, 3, 32, 32), dtype=torch.uint8)
    images = Images(pixels, torch.arange(20) % 2, ("a", "b"), "noise", "train")
    spec = TrainingSpec(images="noise", width=0.02, epochs=0, precision="float32")
    run = train(spec, RunStore(tmp_path), images=(images, images), progress=False)
    monkeypatch.setenv("COVALIGN_STORE", str(tmp_path))
    for source in (run.path, run.key, run):
        network = load_network(source)
        assert torch.equal(network.layers[2].weight, run.network.layers[2].weight)
        assert network.normalization == normalization("imagenet")
