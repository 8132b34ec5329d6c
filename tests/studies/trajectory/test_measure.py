import dataclasses
import math

import pytest
import torch

from covalign.errors import InputError
from covalign.studies.comparison.measure import compare
from covalign.studies.trajectory.measure import energy_moved, relative_change, trajectory
from samples.networks import module, read

LAYERS = ["stages.1.convolution", "stages.3.convolution"]


@pytest.fixture(scope="module")
def short(trained):
    run, images, _ = trained
    return trajectory(run, images, layers=LAYERS, draws=2).table


def test_a_row_per_kept_epoch_and_layer(short):
    assert [tuple(row) for row in short[["epoch", "layer"]].to_numpy()] == [
        (epoch, layer) for epoch in (0, 3, 8) for layer in LAYERS
    ]
    assert set(short["reference"]) == {"final"}


def test_training_starts_from_noise_and_moves_away(short):
    before, early, last = (short[short["epoch"] == epoch] for epoch in (0, 3, 8))
    assert (before["kept"] <= 1).all()
    assert (before["relative_change"] == 0).all()
    assert (before["energy_moved"].abs() < 1e-6).all()
    assert before["similarity"].isna().all()
    assert before["reason"].str.contains("nothing learned").all()
    assert (last["kept"].to_numpy() >= early["kept"].to_numpy()).all()
    assert (last["relative_change"].to_numpy() > early["relative_change"].to_numpy()).all()


def test_the_end_meets_itself(short):
    last = short[short["epoch"] == 8]
    assert last["cosine"].to_numpy() == pytest.approx(1, abs=1e-6)


def test_rows_are_those_of_a_comparison(trained, short):
    run, images, _ = trained
    pair = {"checkpoint": run.at_epoch(3), "reference": run.network}
    result = compare(pair, images, LAYERS, draws=2, controls=False, calibrate=False)
    ours = short[short["epoch"] == 3].reset_index(drop=True)
    for column in ("cosine", "chance", "ceiling", "similarity", "similarity_reversed"):
        assert ours[column].equals(result.table[column])
    own = result.layers[result.layers["network"] == "checkpoint"].reset_index(drop=True)
    for column in ("kept", "effective_rank", "bulk_ok", "stable_rank"):
        assert ours[column].equals(own[column])


@pytest.mark.slow
def test_another_network_is_a_reference_of_its_own(trained):
    run, images, _ = trained
    other = dataclasses.replace(run.at_epoch(3), name="other")
    table = trajectory(run, images, other=other, epochs=[0, 8], layers=LAYERS, draws=2).table
    assert list(table["reference"].drop_duplicates()) == ["final", "other"]
    ours = table[(table["epoch"] == 8) & (table["reference"] == "other")]
    assert (ours["cosine"] < 1 - 1e-6).all()


def test_energy_moved_ignores_a_rescaling_and_sees_everything_else():
    layer = read(module("joint")).layers[1]
    start = torch.randn_like(layer.weight)
    orthogonal = torch.randn_like(start)
    orthogonal -= start * (start * orthogonal).sum() / start.square().sum()
    scaled = dataclasses.replace(layer, weight=3 * start, initial=start)
    turned = dataclasses.replace(layer, weight=orthogonal, initial=start)
    assert energy_moved(scaled) == pytest.approx(0, abs=1e-6)
    assert relative_change(scaled) == pytest.approx(2)
    assert energy_moved(turned) == pytest.approx(1, abs=1e-6)
    both = dataclasses.replace(
        layer, weight=start + orthogonal * start.norm() / orthogonal.norm(), initial=start
    )
    assert energy_moved(both) == pytest.approx(0.5)
    assert relative_change(both) == pytest.approx(1)
    assert math.isnan(energy_moved(layer))
    assert math.isnan(relative_change(layer))
    zero = dataclasses.replace(layer, weight=start, initial=torch.zeros_like(start))
    assert math.isnan(energy_moved(zero))


def test_epochs_that_were_not_kept_are_named(trained):
    run, images, _ = trained
    with pytest.raises(InputError, match="weights of epoch 2 were not kept"):
        trajectory(run, images, epochs=[2])
    with pytest.raises(InputError, match="trajectory: got no epochs"):
        trajectory(run, images, epochs=[])
