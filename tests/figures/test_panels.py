import math
from dataclasses import replace
from itertools import combinations

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from covalign.encoding.debiased.shared_variance import shared_variance
from covalign.errors import InputError
from covalign.figures.conditions import condition_matrix
from covalign.figures.eigenvectors import cosine_map, darkness
from covalign.figures.spatial import greys, kernel_image, spatial_eigenvectors
from covalign.figures.spectra import spectrum
from covalign.figures.style import PALETTE, fonts, journal, lines, plain, series, shorten, size
from covalign.figures.training import training_curve
from covalign.studies.comparison.figures import (
    calibrated_against_depth,
    cosine_between_levels,
    shared_against_rank,
    similarity_against_depth,
)
from covalign.studies.comparison.orders import mean_of_orders, pairs
from covalign.studies.comparison.sheets import comparison_figures
from samples.synthetic import NAMES


@pytest.fixture
def ax():
    return Figure().subplots()


def test_the_mean_of_orders_is_undefined_where_either_order_is(factorized):
    table = factorized.table.copy()
    table.loc[0, ["similarity", "similarity_reversed"]] = [0.2, 0.4]
    table.loc[1, ["similarity", "similarity_reversed"]] = [0.2, math.nan]
    assert mean_of_orders(table)[0] == pytest.approx(0.3)
    assert math.isnan(mean_of_orders(table)[1])


def test_similarity_lines_are_the_mean_of_both_orders_with_gaps(factorized, ax):
    similarity_against_depth(factorized.table, ax)
    labelled = [line for line in ax.lines if " – " in str(line.get_label())]
    assert len(labelled) == 6
    first = factorized.table[:8]
    expected = (first["similarity"] + first["similarity_reversed"]) / 2
    np.testing.assert_allclose(labelled[0].get_ydata(), expected)
    assert np.isnan(labelled[0].get_ydata()[7])
    assert list(labelled[0].get_xdata()) == list(range(1, 9))


def test_no_two_of_24_series_look_the_same():
    assert len({tuple(series(index).values()) for index in range(24)}) == 24
    assert series(24) == series(0)


def test_unaligned_raw_cosines_are_not_drawn_as_similarities(factorized, ax):
    table = factorized.table.copy()
    table.loc[2, "similarity"] = math.nan
    similarity_against_depth(table, ax)
    control = next(line for line in ax.lines if line.get_alpha() is not None)
    assert np.isnan(control.get_ydata()[2])
    assert np.isfinite(control.get_ydata()[3])


def test_intervals_reach_from_low_to_high(factorized, ax):
    calibrated_against_depth(factorized.table, ax)
    bars = ax.containers[0].lines[2][0].get_segments()
    row = factorized.table.iloc[0]
    np.testing.assert_allclose(bars[0][:, 1], [row["low"], row["high"]])


def test_the_cosine_stands_on_a_bar_from_chance_to_ceiling(factorized, ax):
    table = factorized.table
    cosine_between_levels(table, pairs(table)[0], ax)
    bar = ax.patches[0]
    np.testing.assert_allclose(
        [bar.get_y(), bar.get_y() + bar.get_height()], table.loc[0, ["chance", "ceiling"]].tolist()
    )


def test_the_grey_scale_runs_from_one_to_five_over_the_root_of_d():
    cosines = torch.tensor([[0.0, 0.1, 0.3], [0.5, 0.9, 0.2]])
    expected = torch.tensor([[0, 0, 0.5], [1, 1, 0.25]], dtype=torch.float64)
    torch.testing.assert_close(darkness(cosines, 100), expected, atol=1e-7, rtol=0)


def test_arrows_stand_at_the_effective_ranks_and_none_at_nan(ax):
    cosine_map(torch.eye(10), ax, 100, (3.5, math.nan))
    assert [note.xy for note in ax.texts] == [(0.5, 3.5)]


def test_a_map_shows_rank_one_at_the_upper_left(ax):
    cosine_map(torch.eye(4), ax, 100)
    left, _, _, top = ax.images[0].get_extent()
    assert (left, top) == (0.5, 0.5)
    assert not ax.texts


def test_a_spectrum_is_drawn_descending_without_zeros(ax):
    spectrum([0.0, 4.0, 9.0, 0.5], ax, (0.2, 3.0))
    np.testing.assert_allclose(ax.lines[-1].get_ydata(), [9, 4, 0.5])
    band = ax.patches[0].get_extents().transformed(ax.transData.inverted())
    assert (band.y0, band.y1) == pytest.approx((0.2, 3.0))


def test_a_spectrum_without_edges_has_no_bulk(ax):
    spectrum([1.0, 2.0], ax)
    assert not ax.patches


def test_zero_is_middle_grey_whatever_the_range():
    assert greys([[0.0, -2.0], [1.0, 2.0]]).tolist() == [[128, 1], [192, 255]]
    assert greys(np.zeros((3, 3))).tolist() == [[128] * 3] * 3


def test_a_kernel_must_have_two_axes(ax):
    with pytest.raises(InputError, match=r"kernel: got shape \(3,\), expected \[k_h, k_w\]"):
        kernel_image([1.0, 2.0, 3.0], ax)


def test_spatial_eigenvectors_carry_their_share_of_the_variance(joint):
    space = next(iter(joint.spatial.values()))
    axes = list(Figure().subplots(1, 12))
    spatial_eigenvectors(space, axes)
    share = float(space.eigenvalues[0] / space.eigenvalues.sum())
    assert axes[0].get_title() == f"{share:.0%}"
    np.testing.assert_array_equal(axes[0].images[0].get_array(), greys(space.pictures[0]))
    assert not axes[9].axison


def test_training_curves_leave_out_epochs_without_a_test(ax):
    history = [
        {"epoch": 1, "train_accuracy": 0.5, "test_accuracy": None},
        {"epoch": 2, "train_accuracy": 0.7, "test_accuracy": 0.6},
    ]
    training_curve(history, ax, "net")
    assert [list(line.get_xdata()) for line in ax.lines] == [[1, 2], [2]]


@pytest.mark.parametrize("name", ["_hidden", "a$b$c", r"\frac{1}{2}", "x" * 500])
def test_any_name_is_drawn_letter_by_letter(name, ax):
    ax.plot([0, 1], [0, 1], label=plain(name))
    legend = ax.legend()
    ax.set_title(plain(name))
    ax.figure.canvas.draw()
    assert [text.get_text() for text in legend.get_texts()] == [plain(name)]


def test_long_names_keep_both_ends():
    assert shorten("abcdefghij", 5) == "ab…ij"
    assert shorten("abcde", 5) == "abcde"
    assert len(shorten("x" * 99)) == 32


def test_styles_are_valid_rcparams_that_merge():
    assert journal(columns=2.0) == fonts() | lines() | size(columns=2.0)
    with matplotlib.rc_context(journal()):
        assert matplotlib.rcParams["figure.figsize"] == pytest.approx([3.4, 3.4 * 0.68])
    assert all(colour.startswith("#") for colour in PALETTE)


def conditions(names: tuple[str, ...]) -> pd.DataFrame:
    pairs = list(combinations(names, 2))
    rows = [
        {"condition_a": a, "condition_b": b, "depth": depth, "q": 0.1 * index + 0.2, "low": 0.1, "high": 0.9}
        for depth in (1, 2)
        for index, (a, b) in enumerate(pairs)
    ]
    return pd.DataFrame(rows)


def test_a_condition_matrix_has_value_and_interval_of_every_pair(ax):
    names = ("photographs", "drawings", "noise")
    found = conditions(names)
    found.loc[0, "q"] = math.nan
    found.loc[1, ["low", "high"]] = math.nan
    condition_matrix(found[found["depth"] == 1], names, ax)
    values = ax.images[0].get_array()
    assert math.isnan(values.filled(math.nan)[0, 1])
    assert values[0, 2] == values[2, 0] == pytest.approx(0.3)
    said = [text.get_text() for text in ax.texts]
    assert said.count("1") == 3
    assert said.count("0.30") == 2
    assert said.count("\n0.10–0.90") == 2


def test_shared_variance_keeps_the_colours_of_pairs_without_a_curve(ax):
    curve = shared_variance(torch.randn(40, 8, dtype=torch.float64), torch.randn(40, 8, dtype=torch.float64))
    keys = [("a", "b", "one"), ("a", "c", "one")]
    shared_against_rank({keys[1]: curve}, keys, ax)
    drawn = [each for each in ax.lines if each.get_label().startswith("a")]
    assert [each.get_color() for each in drawn] == [PALETTE[1]]


def test_conditions_and_curves_make_figures_of_their_own(joint):
    curve = shared_variance(torch.randn(40, 8, dtype=torch.float64), torch.randn(40, 8, dtype=torch.float64))
    first = joint.table[joint.table["depth"] < 3]
    curves = {(row.a, row.b, row.layer_a): curve for row in first.itertuples()}
    figures = comparison_figures(
        table=first,
        layers=joint.layers[:0],
        spectra={},
        spatial={},
        cosine_maps={},
        curves=curves,
        layer_maps={},
        by_condition=conditions(("x", "y", "z")),
        training={},
    )
    assert len([ax for ax in figures["conditions"].axes if ax.images]) == 2
    assert len([ax for ax in figures["shared-variance"].axes if ax.lines]) == 2


def test_a_comparison_fills_every_figure_it_can(joint, tmp_path):
    small = replace(
        joint,
        table=joint.table[(joint.table["a"] == NAMES[0]) & (joint.table["depth"] < 3)],
        layers=joint.layers[joint.layers["depth"] < 3],
        spatial=dict(list(joint.spatial.items())[:2]),
    )
    given = ("table", "layers", "spectra", "cosine_maps", "curves", "layer_maps", "by_condition", "training")
    parts = {name: getattr(small, name) for name in given}
    figures = comparison_figures(**parts, spatial=small.spatial)
    drawn = {"similarity", "cosine-levels", "cosine-maps", "layer-maps", "spectra", "spatial-eigenvectors"}
    names = drawn | {"training"}
    assert set(figures) == names
    assert len(figures["cosine-levels"].axes) == 3
    assert len([ax for ax in figures["cosine-maps"].axes if ax.images]) == 6
    assert "spatial-eigenvectors" not in comparison_figures(**parts, spatial={})
    written = small.figures(tmp_path)
    assert {path.stem for path in written} == names
    assert all(path.with_suffix(".pdf").exists() for path in written)
