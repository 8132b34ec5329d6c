import dataclasses
import math

import pytest

from covalign.report.page import Plots
from covalign.studies.comparison.agreement_words import agreement_findings
from covalign.studies.comparison.words import findings
from samples.synthetic import with_agreement


@pytest.fixture
def table(factorized):
    return with_agreement(factorized.table)


@pytest.fixture
def conditions(table):
    names = dict.fromkeys([*table["a"], *table["b"]])
    return {name: name.partition(",")[0] for name in names}


def test_the_first_sentence_is_about_r_and_needs_no_other(table):
    first = findings(table)[0]
    assert first == (
        "These networks share much of what they learned: beyond the first layer their agreement averages 0.53, on a "
        "scale where 0 is what unrelated networks have in common and 1 is the same learned weights."
    )


@pytest.mark.parametrize(
    ("level", "words"),
    [(0.8, "learned largely the same thing"), (0.2, "share part"), (0.02, "share nothing that stands out")],
)
def test_the_verdict_follows_the_mean_beyond_the_first_layer(table, level, words):
    changed = table.assign(debiased=table["debiased"].where(table["depth"] == 1, level))
    assert words in agreement_findings(changed, {})[0]


def test_conditions_are_set_beside_each_other(table, conditions):
    said = agreement_findings(table, conditions)
    assert "agree by 0.80, networks of different conditions by 0.40." in said[1]
    assert not any("one condition" in sentence for sentence in agreement_findings(table, {}))
    alone = dict.fromkeys(conditions, "all the same")
    assert agreement_findings(table, alone) == agreement_findings(table, {})


def test_what_could_not_be_compared_is_counted_with_its_reason(table):
    said = " ".join(agreement_findings(table, {}))
    missing = int(table["debiased"].isna().sum())
    assert (
        f"{len(table) - missing} of {len(table)} layer comparisons of 4 networks could be given a number"
        in said
    )
    assert f"({missing}: neurons of one network have too little in common" in said


def test_chance_and_controls_are_told_apart(table):
    said = " ".join(agreement_findings(table, {}))
    unlikely = int((table["debiased_p"] < 0.05).sum())
    assert (
        f"{unlikely} of {len(table)} tested layer comparisons stand above what random rotations give" in said
    )
    assert "0.05 without any alignment, 0.27 with an alignment fitted to different images" in said
    assert "Beyond the strongest of these controls 0.27 remains" in said


def test_values_with_a_reason_are_to_be_read_with_care(table):
    changed = table.assign(debiased_reason=["repelling"] * len(table))
    assert "To be read with care" in agreement_findings(changed, {})[-1]
    assert "an upper bound here" in agreement_findings(changed, {})[-1]


def test_nothing_is_said_where_r_was_not_measured(factorized):
    assert agreement_findings(factorized.table, {}) == ()


def test_too_little_learned_is_said_first(table):
    changed = table.assign(debiased=math.nan, debiased_reason="too_little_learned")
    assert agreement_findings(changed, {})[0].startswith("Too little was learned")


def test_the_page_leads_with_r_and_shows_conditions(factorized, table, conditions):
    page = dataclasses.replace(factorized, table=table, conditions=conditions).page()
    keys = [section.key for section in page.sections]
    assert keys[:2] == ["similarity", "conditions"]
    first = next(part for part in page.sections[0].parts if isinstance(part, Plots))
    assert first.panels[0].layout["yaxis"]["title"]["text"] == "agreement R"
    pairs = len(table[["a", "b"]].drop_duplicates())
    assert len(first.panels[0].data) == 2 * pairs
