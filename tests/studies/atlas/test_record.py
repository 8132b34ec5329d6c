import dataclasses
import json
import sys

import pandas as pd
import pytest
import torch

from covalign.errors import InputError
from covalign.report.rendering import render
from covalign.studies.atlas.measure import atlas, atlas_of
from covalign.studies.atlas.record import Atlas
from samples.conditions import comparison, learned
from samples.networks import images, module, read

PLACES = {
    f"{data}, {labels}": {"data": data, "labels": labels} for data in ("x", "y<b>") for labels in ("t", "r")
}
CONDITIONS = {f"{name}, {seed}": name for name in PLACES for seed in range(5)}


@pytest.fixture(scope="module")
def planted() -> Atlas:
    """Data make a difference at the second of two layers; what y learned holds what x learned."""
    generator = torch.Generator().manual_seed(0)
    base, other = torch.randn(2, 16, generator=generator)
    second = [base + 1.5 * other * name.startswith("y") for name in CONDITIONS]
    layers = [learned([base] * 20, 0.7, generator), learned(second, 0.7, generator)]

    def contained(a, b):
        return 0.9 if b.startswith("y") else 0.5

    return atlas_of(
        comparison(CONDITIONS, layers, contained),
        PLACES,
        seeds=dict.fromkeys(CONDITIONS, 7),
        missing=("gone",),
        draws=499,
    )


def test_it_finds_what_was_planted_layer_by_layer(planted):
    axes = planted.axes.set_index(["axis", "depth"])["corrected"]
    assert axes["data", 2] <= 0.01
    assert min(axes["data", 1], axes["labels", 1], axes["labels", 2]) > 0.05
    answer = planted.page().answers[0][1]
    assert "Data sets make a difference at layer 2 of 2 layers that were tested" in answer
    assert "Kinds of labels: seeds tell no two apart" in answer


def test_seeds_keep_all_their_digits():
    names = [name for name in CONDITIONS if name.startswith("x, t")]
    found = atlas_of(
        comparison(
            {name: CONDITIONS[name] for name in CONDITIONS},
            [learned([torch.ones(16)] * 20, 0.7, torch.Generator())],
        ),
        PLACES,
        seeds={names[0]: 2**63 - 1},
        draws=99,
    )
    seeds = found.networks.set_index("network")["seed"]
    assert seeds[names[0]] == "9223372036854775807"
    assert seeds[names[1]] == ""


def test_who_contains_whom(planted):
    rows = planted.containment.set_index(["condition_a", "condition_b", "depth"])
    row = rows.loc[("x, t", "y<b>, t", 2)]
    assert (row["a_in_b"], row["b_in_a"], row["asymmetry"]) == pytest.approx((0.9, 0.5, 0.4))
    assert (row["low"], row["high"]) == pytest.approx((0.4, 0.4))
    assert row["directions_a"] == 3
    assert rows.loc[("x, t", "x, r", 2)]["asymmetry"] == pytest.approx(0)
    assert any("Containment is most lopsided" in sentence for sentence in planted.page().summary)


def test_it_survives_saving_and_keeps_its_page(planted, tmp_path):
    planted.save(tmp_path, report=True)
    again = Atlas.load(tmp_path)
    assert render(again.page()) == render(planted.page())
    for field in dataclasses.fields(Atlas):
        mine, other = getattr(planted, field.name), getattr(again, field.name)
        if isinstance(mine, pd.DataFrame):
            pd.testing.assert_frame_equal(mine, other)
    assert torch.equal(again.trees[2].joints, planted.trees[2].joints)
    assert json.loads((tmp_path / "results.json").read_text())["kind"] == "atlas"


def test_names_are_escaped_and_the_page_stays_small(planted):
    text = render(planted.page())
    assert "y<b>" not in text
    assert len(text.encode()) < 2_000_000
    assert text.count('class="slide"') == 4  # two layers, twice
    assert "1 network of the population" in text


def test_without_a_script_every_layer_is_shown(planted):
    text = render(planted.page(), static=True)
    assert "<script" not in text
    assert 'type="range"' not in text
    assert text.count('class="slide"') == 4


@pytest.mark.slow
def test_figures_are_drawn_and_say_where_they_come_from(planted, tmp_path):
    found = planted.figures(tmp_path)
    assert [path.name for path in found] == ["atlas.png", "plane.png"]
    assert all(path.with_suffix(".pdf").stat().st_size > 1000 for path in found)


def test_frames_for_other_programs_are_symmetric_and_complete(planted):
    whole = planted.to_pandas()
    assert len(whole) == 4 * 4 * 2
    assert whole.loc[("x, t", "x, t", 1), "q"] == 1
    assert whole.loc[("x, t", "y<b>, r", 2), "q"] == whole.loc[("y<b>, r", "x, t", 2), "q"]
    assert whole.loc[("x, t", "y<b>, r", 2), "contained"] == pytest.approx(0.9)
    assert whole.loc[("y<b>, r", "x, t", 2), "contained"] == pytest.approx(0.5)


def test_xarray_gets_one_cube_of_conditions_and_layers(planted):
    pytest.importorskip("xarray", reason="xarray is no dependency")
    assert float(planted.to_xarray()["q"].sel(condition_a="x, t", condition_b="x, t", layer=1)) == 1


def test_without_xarray_it_says_what_to_install(planted, monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(InputError, match="xarray cannot be imported; install it with: pip install xarray"):
        planted.to_xarray()


def test_one_condition_or_no_value_is_refused():
    one = dict.fromkeys(CONDITIONS, "x")
    layers = [torch.ones(20, 1).double()]
    with pytest.raises(InputError, match="got 1 condition, expected at least two"):
        atlas_of(comparison(one, layers))
    with pytest.raises(InputError, match="no layer of any two networks has a value"):
        atlas_of(comparison(CONDITIONS, [torch.full((20, 1), torch.nan)]))


@pytest.mark.slow
def test_from_networks_to_an_atlas():
    networks = {f"{seed}": read(module(widths=(8, 12, 12), seed=seed)) for seed in range(4)}
    found = atlas(networks, images(40), ["x", "x", "y", "y"])
    assert set(found.table["condition_a"]) == {"x"}
    assert list(found.networks["network"]) == ["0", "1", "2", "3"]
    assert found.axes["p_value"].isna().all()
    assert "fewer than 5 of a condition are drawn, not tested" in found.page().answers[1][1]
