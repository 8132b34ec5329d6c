import re
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from covalign.data.images import Images
from covalign.errors import InputError
from covalign.storage.folder import Folder
from covalign.training.loop import train
from covalign.training.run import Run
from covalign.training.shelf import checkpoint_name
from covalign.training.store import RunStore

KILLED = """
import os, re, signal, sys
from covalign.storage.folder import Folder
from covalign.training.loop import train
from covalign.training.presets import spec_from_toml
from covalign.training.store import RunStore
commit = Folder.commit
def commit_and_die(folder, *args, **options):
    commit(folder, *args, **options)
    if any(re.match("checkpoint-0001-(?!000000)", name) for name in folder.files()):
        os.kill(os.getpid(), signal.SIGKILL)
Folder.commit = commit_and_die
train(spec_from_toml(sys.argv[1]), RunStore(sys.argv[2]), progress=False, checkpoint_seconds=0.0)
"""


def final_bytes(run: Run) -> bytes:
    return run.files.read("final.safetensors")


def killed_in_mid_epoch(toml: str, root) -> Folder:
    """Train in another process that dies at a checkpoint inside its second epoch."""
    done = subprocess.run([sys.executable, "-c", KILLED, toml, str(root)])
    assert done.returncode == -signal.SIGKILL
    (manifest,) = root.glob("*/manifest.json")
    return Folder(manifest.parent)


def inside_second_epoch(folder: Folder) -> bool:
    name = checkpoint_name(folder) or ""
    return name.startswith("checkpoint-0001-") and name != "checkpoint-0001-000000.safetensors"


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_killed_training_ends_bit_identical_to_an_uninterrupted_one(tiny, archive, tmp_path, precision):
    spec = tiny(images=archive, batch_size=2, precision=precision)
    toml = tmp_path / "spec.toml"
    toml.write_text(spec.to_toml(), encoding="utf-8")
    root = tmp_path / "killed"
    folder = killed_in_mid_epoch(str(toml), root)
    assert "final.safetensors" not in folder.files()
    assert inside_second_epoch(folder)
    resumed = train(spec, RunStore(root), progress=False)
    uninterrupted = train(spec, RunStore(tmp_path / "whole"), progress=False)
    assert final_bytes(resumed) == final_bytes(uninterrupted)
    unseconded = [[replace(row, seconds=0.0) for row in run.history] for run in (resumed, uninterrupted)]
    assert unseconded[0] == unseconded[1]


@pytest.mark.slow
def test_training_learns(tiny, images):
    run = train(tiny(epochs=12, learning_rate=0.1, width=0.05, flip=False), images=images, progress=False)
    assert run.history[-1].test_accuracy > 0.9
    assert run.history[-1].train_loss < run.history[0].train_loss / 2


@pytest.mark.slow
def test_memory_and_folder_end_with_the_same_weights(stored, images):
    _, run = stored
    assert final_bytes(train(run.spec, images=images, progress=False)) == final_bytes(run)


def test_seeds_differ_from_the_first_weight_on(tiny, images):
    runs = [train(tiny(epochs=0, seed=seed), images=images, progress=False) for seed in (0, 1)]
    assert not torch.equal(runs[0].initial["head.weight"], runs[1].initial["head.weight"])
    assert runs[0].complete
    assert final_bytes(runs[0]) == final_bytes(train(tiny(epochs=0), images=images, progress=False))


def test_a_finished_training_is_returned_and_not_repeated(stored, images):
    store, run = stored
    written = [path.stat().st_mtime_ns for path in sorted(run.path.iterdir())]
    again = train(run.spec, store, images=images, progress=False)
    assert again.history == run.history
    assert [path.stat().st_mtime_ns for path in sorted(run.path.iterdir())] == written


def test_torch_is_left_as_it_was(tiny, images):
    torch.manual_seed(5)
    before = torch.get_rng_state(), torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    train(tiny(epochs=0, threads=2), images=images, progress=False)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before[1:]


def test_the_frozen_filters_stay_and_the_pointwise_weights_move(stored):
    _, run = stored
    initial, final = run.initial, run.final
    for name, weight in initial.items():
        if "depthwise" in name:
            assert torch.equal(weight, final[name])
        if "pointwise" in name or "head" in name:
            assert not torch.equal(weight, final[name])


def test_divergence_is_said_and_the_last_checkpoint_stays(tiny, images, tmp_path):
    spec = tiny(norm=False, learning_rate=1e6, epochs=5, schedule="constant")
    store = RunStore(tmp_path)
    with pytest.raises(
        InputError, match=r"diverged: loss (nan|inf) at epoch .* lower learning_rate = 1000000"
    ):
        train(spec, store, images=images, progress=False, checkpoint_seconds=0.0)
    (entry,) = store.entries()
    assert checkpoint_name(Folder(entry.path)) is not None
    assert not entry.run.complete


def test_random_labels_are_drawn_for_training_images_only(tiny, images):
    train_images, test_images = images
    run = train(tiny(labels="permuted", label_realization=2, epochs=0), images=images, progress=False)
    assert run.details["images"]["train"]["fingerprint"] != train_images.fingerprint
    assert run.details["images"]["test"]["fingerprint"] == test_images.fingerprint
    assert run.name == "squares, permuted labels 2 seed 0"


def test_epochs_are_told(tiny, images):
    rows = []
    run = train(tiny(), images=images, progress=False, on_epoch=rows.append)
    assert tuple(rows) == run.history
    assert [row.epoch for row in rows] == [1, 2]


def test_few_training_images_do_not_pass_a_large_test_set_every_epoch(tiny, images):
    train_images, test_images = images
    few = train_images.take(torch.arange(16))
    run = train(tiny(epochs=5), images=(few, test_images), progress=False)
    assert [row.test_accuracy is not None for row in run.history] == [False, False, True, False, True]
    assert all((row.test_loss is None) == (row.test_accuracy is None) for row in run.history)


def test_progress_is_one_line_an_epoch_where_there_is_no_terminal(tiny, images, capsys):
    train(tiny(), images=images)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert re.fullmatch(
        r"squares seed 0: epoch 1/2, loss \S+, train \S+%, test \S+%, \S+ s(, about \d+ s left)?", lines[0]
    )


@pytest.mark.slow
def test_drop_last_leaves_the_smaller_batch_out(tiny, images):
    train_images, test_images = images
    whole = train(tiny(drop_last=True), images=images, progress=False)
    odd = (train_images.take(torch.arange(90)), test_images)
    assert final_bytes(train(tiny(), images=odd, progress=False)) != final_bytes(
        train(tiny(drop_last=True), images=odd, progress=False)
    )
    assert final_bytes(whole) == final_bytes(train(tiny(), images=images, progress=False))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"in_channels": 1}, "in_channels = 1, but the images have 3"),
        (
            {"drop_last": True, "batch_size": 200},
            "drop_last with batch_size = 200 leaves no batch of 96 images",
        ),
        ({"device": "cuda:9"}, "device = 'cuda:9' is not available"),
        ({"device": "toaster"}, "device = 'toaster' is not available"),
        ({"filters": "none.safetensors"}, "filter bank none.safetensors: cannot be read"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(tiny, images, changes, message):
    with pytest.raises(InputError, match=message):
        train(tiny(**changes), images=images, progress=False)


def test_images_that_are_too_small_or_of_other_classes_are_refused(tiny, images):
    train_images, test_images = images
    small = replace(train_images, pixels=train_images.pixels[:, :, ::2, ::2].contiguous())
    with pytest.raises(InputError, match="got images of 16x16, expected at least 32x32"):
        train(tiny(), images=(small, test_images), progress=False)
    renamed = replace(test_images, classes=("a", "b", "c", "e"))
    with pytest.raises(InputError, match="training and test images differ in their classes"):
        train(tiny(), images=(train_images, renamed), progress=False)


def test_a_source_without_splits_is_tested_on_images_that_it_is_not_trained_on(tiny, images, tmp_path):
    whole = images[0]
    np.savez(tmp_path / "whole.npz", images=whole.pixels.numpy(), labels=whole.labels.numpy())
    run = train(tiny(images=str(tmp_path / "whole.npz"), epochs=1), progress=False)
    assert [run.details["images"][split]["count"] for split in ("train", "test")] == [86, 10]
    few = train(tiny(images=str(tmp_path / "whole.npz"), epochs=1, max_images=20), progress=False)
    assert [few.details["images"][split]["count"] for split in ("train", "test")] == [20, 10]
    assert few.details["images"]["test"] == run.details["images"]["test"]
    np.savez(tmp_path / "one.npz", images=whole.pixels[:1].numpy(), labels=whole.labels[:1].numpy() * 0)
    with pytest.raises(InputError, match=r"no test split and only 1 image.* give a source with a test split"):
        train(tiny(images=str(tmp_path / "one.npz"), epochs=1), progress=False)


@pytest.mark.parametrize(
    ("stride", "kernel_size", "smallest"), [(1, 3, 32), (2, 3, 65), (3, 3, 96), (3, 5, 98)]
)
def test_images_that_are_too_small_for_the_network_are_refused(tiny, stride, kernel_size, smallest):
    spec = tiny(form="joint", width=0.02, first_stride=stride, kernel_size=kernel_size, epochs=1)

    def noise(side):
        pixels = torch.randint(255, (16, 3, side, side), dtype=torch.uint8)
        return tuple(
            Images(pixels, torch.arange(16) % 2, ("a", "b"), "noise", name) for name in ("train", "test")
        )

    assert train(spec, images=noise(smallest), progress=False).complete
    with pytest.raises(InputError, match=f"got images of .* expected at least {smallest}x{smallest}"):
        train(spec, images=noise(smallest - 1), progress=False)
