from dataclasses import replace

import pytest

from covalign.training.loop import train
from covalign.training.plan import State, plan
from covalign.training.population import population_of
from covalign.training.store import RunStore

RECIPE = {
    "preset": "demo",
    "width": 0.04,
    "epochs": 2,
    "max_images": 40,
    "batch_size": 20,
    "precision": "float32",
}


@pytest.fixture(scope="module")
def population():
    return population_of(
        {"seeds": 3, "recipe": RECIPE, "grid": {"images": ["photos:a"], "labels": ["true", "uniform"]}}
    )


@pytest.fixture(scope="module")
def store(population, tmp_path_factory):
    """The first network finished, the second stopped after an epoch."""
    found = RunStore(tmp_path_factory.mktemp("runs"))
    train(population.specs[0], found, progress=False)

    class Stopped(Exception):
        pass

    def stop(row):
        raise Stopped

    with pytest.raises(Stopped):
        train(population.specs[1], found, progress=False, on_epoch=stop)
    return found


def test_it_knows_what_is_finished_begun_and_missing(population, store):
    found = plan(population.trained, store)
    states = [each.state for each in found.networks]
    assert states == [State.FINISHED, State.BEGUN, *[State.MISSING] * 4]
    assert [found.count(state) for state in State] == [1, 1, 4]
    assert [each.network.name for each in found.missing] == [each.name for each in population.trained[1:]]


def test_time_is_that_of_stored_trainings_and_only_what_is_left_counts(population, store):
    found = plan(population.trained, store)
    finished, begun, missing, *_ = found.networks
    assert finished.cost.seconds == 0
    assert all(each.measured for each in found.networks)
    assert missing.cost.seconds == pytest.approx(2 * begun.cost.seconds)
    seconds = sorted(epoch.seconds for each in (finished, begun) for epoch in each.run.history)
    assert missing.cost.seconds == pytest.approx(2 * seconds[1])  # the median of three epochs
    assert found.cost.seconds == pytest.approx(sum(each.cost.seconds for each in found.missing))


def test_without_stored_trainings_a_step_is_timed(population, tmp_path):
    found = plan(population.trained[:1], RunStore(tmp_path / "none"))
    (only,) = found.networks
    assert not only.measured
    assert only.cost.seconds > 0
    assert only.cost.memory > only.cost.disk > 0


def test_times_of_another_network_are_not_taken(population, store):
    wider = [replace(each, spec=replace(each.spec, width=0.08)) for each in population.trained[:1]]
    assert not plan(wider, store).networks[0].measured


def test_nothing_is_trained_by_planning(population, tmp_path):
    plan(population.trained, RunStore(tmp_path / "none"))
    assert not (tmp_path / "none").exists()
