"""`covalign universal` as a person uses it."""

import numpy as np
import pytest
from safetensors import safe_open

from cli.test_app import covalign
from covalign.networks.architectures.vgg import vgg
from covalign.studies.universal.measure import universal_encoding
from samples.pictures import corners
from samples.trainings import run_of


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """An encoding in a file."""
    path = tmp_path_factory.mktemp("encoding") / "own.safetensors"
    return universal_encoding([run_of(0)], corners(40, 3, "train")).save(path)


def test_show_prints_layers_members_and_card(capsys, trained):
    status, out, _ = covalign(capsys, "universal", "show", trained)
    assert status == 0
    assert "stages.7.pointwise" in out
    assert '"licence": "not stated"' in out


def test_show_takes_the_name_of_an_encoding_that_comes_along(capsys):
    status, out, _ = covalign(capsys, "universal", "show", "vgg11-natural")
    assert status == 0
    assert "tiny-imagenet-40a seed 14" in out
    assert "non-commercial research" in out


def test_init_writes_a_checkpoint_of_another_width_kernel_and_number_of_channels(capsys, trained, tmp_path):
    images = corners(40, 4, "train", 4)
    np.savez(tmp_path / "four.npz", images=images.pixels.movedim(1, -1).numpy(), labels=images.labels.numpy())
    out = tmp_path / "new.safetensors"
    options = (
        "--width",
        0.02,
        "--kernel-size",
        5,
        "--in-channels",
        4,
        "--classes",
        6,
        "--images",
        tmp_path / "four.npz",
    )
    status, said, err = covalign(capsys, "universal", "init", trained, *options, "--out", out)
    assert (status, str(out) in said.splitlines()) == (0, True), err
    with safe_open(out, "pt") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    vgg("vgg11", "factorized", 0.02, 5, classes=6, in_channels=4).load_state_dict(weights)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "none.safetensors"), "no such file"),
        (("show", "vgg12"), "or one of vgg11-natural"),
        (("init", "vgg12", "--out", "x.safetensors"), "or one of vgg11-natural"),
        (("build", "nowhere", "--out", "x.safetensors"), "nowhere"),
        (("build", "nowhere", "--licence", "mine", "--out", "x.safetensors"), "expected NAME=TERMS"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(capsys, arguments, said):
    status, _, err = covalign(capsys, "universal", *arguments)
    assert status == 2
    assert said in err
    assert len(err.splitlines()) == 1


def test_an_architecture_that_does_not_exist_is_refused(capsys, trained, tmp_path):
    status, _, err = covalign(
        capsys, "universal", "init", trained, "--architecture", "vgg99", "--out", tmp_path / "x"
    )
    assert (status, "module.path:factory" in err) == (2, True)
