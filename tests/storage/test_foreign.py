"""Results never erase what is not theirs, and leave nothing of an earlier result beside their own."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

import covalign
from covalign.errors import InputError, UncheckedWarning
from covalign.storage.folder import MANIFEST, Folder

STORED = Path(__file__).parents[1] / "stored"


@pytest.fixture
def result():
    with pytest.warns(UncheckedWarning):
        return covalign.load_comparison(STORED / "comparison")


def test_a_training_is_never_replaced_by_a_result(result, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(next((STORED / "runs").iterdir()), run)
    before = sorted(path.name for path in run.iterdir())
    with pytest.raises(InputError, match="holds a training, which results would erase; give another folder"):
        result.save(run)
    assert sorted(path.name for path in run.iterdir() if path.name != ".lock") == before
    assert covalign.load_run(run).complete


@pytest.mark.parametrize("name", ["table.csv", "results.json"])
def test_a_file_of_somebody_else_is_not_overwritten(result, tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match=f"{name}: is there already and was not written by covalign"):
        result.save(tmp_path)
    assert (tmp_path / name).read_text() == "mine"
    assert not (tmp_path / MANIFEST).exists()


@pytest.mark.parametrize(
    "theirs", ['{"name": "a web page", "icons": []}', '{"files": ["a", "b"]}', "", "not JSON"]
)
def test_a_manifest_of_another_program_is_not_overwritten(result, tmp_path, theirs):
    (tmp_path / MANIFEST).write_text(theirs)
    with pytest.raises(InputError, match=f"{MANIFEST}: is there already and was not written by covalign"):
        result.save(tmp_path, report=True)
    assert (tmp_path / MANIFEST).read_text() == theirs
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", MANIFEST]


def test_a_result_with_a_damaged_manifest_is_replaced(result, tmp_path):
    result.save(tmp_path)
    (tmp_path / MANIFEST).write_text("{")
    result.save(tmp_path)
    assert covalign.load_comparison(tmp_path).table.equals(result.table)


def test_a_folder_in_the_place_of_a_file_is_refused_before_anything_is_written(result, tmp_path):
    (tmp_path / "results.json").mkdir()
    with pytest.raises(InputError, match="is there already"):
        result.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "results.json"]


def test_nothing_of_an_earlier_result_without_manifest_stays_beside_the_new_one(result, tmp_path):
    folder = tmp_path / "old"
    shutil.copytree(STORED / "comparison", folder)
    (folder / "report.html").write_text("an old page")
    (folder / "notes.txt").write_text("mine")
    result.save(folder)
    assert not (folder / "report.html").exists()
    assert (folder / "notes.txt").read_text() == "mine"
    assert "report.html" not in Folder(folder).files()
    assert covalign.load_comparison(folder).table.equals(result.table)


def test_a_result_is_replaced_by_one_of_another_kind(result, tmp_path):
    result.save(tmp_path / "out", report=True)
    with pytest.warns(UncheckedWarning):
        covalign.Difference.load(STORED / "difference").save(tmp_path / "out")
    assert json.loads((tmp_path / "out" / "results.json").read_text())["kind"] == "difference"
    assert not (tmp_path / "out" / "report.html").exists()


def test_other_tables_beside_an_earlier_result_do_not_matter(tmp_path):
    folder = tmp_path / "old"
    shutil.copytree(STORED / "comparison", folder)
    (folder / "mine.parquet").write_bytes(b"not a table of ours")
    pd.DataFrame({"x": [1]}).to_csv(folder / "mine.csv")
    with pytest.warns(UncheckedWarning):
        assert len(covalign.load_comparison(folder).table) == 48


def test_other_programs_read_what_was_skipped_as_plain_lists(result, tmp_path):
    result.save(tmp_path / "out")
    document = json.loads((tmp_path / "out" / "results.json").read_text())
    name, entries = next(iter(document["skipped"].items()))
    assert entries[0] == list(result.skipped[name][0])
    assert covalign.load_comparison(tmp_path / "out").skipped == result.skipped


def test_results_of_a_first_layer_hold_the_numbers_that_follow(tmp_path):
    with pytest.warns(UncheckedWarning):
        summary = covalign.FirstLayerSummary.load(STORED / "first-layer")
    summary.save(tmp_path)
    numbers = json.loads((tmp_path / "results.json").read_text())["numbers"]
    old = json.loads((STORED / "first-layer" / "results.json").read_text())
    assert numbers["agreements"] == pytest.approx(old["agreements"])
    assert (numbers["filters"], numbers["initial_weights_subtracted"]) == (16, False)
    assert covalign.FirstLayerSummary.load(tmp_path).agreements == summary.agreements
