"""A population from the command line: trained, planned, compared, mapped, and refused."""

import json

import pytest

from cli.test_app import covalign, refused
from covalign.studies.atlas.record import Atlas
from covalign.studies.comparison.record import load_comparison

TEXT = """
seeds = 2
[recipe]
preset = "demo"
width = 0.06
epochs = 2
max_images = 60
batch_size = 10
precision = "float32"
[grid]
images = ["photos:a", "photos:b"]
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("population")
    (folder / "grid.toml").write_text(TEXT)
    return folder


@pytest.fixture
def command(capsys, place):
    """The command line with the store of `place`."""

    def call(*arguments):
        return covalign(capsys, *arguments, "--store", place / "runs")

    return call


@pytest.mark.slow
def test_a_population_is_trained_once_planned_and_mapped(command, place, tmp_path):
    status, out, err = command("train", place / "grid.toml", "--workers", 1)
    assert status == 0, err
    assert "4 networks: 0 found in the store, 4 finished since" in out
    assert "4 found in the store, 0 finished since" in command("train", place / "grid.toml")[1]
    assert "4 networks, 4 of them trained." in command("train", place / "grid.toml", "--dry-run")[1]
    status, out, err = command("atlas", place / "grid.toml", "--out", tmp_path / "atlas", "--max-images", 60)
    assert status == 0, err
    assert out.splitlines()[0] == str(tmp_path / "atlas" / "report.html")
    found = Atlas.load(tmp_path / "atlas")
    assert found.places == {"photos:a": {"images": "photos:a"}, "photos:b": {"images": "photos:b"}}
    assert found.axes["p_value"].isna().all()
    compared = command("compare", "--population", place / "grid.toml", "--out", tmp_path / "c", "--max-images", 60,
                       "--no-controls", "--no-calibrate")  # fmt: skip
    assert compared[0] == 0, compared[2]
    assert set(load_comparison(tmp_path / "c").conditions.values()) == {"photos:a", "photos:b"}


def test_a_plan_says_what_is_missing_and_what_it_takes(command, place, tmp_path):
    status, out, err = command("atlas", place / "grid.toml", "--dry-run", "--out", tmp_path / "x", "--json")
    assert status == 0, err
    said = json.loads(out)
    assert {each["condition"] for each in said["networks"]} == {"photos:a", "photos:b"}
    assert any("6 pairs of networks" in sentence for sentence in said["findings"])
    assert not (tmp_path / "x").exists()


def test_missing_networks_are_named_with_the_command_that_trains_them(capsys, place, tmp_path):
    for command in (("atlas", place / "grid.toml"), ("compare", "--population", place / "grid.toml")):
        found = covalign(capsys, *command, "--out", tmp_path / "x", "--store", tmp_path / "none", "--quiet")
        refused(
            found,
            "4 of 4 networks are not trained yet (photos:a, 0; ",
            f"covalign train {place / 'grid.toml'}",
        )


@pytest.mark.parametrize("command", [("train",), ("atlas",), ("compare", "--population")])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[grid]\nimags = ['photos:a']", "did you mean 'images'"),
        ("[grid", "cannot be read as TOML"),
        ("[grid]\nimages = ['\\u001b[31mphotos']\nimages = 3", "cannot be read as TOML"),
        ("grid = [[[1]]]", "expected a table"),
    ],
)
def test_a_hostile_file_is_one_line(capsys, tmp_path, command, text, said):
    (tmp_path / "g.toml").write_text(text)
    out = () if command == ("train",) else ("--out", tmp_path / "x")
    refused(covalign(capsys, *command, tmp_path / "g.toml", *out), said)


def test_options_of_a_single_training_are_refused(command, place):
    refused(
        command("train", place / "grid.toml", "--epochs", 3),
        "--epochs: changes a single training",
        "[recipe]",
    )


def test_models_beside_a_population_are_refused(command, place, tmp_path):
    refused(
        command("compare", "a", "--population", place / "grid.toml", "--out", tmp_path),
        "leave out the models",
    )
    refused(command("compare", "a", "b", "--dry-run", "--out", tmp_path), "--dry-run: expected --population")
