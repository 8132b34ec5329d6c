import math

import pandas as pd
import pytest

from covalign.encoding.reasons import Reason, Remark, codes
from covalign.studies.comparison.words import findings


@pytest.fixture
def table(factorized):
    return factorized.table.copy()


def everything(table):
    return " ".join(findings(table))


@pytest.mark.parametrize(
    ("level", "words"),
    [
        (0.8, "largely the same"),
        (0.5, "share much"),
        (0.2, "share part"),
        (0.02, "nothing that stands out"),
        (-0.1, "−0.10"),
    ],
)
def test_the_verdict_follows_the_mean_beyond_the_first_layer(table, level, words):
    table[["similarity", "similarity_reversed"]] = level
    table.loc[table["depth"] == 1, ["similarity", "similarity_reversed"]] = 5.0
    assert words in findings(table)[0]


def test_the_most_and_least_similar_pair_are_named(table):
    own = (table["a"] == "grey textures, seed 1") & (table["b"] == "photographs, seed 0")
    table.loc[own, ["similarity", "similarity_reversed"]] = 0.95
    assert "Most alike are grey textures, seed 1 and photographs, seed 0 (0.95)" in everything(table)


def test_one_pair_is_not_ranked_against_itself(table):
    assert "Most alike" not in everything(table[:8])


def test_a_comparison_without_any_number_says_so(table):
    table[["similarity", "similarity_reversed", "cosine", "p_value"]] = math.nan
    table["bulk_ok"] = False
    assert findings(table)[0] == "No similarity could be given for any layer; the reasons are listed below."
    assert "48 of 48 layer comparisons could be given no similarity." in everything(table)


def test_what_only_describes_is_set_beside_its_controls(table):
    table[["similarity", "similarity_reversed", "calibrated", "p_value"]] = math.nan
    table[["cosine", "chance", "shuffled"]] = [0.97, 0.95, 0.96]
    text = everything(table)
    assert (
        "averages 0.97, beside 0.95 for random rotations and 0.96 for an alignment fitted to shuffled" in text
    )


def test_alignment_is_praised_only_where_it_helps(table):
    assert "shows only after" in everything(table)
    table["unaligned"] = 0.9
    table[["similarity", "similarity_reversed"]] = 0.91
    assert "Alignment changes little: 0.90 without it, 0.91 with it." in everything(table)


def test_networks_that_started_alike_are_named(table):
    own = (table["a"] == "grey textures, seed 0") & (table["b"] == "photographs, seed 0")
    table.loc[own, "unaligned"] = 0.7
    text = everything(table)
    assert "1 pair agrees better without alignment (0.70)" in text
    assert "common initial weights: grey textures, seed 0 and photographs, seed 0." in text
    assert "Without alignment the same weights score 0.08" in text


def test_counts_of_discoveries_and_of_failing_bulks(table):
    text = everything(table)
    tested = table["p_value"].dropna()
    assert (
        f"{int((tested < 0.05).sum())} of {len(tested)} tested layer comparisons stand above chance" in text
    )
    assert "In 1 of 48 layer comparisons the unlearned part of the weights does not look like noise" in text


def test_a_single_layer_is_judged_by_itself(table):
    only = table[table["depth"] == 1]
    assert "at the only layer compared" in findings(only)[0]
    assert isinstance(only, pd.DataFrame)


def test_a_copy_is_called_the_same_network_and_nothing_else_is_said_of_it(table):
    pair = (table["a"] == table["a"].iloc[0]) & (table["b"] == table["b"].iloc[0])
    copy = table[pair].assign(reason_codes=[codes([Remark(Reason.SAME_WEIGHTS)])] * int(pair.sum()))
    assert findings(copy) == (
        f"{copy['a'].iloc[0]} and {copy['b'].iloc[0]}: the same network. "
        "Every compared layer holds the same weights, up to a rotation.",
    )
    both = pd.concat([copy, table[~pair]])
    assert findings(both)[1:] == findings(table[~pair])
