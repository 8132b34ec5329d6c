"""What the first screen says is computed, and says as plainly what is missing."""

import math

import pytest

from covalign.encoding.debiased.reasons import Reason as OfR
from covalign.encoding.reasons import Reason
from covalign.figures.style import series
from covalign.report.rendering import render
from covalign.studies.comparison.answers import answers
from covalign.studies.comparison.orders import group_places


def said(table, conditions=None, provenance=None):
    return [answer for _, answer in answers(table, conditions or {}, provenance or {})]


@pytest.mark.parametrize(
    ("value", "word"), [(0.9, "Largely"), (0.5, "To a good part"), (0.2, "In part"), (0.0, "No:")]
)
def test_the_level_of_agreement_chooses_the_word(joint, value, word):
    first, second = said(joint.table.assign(debiased=value))
    assert first.startswith(word)
    assert f"averages {value:.2f}" in first
    assert f"Compared {joint.table['depth'].nunique()} layers" in second


def test_what_is_missing_is_counted_with_its_reason(joint):
    table = joint.table.assign(debiased=0.5, debiased_reason="")
    table.loc[table["depth"] > 5, ["debiased", "debiased_reason"]] = math.nan, OfR.NO_CHANNELS.value
    missing = int(table["debiased"].isna().sum())
    second = said(table, provenance={"networks": {"a": {"layers": 9}, "b": {"layers": 40}}})[1]
    assert f"Compared {table['depth'].nunique()} of 9 layers" in second
    assert f"{len(table) - missing} of {len(table)} comparisons have a number" in second
    assert f"{missing}: {OfR.NO_CHANNELS.sentence}" in second


def test_networks_that_learned_nothing_are_said_to_have_learned_nothing(joint):
    table = joint.table.assign(debiased=math.nan, debiased_reason=OfR.TOO_LITTLE_LEARNED.value)
    assert said(table)[0].startswith("They learned next to nothing")


def test_one_network_beside_itself_is_said_to_be_one(joint):
    codes = [(Reason.SAME_WEIGHTS.code,)] * len(joint.table)
    assert said(joint.table.assign(reason_codes=codes))[0].startswith("They are one network")


def test_what_was_not_aligned_is_not_called_different(joint):
    nothing = dict.fromkeys(
        ("debiased", "similarity", "similarity_reversed", "alignment_correlation"), math.nan
    )
    first = said(joint.table.assign(**nothing, debiased_reason=""))[0]
    assert first.startswith("Not known")
    assert "--architecture" in first


def test_conditions_are_set_beside_each_other(joint):
    names = sorted({*joint.table["a"], *joint.table["b"]})
    conditions = {name: "cats" if index < 2 else "dogs" for index, name in enumerate(names)}
    table = joint.table
    same = table["a"].map(conditions) == table["b"].map(conditions)
    first = said(table.assign(debiased=same.map({True: 0.8, False: 0.3})), conditions)[0]
    assert "one condition agree by R = 0.80" in first
    assert "different conditions by 0.30" in first


def test_a_report_stays_below_two_megabytes(joint, factorized):
    for comparison in (joint, factorized):
        assert len(render(comparison.page()).encode()) < 2_000_000


def test_pairs_of_the_same_conditions_have_one_colour():
    conditions = {"a": "cats", "b": "cats", "c": "dogs"}
    every = [("a", "b"), ("a", "c"), ("b", "c")]
    places = group_places(every, conditions)
    colors = [series(places[pair])["color"] for pair in every]
    assert colors[1] == colors[2] != colors[0]
    assert len(set(places.values())) == 3
    assert group_places(every, {}) == {pair: index for index, pair in enumerate(every)}
