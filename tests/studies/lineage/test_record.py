import json

import pytest

from covalign.errors import InputError
from covalign.studies.lineage.measure import lineage
from covalign.studies.lineage.record import Lineage
from studies.lineage.test_measure import joint, moved, permuted


@pytest.fixture(scope="module")
def family():
    base = joint()
    networks = {"base": base, "tuned": moved(base), "permuted": permuted(base)[0], "stranger": joint(4)}
    return lineage(networks)


def test_a_lineage_comes_back_as_it_was_saved(family, tmp_path):
    family.save(tmp_path / "kept", report=True)
    again = Lineage.load(tmp_path / "kept")
    assert (again.verdict, again.p_value) == (family.verdict, family.p_value)
    assert again.cannot_exclude == family.cannot_exclude
    assert again.doubts == family.doubts
    assert again.layers.equals(family.layers)
    assert again.pairs.equals(family.pairs)
    numbers = json.loads((tmp_path / "kept" / "results.json").read_text())["numbers"]
    assert numbers["pairs"][0]["verdict"] == "derived"


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(InputError):
        Lineage.load(tmp_path)


def test_every_pair_has_its_verdict(family):
    verdicts = family.pairs.set_index(["a", "b"])["verdict"]
    assert verdicts["base", "tuned"] == "derived"
    assert verdicts["base", "permuted"] == "same_weights"
    assert verdicts["tuned", "permuted"] == "derived"
    assert set(verdicts[:, "stranger"]) == {"independent"}


def test_page_figure_and_words_say_what_was_found(family, tmp_path):
    text = family.report(tmp_path / "page.html").read_text()
    assert "Was one derived from the other?" in text
    assert "same neurons, other order" in text
    assert "base and tuned are relatives" in family.summary[0]
    assert "Lineage(" in repr(family)
    assert "<table" in family._repr_html_()
    labels = [label.get_text() for label in family.figure().axes[0].get_yticklabels()]
    assert labels[0] == "base – tuned"
    assert len(labels) == 6
