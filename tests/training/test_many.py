import re
import socket
from contextlib import ExitStack, suppress

import pytest

from covalign.errors import InputError
from covalign.training import many
from covalign.training.inputs import training_images
from covalign.training.loop import train
from covalign.training.machine import resolve
from covalign.training.many import train_population
from covalign.training.store import RunStore, identity


@pytest.mark.slow
def test_side_by_side_gives_the_same_weights_in_the_same_order(tiny, archive, tmp_path, capsys):
    specs = [tiny(images=archive, seed=seed) for seed in (2, 0)]
    runs = train_population(specs, RunStore(tmp_path), workers=2)
    assert [run.spec.seed for run in runs] == [2, 0]
    alone = train(specs[1], progress=False)
    assert runs[1].files.read("final.safetensors") == alone.files.read("final.safetensors")
    assert re.search(r"trainings: 2/2, \S+ seed \d", capsys.readouterr().err)


@pytest.mark.slow
def test_another_cluster_on_this_machine_does_not_stand_in_the_way(tiny, archive, tmp_path):
    with socket.socket() as taken:
        with suppress(OSError):  # then it is taken already
            taken.bind(("0.0.0.0", 8787))
            taken.listen()
        specs = [tiny(images=archive, epochs=0, seed=seed) for seed in (0, 1)]
        runs = train_population(specs, RunStore(tmp_path), workers=2, progress=False)
    assert all(run.complete for run in runs)


@pytest.mark.slow
def test_one_failure_does_not_lose_the_others(tiny, archive, tmp_path):
    store = RunStore(tmp_path)
    specs = [tiny(images=archive), tiny(images=str(tmp_path / "none.npz")), tiny(images=archive, seed=1)]
    with pytest.raises(
        InputError,
        match=r"1 of 3 trainings failed, the others are kept: training 2 \(.*none.npz, seed 0\): .*none",
    ):
        train_population(specs, store, workers=1, progress=False)
    assert sorted(run.spec.seed for run in store.runs()) == [0, 1]


@pytest.mark.slow
def test_what_another_process_trains_is_left_to_it_until_the_end(tiny, archive, tmp_path, monkeypatch):
    monkeypatch.setattr(many, "PATIENCE", 0.01)
    store, specs = RunStore(tmp_path), [tiny(images=archive, epochs=0, seed=seed) for seed in (0, 1)]
    key = identity(resolve(specs[0]), *training_images(specs[0]))["key"]
    notes = []
    with ExitStack() as elsewhere:
        elsewhere.enter_context(store.lock(key))

        def told(stage, share, note=""):
            notes.append(note)
            if note.startswith("1/2"):
                elsewhere.close()

        runs = train_population(specs, store, workers=1, progress=told)
    assert [run.spec.seed for run in runs] == [0, 1]
    assert next(note for note in notes if note.startswith("1/2")).count("seed 1") == 1
    assert next(note for note in notes if note.startswith("2/2")).count("seed 0") == 1


def test_no_specs_give_no_runs(tmp_path):
    assert train_population([], RunStore(tmp_path)) == []


def test_a_scheduler_that_is_not_there_is_named(tiny, tmp_path):
    with pytest.raises(InputError, match=r"scheduler 'nowhere://x': cannot be reached .* tcp://host:8786"):
        train_population([tiny()], RunStore(tmp_path), scheduler="nowhere://x", progress=False)
