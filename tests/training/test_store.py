import io
import json
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest
import torch

from covalign.errors import InputError
from covalign.networks.filters import FilterBank, analytic_filters
from covalign.training.loop import train
from covalign.training.machine import resolve
from covalign.training.run import unpacked
from covalign.training.store import RunStore, identity, load_run, recipe_versions


@pytest.fixture
def copied(stored, tmp_path):
    """A copy of the finished run that a test may damage."""
    store, run = stored
    shutil.copytree(store.root, tmp_path / "copy")
    return RunStore(tmp_path / "copy"), run.key


LATER = ("frozen", "first_stride")


def key(spec, images) -> str:
    return identity(resolve(spec), *images)["key"]


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"threads": 2}, {"precision": "bfloat16"}, {"epochs": 1}, {"kernel_size": 5}]
)
def test_the_key_changes_with_everything_that_decides_the_weights(tiny, images, change):
    assert key(tiny(**change), images) != key(tiny(), images)


@pytest.mark.parametrize(
    ("change", "versions"),
    [
        ({"form": "joint"}, (1,)),
        ({"form": "joint", "kernel_size": 5}, (2,)),
        ({"form": "joint", "kernel_size": 7}, (2,)),
        ({"form": "factorized"}, (5, 4, 3, 1)),
        ({"form": "factorized", "kernel_size": 7}, (5, 4, 3, 1)),
        ({"form": "factorized", "precision": "bfloat16"}, (5, 4, 1)),
        ({"form": "factorized", "device": "cuda"}, (1,)),
        ({"architecture": "resnet20", "form": "joint", "width": 1.0}, (1,)),
    ],
)
def test_a_spec_has_a_version_of_the_recipe_and_earlier_ones_whose_runs_stand(tiny, change, versions):
    assert recipe_versions(tiny(**change), 32) == versions


@pytest.mark.slow
def test_a_finished_run_of_an_earlier_recipe_that_stands_is_found_and_not_trained_again(
    tiny, images, tmp_path
):
    spec, store = resolve(tiny(epochs=0)), RunStore(tmp_path)
    assert store.standing(spec, *images) is None
    earlier = identity(spec, *images, version=1)
    run = train(spec, images=images, progress=False)
    files = {name: run.files.read(name) for name in run.files.files()}
    files["spec.json"] = json.dumps(earlier).encode()
    store.folder(earlier["key"]).commit(files)
    assert train(spec, store, images=images, progress=False).key == earlier["key"]
    assert len(store.paths()) == 1
    other = replace(spec, precision="bfloat16")
    assert store.standing(other, *images) is None


def test_fields_that_came_later_leave_the_keys_of_stored_runs_as_they_were(tiny, images, monkeypatch):
    before = key(tiny(form="joint"), images)
    assert key(tiny(form="joint", frozen=1), images) != before
    assert key(tiny(form="joint", first_stride=3, width=0.125), images) != before
    # What a version without these fields had: the same spec, and nothing of them in the key.
    fields = {name: value for name, value in asdict(resolve(tiny(form="joint"))).items() if name not in LATER}
    monkeypatch.setattr("covalign.training.store.asdict", lambda spec: fields)
    assert key(tiny(form="joint"), images) == before


def test_the_key_changes_with_images_and_labels(tiny, images):
    train_images, test_images = images
    relabelled = replace(train_images, labels=train_images.labels.flip(0))
    assert key(tiny(), (relabelled, test_images)) != key(tiny(), images)
    assert key(tiny(), (train_images, test_images.take(torch.arange(20)))) != key(tiny(), images)


def test_the_key_does_not_depend_on_where_things_lie(tiny, images, tmp_path):
    assert key(tiny(images="elsewhere"), images) == key(tiny(), images)
    bank = analytic_filters()
    path = str(bank.save(tmp_path / "bank.safetensors"))
    assert key(tiny(filters=path), images) == key(tiny(), images)
    FilterBank.of(bank.filters.flip(0), {}).save(path)
    assert key(tiny(filters=path), images) != key(tiny(), images)


def test_automatic_precision_is_resolved_before_the_key_is_made(tiny, images):
    assert resolve(tiny(precision="auto")).precision in ("float32", "bfloat16")
    chosen = resolve(tiny(precision="auto")).precision
    assert key(tiny(precision="auto"), images) == key(tiny(precision=chosen), images)


def test_a_run_is_found_by_folder_key_and_prefix(stored):
    store, run = stored
    for name in (run.path, str(run.path), run.key, run.key[:6]):
        assert load_run(name, store).history == run.history


def test_the_default_store_is_named_by_the_environment(stored, monkeypatch):
    store, run = stored
    monkeypatch.setenv("COVALIGN_STORE", str(store.root))
    assert load_run(run.key[:8]).key == run.key


def test_a_key_that_names_no_run_or_several_is_refused(stored):
    store, _ = stored
    with pytest.raises(InputError, match=r"run 'ffffffff': matches none in .*expected exactly one"):
        load_run("ffffffff", store)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no run"):
        load_run(tmp_path)


def test_a_truncated_weight_file_is_named_with_the_remedy(copied):
    store, prefix = copied
    run = store.load(prefix)
    path = run.path / "final.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match=r"final\.safetensors: damaged .* run the command again"):
        store.load(prefix).network  # noqa: B018


def test_a_spec_of_a_later_version_is_refused(copied):
    store, prefix = copied
    run = store.load(prefix)
    details = {**run.details, "spec": {**run.details["spec"], "novelty": 1}}
    run.files.commit({"spec.json": json.dumps(details).encode()})
    with pytest.raises(InputError, match="unknown key 'novelty'"):
        store.load(prefix)
    run.files.commit({"spec.json": b"{}"})
    with pytest.raises(InputError, match="not a run that this version can read"):
        store.load(prefix)


def test_a_damaged_run_is_listed_beside_the_others(copied, tiny, images):
    store, prefix = copied
    other = train(tiny(epochs=0), store, images=images, progress=False)
    (store.load(prefix).path / "spec.json").write_text("{")
    problems = {entry.path.name: entry.problem for entry in store.entries()}
    assert problems[other.path.name] is None
    assert "spec.json: damaged" in problems[prefix[:16]]
    assert [run.key for run in store.runs()] == [other.key]


def test_nothing_is_deleted_but_what_is_asked_for(copied, tiny, images):
    store, prefix = copied
    other = train(tiny(epochs=0), store, images=images, progress=False)
    half_written = other.path / ".final.safetensors.77.tmp"
    half_written.write_bytes(b"half")
    assert store.leftovers() == [half_written]
    with pytest.raises(InputError, match="expected at least 8 digits"):
        store.remove(prefix[:7])
    with store.lock(prefix), pytest.raises(InputError, match="is being trained; stop that process first"):
        store.remove(prefix)
    (store.load(prefix).path / "spec.json").write_text("{")
    store.remove(prefix[:8])
    assert [run.key for run in store.runs()] == [other.key]


def test_an_empty_store_has_no_runs(tmp_path):
    store = RunStore(tmp_path / "none")
    assert (store.entries(), store.runs(), store.leftovers()) == ([], [], [])


HOLD = """
import sys
from filelock import FileLock
lock = FileLock(sys.argv[1]).acquire()
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path):
    """A store, a key of it, and another process that holds its lock until it is told to end."""
    store, key = RunStore(tmp_path), "ab" * 32
    with store.lock(key):
        pass
    command = [sys.executable, "-c", HOLD, str(store.folder(key).path / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield store, key, process
        process.kill()


def test_a_key_is_trained_by_one_process_at_a_time(holder, monkeypatch):
    store, key, process = holder
    heard = io.StringIO()

    def hear(text):
        heard.write(text)
        if "waiting" in text:
            process.communicate("end\n")

    monkeypatch.setattr(sys, "stderr", SimpleNamespace(write=hear, flush=heard.flush, isatty=heard.isatty))
    with store.lock(key):
        assert "abababababababab is being trained by another process; waiting" in heard.getvalue()


def test_a_dead_process_frees_its_key(holder, capsys):
    store, key, process = holder
    process.kill()
    process.wait()
    with store.lock(key):
        assert "waiting" not in capsys.readouterr().err


def test_weights_are_stored_without_pickle(stored):
    _, run = stored
    assert {path.suffix for path in run.path.rglob("*") if path.is_file()} == {".json", ".safetensors", ""}
    tensors, _ = unpacked(run.files, "final.safetensors")
    assert all(tensor.isfinite().all() for tensor in tensors.values())


def test_a_folder_in_training_is_passed_over_by_gc(copied):
    store, prefix = copied
    folder = store.find(prefix)
    (folder / "checkpoint-being-written").write_bytes(b"half")
    with store.lock(prefix):
        assert store.leftovers(delete=True) == []
    assert store.leftovers(delete=True) == [folder / "checkpoint-being-written"]
    assert store.leftovers() == []


def test_a_forbidden_folder_is_told_from_a_damaged_one_and_breaks_no_other(copied, monkeypatch):
    store, prefix = copied
    other = store.root / "0123456789abcdef"
    shutil.copytree(store.find(prefix), other)
    read = type(other).read_text

    def forbidden(path, *arguments, **options):
        if path.parent == other:
            raise PermissionError(13, "Permission denied", str(path))
        return read(path, *arguments, **options)

    monkeypatch.setattr(type(other), "read_text", forbidden)
    entries = {entry.path.name: entry for entry in store.entries()}
    assert "permission denied), and may be whole" in entries[other.name].problem
    assert "damaged" not in entries[other.name].problem
    assert store.load(prefix).complete


def test_a_run_killed_before_its_first_commit_is_not_unreadable(tmp_path):
    store = RunStore(tmp_path)
    with store.lock("0123456789abcdef" * 4):
        pass
    (entry,) = store.entries()
    assert (entry.run, entry.problem) == (None, None)
    assert store.runs() == []
