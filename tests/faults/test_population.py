"""Twelve networks, and what can happen to a night of work: the same command completes, with the same bits."""

import multiprocessing
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from covalign import compare
from covalign.data.images import Images
from covalign.errors import InputError
from covalign.storage import atomic
from covalign.studies.comparison.measure import KNOWN
from covalign.training.many import train_population
from covalign.training.spec import TrainingSpec
from covalign.training.store import RunStore
from samples.laboratory import IMPORTABLE, laboratory

IMPORTS = "import faults.test_population as it; from covalign.training.spec import TrainingSpec"
OPTIONS = {"calibrate": False, "curves": False, "draws": 1}


@pytest.fixture(scope="module")
def specs(tmp_path_factory):
    pixels = np.random.default_rng(0).integers(256, size=(48, 3, 16, 16), dtype=np.uint8)
    path, labels = tmp_path_factory.mktemp("images") / "noise.npz", np.arange(48) % 2
    np.savez(path, train_images=pixels, train_labels=labels, test_images=pixels[:8], test_labels=labels[:8])
    one = TrainingSpec(
        images=str(path), architecture="vgg11", form="joint", width=0.02, resolution=32, epochs=2, batch_size=16,
        learning_rate=0.01, precision="float32", threads=1,
    )  # fmt: skip
    return [replace(one, seed=seed) for seed in range(12)]


@pytest.fixture(scope="module")
def undisturbed(specs, tmp_path_factory):
    return train_population(specs, RunStore(tmp_path_factory.mktemp("calm")), workers=1, progress=False)


def assert_same_runs(runs, expected):
    for run, other in zip(runs, expected, strict=True):
        assert run.key == other.key
        assert run.files.read("final.safetensors") == other.files.read("final.safetensors")


def pixels():
    generator = torch.Generator().manual_seed(1)
    found = torch.randint(256, (40, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return Images(found, torch.zeros(40, dtype=torch.int64), ("any",), "noise", "test")


class KillsOne:
    """Ends a process of this one's, as ``kill -9`` does, when a stage has gone so far."""

    def __init__(self, stage, share):
        self.stage, self.share, self.killed = stage, share, 0

    def __call__(self, stage, share, note=""):
        if stage == self.stage and share >= self.share and not self.killed:
            multiprocessing.active_children()[0].kill()
            self.killed += 1


@pytest.mark.slow
def test_training_survives_the_end_of_a_worker_of_the_command_and_of_the_disk(specs, undisturbed, tmp_path):
    store, killing = RunStore(tmp_path), KillsOne("trainings", 0.2)
    train_population(specs[:4], store, workers=2, progress=killing)
    assert killing.killed
    assert_same_runs(train_population(specs[:4], store, workers=1, progress=False), undisturbed[:4])

    script = f"{IMPORTS}; it.train_until_killed({specs[4:8]!r}, {str(tmp_path)!r})"
    ended = subprocess.run([sys.executable, "-c", script], env=IMPORTABLE, check=False)
    assert ended.returncode == -9

    with pytest.MonkeyPatch.context() as patch:
        full_after(patch, 9)
        with pytest.raises((InputError, OSError), match=r"[Nn]o space left"):
            train_population(specs, store, workers=1, progress=False)
    assert_same_runs(train_population(specs, store, workers=2, progress=False), undisturbed)
    assert all(entry.problem is None for entry in store.entries())


def train_until_killed(specs, folder):
    """Train in this process, and end it after two of the epochs."""
    told = []

    def until(stage, share, note=""):
        told.append(share)
        if len(told) > 3:
            os.kill(os.getpid(), 9)

    train_population(specs, RunStore(Path(folder)), workers=1, progress=until)


def full_after(patch, writes):
    """Let so many files be written; then the disk is full."""
    stage, written = atomic.stage, []

    def staged(*arguments):
        written.append(arguments)
        if len(written) > writes:
            raise OSError(28, "No space left on device", str(arguments[0]))
        return stage(*arguments)

    patch.setattr(atomic, "stage", staged)


@pytest.mark.slow
def test_comparison_survives_the_end_of_a_worker_and_of_the_scheduler(undisturbed, tmp_path):
    data, runs = pixels(), undisturbed[:6]
    expected = compare(runs, data, **OPTIONS).table

    killing = KillsOne("similarities", 0.1)
    found = compare(runs, data, workers=2, progress=killing, **OPTIONS).table
    assert killing.killed
    pd.testing.assert_frame_equal(found, expected, rtol=0, atol=0)

    pytest.importorskip("distributed")
    kept = tmp_path / "kept"
    address = str(tmp_path / "one.json")
    with laboratory(tmp_path / "one.json") as scheduler:

        def lost(stage, share, note=""):
            if stage == "similarities" and share > 0.2:
                scheduler.kill()

        with pytest.raises(InputError, match=r"the Dask scheduler was lost .* run the same command"):
            compare(runs, data, scheduler=address, cache=kept, progress=lost, **OPTIONS)
    told = {}
    address = str(tmp_path / "two.json")
    with laboratory(tmp_path / "two.json"):
        found = compare(
            runs, data, scheduler=address, cache=kept, progress=lambda *each: told.update({each[0]: each[1]}),
            **OPTIONS,
        ).table  # fmt: skip
    assert 0 < told[KNOWN] < 1
    pd.testing.assert_frame_equal(found, expected, rtol=0, atol=0)


@pytest.mark.slow
def test_two_commands_on_one_store_train_every_network_once(specs, undisturbed, tmp_path):
    script = f"{IMPORTS}; it.train_all({specs[:4]!r}, {str(tmp_path)!r})"
    both = [subprocess.Popen([sys.executable, "-c", script], env=IMPORTABLE) for _ in range(2)]
    assert [each.wait() for each in both] == [0, 0]
    store = RunStore(tmp_path)
    assert_same_runs(train_population(specs[:4], store, workers=1, progress=False), undisturbed[:4])
    assert len(list(store.entries())) == 4
    trained = [len((tmp_path / f"told {place}").read_text().splitlines()) for place in range(4)]
    assert trained == [2] * 4  # epochs: no network was trained by both


def train_all(specs, folder):
    """Train in this process, and note each epoch beside the store."""
    from covalign.training.loop import train

    for place, spec in enumerate(specs):

        def note(row, place=place):
            with (Path(folder) / f"told {place}").open("a") as lines:
                lines.write(f"{row.epoch}\n")

        train(spec, RunStore(Path(folder)), progress=False, on_epoch=note)
