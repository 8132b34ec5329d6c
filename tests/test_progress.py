import re

import pytest

from covalign.progress import shown, untold


def test_a_note_is_one_line_where_there_is_no_terminal(capsys):
    with shown() as told:
        told("squares", 0.25)
        told("squares", 0.5, "epoch 1/2, loss 0.5 [nats]")
        told("squares", 1.0, "epoch 2/2, loss 0.1 [nats]")
    first, last = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"squares: epoch 1/2, loss 0.5 \[nats\], about \d+ s left", first)
    assert last == "squares: epoch 2/2, loss 0.1 [nats]"


def test_stages_without_news_print_nothing_where_there_is_no_terminal(capsys):
    with shown(True) as told:
        told("alignments", 0.5)
        told("alignments", 1.0)
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar_for_each_stage(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "110")
    with shown() as told:
        told("alignments", 1.0)
        told("similarities", 0.5, "layer 3")
    said = capsys.readouterr().err
    assert re.search(r"alignments .*100%", said)
    assert re.search(r"similarities .*50%.*layer 3", said)


@pytest.mark.parametrize("silent", [False, None])
def test_nothing_is_shown_where_nobody_asks(capsys, silent):
    with shown(silent) as told:
        told("alignments", 1.0, "done")
    assert told is untold
    assert capsys.readouterr().err == ""


def test_a_function_is_told_itself():
    with shown(print) as told:
        assert told is print
