import pytest
import torch
from safetensors.torch import save_file

from covalign.errors import InputError
from covalign.studies.populations import known_images, members_of
from covalign.training.loop import train
from covalign.training.population import population_of
from covalign.training.store import RunStore

RECIPE = {
    "preset": "demo",
    "width": 0.04,
    "epochs": 1,
    "max_images": 40,
    "batch_size": 20,
    "precision": "float32",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A population of two conditions and a file, of which one condition is trained."""
    folder = tmp_path_factory.mktemp("place")
    save_file({"conv.weight": torch.randn(8, 4, 3, 3)}, folder / "other.safetensors")
    member = {"file": str(folder / "other.safetensors"), "group": "published"}
    grid = {"images": ["photos:a", "photos:b"]}
    found = population_of({"seeds": 1, "recipe": RECIPE, "grid": grid, "member": [member]})
    store = RunStore(folder / "runs")
    train(found.specs[0], store, progress=False)
    return found, store


def test_members_are_found_by_what_they_are_and_the_missing_are_named(place):
    population, store = place
    told = []
    found = members_of(population, store, progress=lambda stage, share, note="": told.append((stage, share)))
    assert [each.name for each in found.subjects] == ["photos:a, 0", "other"]
    assert found.conditions == {"photos:a, 0": "photos:a", "other": "published"}
    assert found.missing == ("photos:b, 0",)
    assert found.subjects[0].run.spec.seed == population.specs[0].seed
    assert told[-1] == ("reading networks", pytest.approx(2 / 3))


def test_a_population_knows_its_images_in_equal_parts(place):
    found = known_images(place[0], 60)
    assert found.name == "photos:a + photos:b"
    assert torch.bincount(found.labels).tolist() == [30, 30]


def test_a_population_of_files_knows_no_images():
    files = population_of({"member": [{"file": "a.safetensors", "group": "x"}]})
    with pytest.raises(InputError, match="trains no network that would name images; give --images DATA"):
        known_images(files, 10)
