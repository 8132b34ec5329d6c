import json
import shutil

import pandas as pd
import pytest
import torch

from covalign.errors import InputError
from covalign.storage.folder import MANIFEST
from covalign.studies.comparison.measure import compare
from covalign.studies.comparison.record import load_comparison
from samples.networks import images, module, read


@pytest.fixture(scope="module")
def comparison():
    pair = {"a": read(module("joint", widths=(12, 12))), "b": read(module("joint", widths=(12, 12), seed=1))}
    return compare(pair, images(40), draws=2, provenance={"command": "test"}, calibrate=False)


@pytest.fixture(scope="module")
def saved(comparison, tmp_path_factory):
    return comparison.save(tmp_path_factory.mktemp("saved") / "comparison")


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy")


def test_nothing_is_lost_on_the_way_to_disk_and_back(comparison, saved):
    again = load_comparison(saved)
    pd.testing.assert_frame_equal(again.table, comparison.table)
    pd.testing.assert_frame_equal(again.layers, comparison.layers)
    for name in ("spectra", "cosine_maps"):
        ours, theirs = getattr(again, name), getattr(comparison, name)
        assert list(ours) == list(theirs)
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert list(again.spatial) == list(comparison.spatial)
    for key, space in comparison.spatial.items():
        assert torch.equal(again.spatial[key].eigenvalues, space.eigenvalues)
        assert torch.equal(again.spatial[key].eigenvectors, space.eigenvectors)
        assert again.spatial[key].kernel_size == space.kernel_size
    assert list(again.layer_maps) == [("a", "b"), ("a", "a"), ("b", "b")] == list(comparison.layer_maps)
    for key, found in comparison.layer_maps.items():
        pd.testing.assert_frame_equal(again.layer_maps[key].table, found.table)
        assert again.layer_maps[key].matched == found.matched
    assert (again.training, again.skipped) == (comparison.training, comparison.skipped)
    assert again.provenance == json.loads(json.dumps(comparison.provenance))


def test_tables_can_be_read_by_anything(comparison, saved):
    table = pd.read_csv(saved / "table.csv")
    assert list(table.columns) == list(comparison.table.columns)
    document = json.loads((saved / "results.json").read_text())
    assert (document["schema_version"], document["kind"]) == (2, "comparison")
    assert document["table"][0]["calibrated"] is None
    assert document["provenance"]["command"] == "test"


def test_saving_again_replaces(comparison, folder):
    comparison.save(folder)
    pd.testing.assert_frame_equal(load_comparison(folder).table, comparison.table)


@pytest.mark.parametrize("name", ["results.json", "tensors.safetensors", "table.parquet", "layers.parquet"])
def test_a_missing_or_truncated_file_is_named(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=f"{name}: damaged"):
        load_comparison(folder)
    (folder / name).unlink()
    with pytest.raises(InputError, match=f"{name}: cannot be read"):
        load_comparison(folder)


def test_what_was_read_can_be_written_again(comparison, saved, tmp_path):
    again = load_comparison(saved).save(tmp_path / "again")
    assert (again / MANIFEST).read_bytes() == (saved / MANIFEST).read_bytes()
