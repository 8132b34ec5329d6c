"""The command line as a person uses it: what it prints, what it leaves behind, and how it refuses."""

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from covalign.cli import contents
from covalign.cli.app import main
from covalign.cli.contents import COMMANDS, RUNS, UNIVERSAL
from covalign.studies.comparison.record import load_comparison

PAPERS = Path(__file__).parents[2] / "docs" / "results" / "papers"

SPEC = """
width = 0.02
form = "joint"
epochs = 1
batch_size = 16
learning_rate = 0.02
schedule = "one-cycle"
precision = "float32"
"""


def squares(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a bright square whose corner tells the class; channels last, as archives have them."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(4, size=count)
    pixels = rng.integers(120, size=(count, 32, 32, 3), dtype=np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        top, left = 16 * (label // 2), 16 * (label % 2)
        image[top : top + 14, left : left + 14, label % 3] += 130
    return pixels, labels


def covalign(capsys, *arguments: object) -> tuple[int, str, str]:
    """Run the command line in this process; return exit status, standard output and standard error."""
    before, sys.argv = sys.argv, ["covalign", *map(str, arguments)]
    try:
        main()
        status = 0
    except SystemExit as stop:
        status = int(stop.code or 0)
    finally:
        sys.argv = before
    return status, *capsys.readouterr()


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with images, a spec, and a store."""
    folder = tmp_path_factory.mktemp("place")
    arrays = {}
    for split, count, seed in (("train", 48, 0), ("test", 24, 1)):
        arrays[f"{split}_images"], arrays[f"{split}_labels"] = squares(count, seed)
    np.savez(folder / "squares.npz", **arrays)
    (folder / "spec.toml").write_text(f'images = "{(folder / "squares.npz").as_posix()}"\n{SPEC}')
    return folder


@pytest.fixture
def command(capsys, place):
    """The command line with the store of `place`."""

    def call(*arguments: object) -> tuple[int, str, str]:
        return covalign(capsys, *arguments, "--store", place / "runs")

    return call


@pytest.fixture
def keys(command, place) -> list[str]:
    """Two trained networks; the second time they are found finished."""
    found = []
    for seed in (0, 1):
        status, out, err = command("train", place / "spec.toml", "--seed", seed)
        assert status == 0, err
        found.append(Path(out.splitlines()[0]).name)
    return found


@pytest.fixture
def weights(keys, place) -> Path:
    return place / "runs" / keys[0] / "final.safetensors"


def refused(result: tuple[int, str, str], *said: str) -> None:
    """One line on standard error that says all of ``said``, and status 2."""
    status, out, err = result
    assert status == 2, err
    assert err.startswith("covalign: ")
    assert err.count("\n") == 1, err
    assert "Traceback" not in out + err
    for text in said:
        assert text in err


def test_training_prints_where_it_is_and_what_to_do_next(command, keys, place):
    status, out, _ = command("train", place / "spec.toml")
    path, accuracy, following = out.splitlines()
    assert status == 0
    assert Path(path) == place / "runs" / keys[0]
    assert accuracy.startswith("train ")
    assert following.startswith(f"next: covalign compare {keys[0][:12]}")


def test_runs_are_listed_shown_and_swept(command, keys, place):
    listed = command("runs", "list")[1]
    assert all(key[:8] in listed for key in keys)
    shown = json.loads(command("runs", "show", keys[1][:8])[1])
    assert shown["spec"]["seed"] == 1
    assert len(shown["history"]) == 1
    leftover = place / "runs" / keys[1] / "left.tmp"
    leftover.write_bytes(b"")
    assert "1 leftover file found" in command("runs", "gc")[1]
    assert leftover.exists()
    assert "1 leftover file deleted" in command("runs", "gc", "--delete")[1]
    assert not leftover.exists()


def test_cached_pairs_are_counted_and_cleared_and_nothing_else(command, tmp_path, monkeypatch):
    monkeypatch.setenv("COVALIGN_CACHE", str(tmp_path))
    (tmp_path / "pairs").mkdir()
    entry, other = tmp_path / "pairs" / "0123.pair", tmp_path / "pairs" / "notes.txt"
    entry.write_bytes(b"x" * 2**20)
    other.write_text("mine")
    assert "pairs: 1 files, 1.0 MB" in command("runs", "gc", "--cache")[1]
    assert entry.exists()
    counted = json.loads(command("runs", "gc", "--cache", "--delete", "--json")[1])
    assert counted == {
        "cache": {"images": {"files": 0, "bytes": 0}, "pairs": {"files": 1, "bytes": 2**20}},
        "deleted": True,
    }
    assert not entry.exists()
    assert other.exists()


@pytest.mark.slow
def test_comparing_writes_report_tables_and_results(command, keys, place, tmp_path):
    status, out, err = command(
        "compare", *keys, "--images", place / "squares.npz", "--out", tmp_path, "--no-calibrate"
    )
    assert status == 0, err
    assert out.splitlines()[0] == str(tmp_path / "report.html")
    assert "<html" in (tmp_path / "report.html").read_text()[:200]
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["schema_version"] == 2
    assert results["provenance"]["command"].startswith("covalign compare")
    assert len(load_comparison(tmp_path).table) == len(pd.read_csv(tmp_path / "table.csv")) == 8


@pytest.mark.slow
def test_a_first_layer_is_predicted_alone_and_beside_a_measured_one(command, keys, place, tmp_path):
    images = place / "squares.npz"
    for name, models in (("alone", ()), ("measured", keys[:1])):
        status, out, err = command("energy", *models, "--images", images, "--out", tmp_path / name)
        assert status == 0, err
        assert out.splitlines()[0] == str(tmp_path / name / "report.html")
        assert out.lower().count("labels will") == 1
        results = json.loads((tmp_path / name / "results.json").read_text())
        assert results["provenance"]["command"].startswith("covalign energy")
        assert (results["fit"] is None) == (name == "alone")
    assert results["before"] is not None
    assert results["linear_cnn_time"] > 0
    assert "measured" in pd.read_csv(tmp_path / "measured" / "profiles.csv")


def test_a_first_layer_needs_a_network_that_reads_pixels(command, place, tmp_path):
    save_file({"head.weight": torch.randn(4, 12)}, tmp_path / "head.safetensors")
    refused(
        command(
            "energy", tmp_path / "head.safetensors", "--images", place / "squares.npz", "--out", tmp_path
        ),
        "first layer 'head'",
        "expected a convolution of the images' 3 channels",
    )


@pytest.mark.slow
def test_weight_files_are_enough_for_spatial_patterns(command, weights, tmp_path):
    status, out, err = command("spatial", weights, "--out", tmp_path)
    assert status == 0, err
    assert out.splitlines()[0] == str(tmp_path / "report.html")
    assert json.loads((tmp_path / "results.json").read_text())["kind"] == "spatial"
    assert len(pd.read_parquet(tmp_path / "table.parquet")) == 3 * 28


@pytest.mark.slow
def test_weight_files_are_compared_as_far_as_they_go(command, weights, place, tmp_path):
    images = place / "squares.npz"
    status, _, err = command("compare", weights, weights, "--images", images, "--out", tmp_path)
    assert status == 0, err
    assert load_comparison(tmp_path).table["reason"].str.contains("bare weight file").any()


def test_what_is_no_command_option_or_number_is_refused(command, keys, place, tmp_path):
    refused(command("compere", "a"), "compere")
    refused(command("train", place / "spec.toml", "--beauty", "3"), "beauty")
    refused(command("train", place / "spec.toml", "--epochs", "many"), "many")
    refused(command("train", place / "spec.toml", "--width", "-1"), "width = -1.0")
    refused(command("compare", keys[0], keys[1]), "out")
    refused(command("compare", *keys, "--out", tmp_path, "--threads", "0"), "--threads: got 0")


def test_specs_that_do_not_exist_or_say_nothing_are_refused(command, place, tmp_path):
    refused(command("train", tmp_path / "none.toml"), "none.toml", "cannot be read")
    spec = tmp_path / "spec.toml"
    spec.write_text("width = ")
    refused(command("train", spec), "cannot be read as TOML")
    spec.write_text("beauty = 1\n")
    refused(command("train", spec), "unknown key 'beauty'")
    spec.write_text((place / "spec.toml").read_text() + 'classes = ["dragon"]\n')
    refused(command("train", spec), "dragon")


@pytest.mark.slow
def test_images_that_cannot_be_read_are_refused(command, place, tmp_path):
    def train(images: Path) -> tuple[int, str, str]:
        return command("train", place / "spec.toml", "--images", images)

    refused(train(tmp_path / "none.npz"), "none.npz")
    empty = tmp_path / "empty"
    empty.mkdir()
    refused(train(empty), "empty")
    parquet = tmp_path / "parquet"
    parquet.mkdir()
    (parquet / "train-00000-of-00001.parquet").write_bytes(b"PAR1" + bytes(200) + b"PAR1")
    refused(train(parquet), "train-00000-of-00001.parquet")
    photographs = tmp_path / "photographs"
    for split in ("train", "test"):
        (photographs / split / "cat").mkdir(parents=True)
        Image.new("RGB", (32, 32)).save(photographs / split / "cat" / "good.png")
    (photographs / "train" / "cat" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    refused(train(photographs), "bad.png")
    cut = tmp_path / "cut.npz"
    cut.write_bytes((place / "squares.npz").read_bytes()[:3000])
    refused(train(cut), "cut.npz")


@pytest.mark.slow
def test_networks_that_cannot_be_read_are_refused(command, keys, weights, tmp_path):
    def compare(model: object) -> tuple[int, str, str]:
        return command("compare", keys[0], model, "--out", tmp_path / "out")

    refused(compare(tmp_path / "none.safetensors"), "none.safetensors")
    refused(compare("0123456789ab"), "0123456789ab", "expected exactly one")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(weights.read_bytes()[:-100])
    refused(compare(cut), "cut.safetensors")
    sick = tmp_path / "sick.safetensors"
    tensors = load_file(weights)
    tensors["stages.2.convolution.weight"][0, 0, 0, 0] = torch.nan
    save_file(tensors, sick)
    refused(compare(sick), "stages.2.convolution", "not finite")
    words = tmp_path / "words.pt"
    words.write_text("no weights here")
    refused(compare(words), "words.pt")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_comparisons_of_too_little_are_refused(command, keys, place, tmp_path):
    images = ("--images", place / "squares.npz", "--out", tmp_path)
    refused(command("compare", keys[0], *images), "got 1 network, expected at least two")
    refused(command("compare", *keys, *images, "--layers", "elsewhere"), "no layer 'elsewhere'")
    refused(command("compare", *keys, *images, "--max-images", "2"), "got 2 images, expected at least 5")
    two = ("--architecture", "a:b", "--architecture", "c:d", "--architecture", "e:f")
    refused(command("compare", *keys, *images, *two), "--architecture: got 3 for 2 models")
    refused(command("spatial", "--out", tmp_path), "got no network")
    refused(command("spatial", keys[0], "--out", tmp_path, "--layers", "head"), "larger than 1x1")


@pytest.mark.slow
def test_what_was_computed_survives_what_goes_wrong_later(command, keys, place, tmp_path):
    images = ("--images", place / "squares.npz", "--out", tmp_path, "--no-calibrate", "--no-controls")
    assert command("compare", *keys, *images)[0] == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    refused(command("compare", *keys, *images, "--layers", "elsewhere"))
    refused(command("train", place / "spec.toml", "--images", tmp_path / "none.npz"))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert all(key[:8] in command("runs", "list")[1] for key in keys)


def test_a_damaged_run_is_named_and_the_others_still_listed(capsys, keys, place, tmp_path):
    store = shutil.copytree(place / "runs", tmp_path / "runs")
    final = store / keys[0] / "final.safetensors"
    final.write_bytes(final.read_bytes()[:-100])
    run = covalign(capsys, "compare", *keys, "--out", tmp_path / "out", "--store", store)
    refused(run, "final.safetensors", "damaged")
    status, out, _ = covalign(capsys, "runs", "list", "--store", store)
    assert status == 0
    assert keys[1][:8] in out


def test_an_unwritable_place_is_named(command, keys, place):
    file = place / "file"
    file.write_text("in the way")
    refused(command("spatial", keys[0], "--out", file / "report"), "file")


def test_results_without_checksums_are_named_in_one_line(capsys, tmp_path):
    name = "first-layer-fig4"
    shutil.copytree(PAPERS / name, tmp_path / name)
    status, out, err = covalign(capsys, "reproduce", name, "--redraw", "--out", tmp_path)
    assert (status, out.splitlines()[0]) == (0, str(tmp_path / name))
    assert err.splitlines() == [
        f"covalign: {tmp_path / name}: has no manifest.json with checksums (earlier versions wrote none), so that "
        "damage would not be noticed"
    ]
    assert covalign(capsys, "reproduce", name, "--redraw", "--out", tmp_path)[2] == ""


@pytest.mark.parametrize("command", [*COMMANDS.values(), *RUNS.values(), *UNIVERSAL.values()])
def test_the_help_of_a_command_is_its_docstring(command):
    module, function = command.split(":")
    path = Path(contents.__file__).with_name(f"{module.rpartition('.')[2]}.py")
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    (found,) = (part for part in tree.body if isinstance(part, ast.FunctionDef) and part.name == function)
    assert contents.docstring(source, function).split() == ast.get_docstring(found).split()


def alone(folder: Path, *words: str) -> list[str]:
    """What a command of its own process prints, and last what it imported of what takes long."""
    code = f"import atexit, sys; from covalign.cli.app import main; sys.argv = {['covalign', *words]!r}\n"
    code += "atexit.register(lambda: print(sorted({'markdown_it', 'torch', 'numpy'} & sys.modules.keys())))\nmain()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder
    )
    return done.stdout.splitlines()


def test_the_help_of_a_group_starts_without_what_renders_marked_up_text(tmp_path):
    printed = alone(tmp_path, "runs", "--help")
    assert any("List, show and clean up" in line for line in printed)
    assert printed[-1] == "[]"


def test_the_store_is_looked_at_without_what_trains(place, keys):
    store = str(place / "runs")
    listed = alone(place, "runs", "list", "--store", store)
    assert len(listed) == len(keys) + 2
    shown = alone(place, "runs", "show", keys[0][:8], "--store", store)
    assert json.loads("\n".join(shown[:-1]))["key"].startswith(keys[0])
    assert [listed[-1], shown[-1], alone(place, "runs", "gc", "--store", store)[-1]] == ["[]"] * 3


@pytest.fixture
def copies(tmp_path) -> Path:
    """A file of two sets of weights, with a table that is no layer."""
    sets = {
        name: {"conv.weight": torch.randn(8, 3, 3, 3) + offset, "pos_embed": torch.randn(1, 8, 5, 5)}
        for offset, name in enumerate(("params", "params_ema"))
    }
    torch.save(sets, tmp_path / "net.pt")
    return tmp_path / "net.pt"


def test_the_other_set_of_weights_is_named_and_can_be_chosen(capsys, copies, tmp_path):
    for options, inside in (((), "params"), (("--inside", "params_ema"), "params_ema")):
        assert covalign(capsys, "spatial", copies, "--out", tmp_path / inside, *options)[0] == 0
        written = json.loads((tmp_path / inside / "results.json").read_text())
        assert written["provenance"]["networks"]["net"]["inside"] == inside
    assert "--inside params_ema" in (tmp_path / "params" / "report.html").read_text()
    status, _, err = covalign(capsys, "spatial", copies, "--out", tmp_path / "no", "--inside", "ema")
    assert (status, "expected one of params, params_ema" in err) == (2, True)


@pytest.mark.parametrize("option", ["--layers", "--layer"])
def test_a_layer_that_is_named_is_read_though_it_was_doubtful(capsys, copies, tmp_path, option):
    assert covalign(capsys, "spatial", copies, "--out", tmp_path / "out", option, "pos_embed")[0] == 0
    assert list(pd.read_csv(tmp_path / "out" / "layers.csv")["layer"]) == ["pos_embed"]


def test_an_adapter_is_an_update_of_its_base(capsys, tmp_path):
    save_file({"conv.weight": torch.randn(16, 8, 3, 3)}, tmp_path / "base.safetensors")
    factors = {"lora_A": torch.randn(2, 8, 3, 3), "lora_B": torch.randn(16, 2, 1, 1)}
    save_file(
        {f"conv.{name}.weight": part for name, part in factors.items()}, tmp_path / "adapter.safetensors"
    )
    models = [tmp_path / f"{name}.safetensors" for name in ("base", "adapter")]
    assert covalign(capsys, "diff", *models, "--out", tmp_path / "out", "--draws", 2)[0] == 0
    assert list(pd.read_csv(tmp_path / "out" / "table.csv")["update_rank"]) == [2]
    assert "1 layers updated at scale not stated" in (tmp_path / "out" / "report.html").read_text()
    status, _, err = covalign(capsys, "diff", *models[::-1], "--out", tmp_path / "no")
    assert (status, "covalign diff BASE ADAPTER" in err) == (2, True)
