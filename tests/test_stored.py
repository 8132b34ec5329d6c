"""What earlier versions wrote still loads: runs by the same keys, results with the same numbers.

`stored` holds what version 0.1 left on the disk: a run of the demo's recipe (width .03, one epoch, 128 images), the
comparison of ``covalign demo``, and the folders of ``diff``, ``spatial`` and ``energy``. The exhibits are those
under ``docs/results/papers``.
"""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import safetensors.torch
import torch

import covalign

STORED = Path(__file__).parent / "stored"
RUN = "eb6b86b7f1f1d9a1"


@pytest.fixture
def store(tmp_path) -> covalign.RunStore:
    shutil.copytree(STORED / "runs", tmp_path / "runs")
    return covalign.RunStore(tmp_path / "runs")


def test_a_stored_run_is_found_by_its_key_and_read(store):
    run = covalign.load_run(RUN[:8], store)
    assert run.key.startswith(RUN)
    assert run.complete
    assert len(run.history) == 1
    assert len(run.network.layers) == 9
    assert run.network.layers[0].init_variance == pytest.approx(1 / 90)


@pytest.mark.slow
def test_a_stored_run_is_not_trained_again(store):
    run = covalign.load_run(RUN, store)
    before = (run.path / "manifest.json").read_bytes()
    told = []
    again = covalign.train(run.spec, store, on_epoch=told.append)
    assert again.key == run.key
    assert not told
    assert (run.path / "manifest.json").read_bytes() == before


def test_the_comparison_of_the_demo_loads_with_its_numbers():
    folder = STORED / "comparison"
    comparison = covalign.load_comparison(folder)
    written = pd.read_parquet(folder / "table.parquet")
    assert len(comparison.table) == 48
    for column in ("cosine", "chance", "ceiling", "similarity", "similarity_reversed", "calibrated", "low"):
        pd.testing.assert_series_equal(comparison.table[column], written[column])
    tensors = safetensors.torch.load_file(folder / "tensors.safetensors")
    keys = json.loads((folder / "results.json").read_text())["keys"]["spectra"]
    for index, key in enumerate(keys):
        assert torch.equal(comparison.spectra[tuple(key)], tensors[f"spectra/{index}"])
    assert len(comparison.cosine_maps) > 0


@pytest.mark.slow
def test_the_comparison_of_the_demo_is_reported_again(tmp_path):
    page = covalign.load_comparison(STORED / "comparison").report(tmp_path / "report.html")
    assert "Did these networks learn the same thing?" in page.read_text(encoding="utf-8")
