from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covalign.errors import InputError
from covalign.training.presets import PRESETS, preset, spec_from_toml
from covalign.training.schedule import learning_rate
from covalign.training.spec import TrainingSpec


def test_the_encodings_preset_is_the_published_recipe():
    spec = preset("encodings")
    assert (spec.form, spec.width, spec.epochs, spec.momentum, spec.weight_decay) == (
        "factorized", 1.0, 90, 0.9, 0.0,
    )  # fmt: skip
    rates = [learning_rate(spec, epoch * 196, 196) for epoch in (0, 29, 30, 60, 89)]
    assert rates == pytest.approx([5e-3, 5e-3, 5e-4, 5e-5, 5e-5])
    assert (spec.flip, spec.crop_padding, spec.normalization, spec.batch_size) == (True, 4, "imagenet", 256)


def test_random_labels_train_four_times_as_long():
    usual, random = preset("encodings"), preset("encodings-random")
    assert (random.epochs, random.decay_every) == (4 * usual.epochs, 4 * usual.decay_every)
    assert random.labels == "uniform"


def test_the_first_layer_preset_is_plain_gradient_descent_on_permuted_labels():
    spec = preset("first-layer")
    assert (spec.form, spec.labels, spec.drop_last, spec.normalization) == (
        "joint",
        "permuted",
        True,
        "cifar",
    )
    assert (spec.momentum, spec.weight_decay, spec.flip, spec.crop_padding) == (0.0, 0.0, False, 0)
    assert {learning_rate(spec, step, 10) for step in range(1000)} == {0.01}


def test_one_cycle_rises_to_the_peak_and_falls_to_zero():
    spec = TrainingSpec(schedule="one-cycle", epochs=10, learning_rate=0.3, warmup=0.25)
    rates = [learning_rate(spec, step, 20) for step in range(200)]
    assert max(rates) == 0.3
    assert rates.index(0.3) == 49
    assert rates[:50] == sorted(rates[:50])
    assert rates[49:] == sorted(rates[49:], reverse=True)
    assert rates[-1] == pytest.approx(0.3 / 150)


@given(
    warmup=st.floats(0, 1),
    epochs=st.integers(1, 20),
    steps=st.integers(1, 50),
    schedule=st.sampled_from(["constant", "step", "one-cycle"]),
)
def test_the_rate_is_positive_and_at_most_the_peak(warmup, epochs, steps, schedule):
    spec = TrainingSpec(schedule=schedule, epochs=epochs, warmup=warmup, learning_rate=0.1)
    for step in range(epochs * steps):
        assert 0 < learning_rate(spec, step, steps) <= 0.1


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_survives_toml(name, tmp_path):
    spec = replace(preset(name), images='a "b" \\ é', classes=("x", "y"), checkpoint_epochs=(0, 1))
    path = tmp_path / "spec.toml"
    path.write_text(spec.to_toml(), encoding="utf-8")
    assert spec_from_toml(path) == spec


def test_toml_changes_a_preset(tmp_path):
    path = tmp_path / "spec.toml"
    path.write_text('preset = "laptop"\nseed = 3\nwidth = 1\nclasses = 5\n')
    spec = spec_from_toml(path)
    assert spec == replace(preset("laptop"), seed=3, width=1.0, classes=5)
    assert type(spec.width) is float


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rte = 0.1", r"unknown key 'learning_rte'; expected preset or one of images, "),
        ('epochs = "ten"', r"epochs = 'ten' \(str\), expected int"),
        ("flip = 1", r"flip = 1 \(int\), expected bool"),
        ("seed = true", r"seed = True \(bool\), expected int"),
        ('form = "dense"', r"form = 'dense' \(str\), expected one of 'joint', 'factorized'"),
        (
            'classes = ["a", 3]',
            r"classes = \('a', 3\) \(tuple\), expected a list of str or a list of int or int or nothing",
        ),
        ("batch_size = 0", r"batch_size = 0, expected 1 to 9007199254740992"),
        ("learning_rate = nan", r"learning_rate = nan, expected 0 to"),
        ("width = 0.0", r"width = 0.0, expected a positive multiplier"),
        ("checkpoint_epochs = [91]", r"checkpoint_epochs has 91, expected 0 to 90"),
        ('preset = "huge"', r"preset: got 'huge', expected one of encodings, "),
        ('normalization = "mine"', r"normalization: got 'mine', expected one of imagenet"),
        ("seed 3", r"cannot be read as TOML .* expected key = value lines"),
    ],
)
def test_a_wrong_file_is_named_with_key_value_and_expectation(tmp_path, text, message):
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"wrong\.toml: .*{message}"):
        spec_from_toml(path)


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match=r"none\.toml: cannot be read \(No such file"):
        spec_from_toml(tmp_path / "none.toml")


def test_every_number_has_a_range():
    numbers = {f.name for f in fields(TrainingSpec) if f.type in (int, float)} - {
        "width",
        "kernel_size",
        "in_channels",
    }
    for name in numbers:
        with pytest.raises(InputError, match=rf"{name} = -1"):
            TrainingSpec.of({name: -1})


def test_a_residual_network_has_one_form_only():
    with pytest.raises(
        InputError, match=r"form = 'factorized', expected 'joint': resnet20 exists as published"
    ):
        TrainingSpec(architecture="resnet20")
    with pytest.raises(InputError, match=r"width = 0\.5, expected 1\.0"):
        TrainingSpec(architecture="resnet20", form="joint", width=0.5)
