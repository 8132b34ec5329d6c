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
import covalign.errors
from covalign.papers.reproduction import redraw

PAPERS = Path(__file__).parents[1] / "docs" / "results" / "papers"
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
    with pytest.warns(covalign.errors.UncheckedWarning):
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


def test_the_difference_loads_with_its_numbers(tmp_path):
    with pytest.warns(covalign.errors.UncheckedWarning):
        difference = covalign.Difference.load(STORED / "difference")
    written = pd.read_parquet(STORED / "difference" / "table.parquet")
    pd.testing.assert_frame_equal(difference.table, written)
    assert (difference.base, difference.other) == ("photos:a seed 0 epoch 0", "photos:a seed 0")
    assert difference.provenance["draws"] == 10
    saved_again(difference, tmp_path)


def test_the_spatial_summary_loads_with_its_numbers(tmp_path):
    folder = STORED / "spatial"
    with pytest.warns(covalign.errors.UncheckedWarning):
        summary = covalign.SpatialSummary.load(folder)
    for name in ("table", "layers"):
        pd.testing.assert_frame_equal(getattr(summary, name), pd.read_parquet(folder / f"{name}.parquet"))
    document = json.loads((folder / "results.json").read_text())
    assert [space.eigenvalues.tolist() for space in summary.spatial.values()] == document["eigenvalues"]
    keys = [(row["network"], row["layer"]) for row in document["layers"]]
    assert list(summary.spatial) == keys
    sizes = [row["kernel"] for row in document["layers"]]
    assert ["x".join(map(str, space.kernel_size)) for space in summary.spatial.values()] == sizes
    assert summary.skipped["VGG"] == [("head", "no space: its kernels are 1x1")]
    saved_again(summary, tmp_path)


def test_the_first_layer_loads_with_what_was_kept(tmp_path):
    folder = STORED / "first-layer"
    with pytest.warns(covalign.errors.UncheckedWarning):
        summary = covalign.FirstLayerSummary.load(folder)
    document = json.loads((folder / "results.json").read_text())
    pd.testing.assert_frame_equal(summary.table, pd.read_parquet(folder / "profiles.parquet"))
    assert summary.fit.correlation == document["fit"]["correlation"]
    assert summary.sampling_limit == pytest.approx(document["fit"]["sampling_limit"], abs=1e-12)
    assert summary.fit.baseline.correlations.tolist() == document["fit"]["baseline"]
    assert summary.agreements == pytest.approx(document["agreements"], abs=1e-12)
    assert summary.patches.patches == document["patches"]["count"]
    assert summary.fourier.rank_correlation == document["patches"]["frequency_rank_correlation"]
    assert summary.verdict.agreement == document["verdict"]["agreement"]
    assert summary.weight.shape == (16, 3, 3, 3)
    assert (summary.dependence, summary.patches.stride) == (None, 0)
    assert summary.patches.mean.isnan().all()
    saved_again(summary, tmp_path)


def saved_again(result, folder) -> None:
    """Save what an earlier version wrote, with its page, and read it."""
    again = type(result).load(result.save(folder / "again", report=True))
    pd.testing.assert_frame_equal(again.table, result.table)


def test_an_exhibit_is_drawn_again_with_the_same_claims(tmp_path):
    name = "first-layer-fig4"
    shutil.copytree(PAPERS / name, tmp_path / name)
    with pytest.warns(covalign.errors.UncheckedWarning):
        redraw(name, tmp_path)
    redraw(name, tmp_path)
    old, new = (json.loads((out / name / "results.json").read_text()) for out in (PAPERS, tmp_path))
    assert new["claims"] == old["claims"]
    picture = tmp_path / name / f"{name}.png"
    picture.write_bytes(picture.read_bytes()[:-1])
    with pytest.raises(covalign.InputError, match=rf"{name}\.png: damaged"):
        redraw(name, tmp_path)


@pytest.mark.slow
def test_the_comparison_of_the_demo_is_reported_again(tmp_path):
    with pytest.warns(covalign.errors.UncheckedWarning):
        comparison = covalign.load_comparison(STORED / "comparison")
    saved_again(comparison, tmp_path)
    page = comparison.report(tmp_path / "report.html")
    assert "Did these networks learn the same thing?" in page.read_text(encoding="utf-8")
