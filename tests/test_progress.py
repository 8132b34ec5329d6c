import re

import pytest

from covalign.progress import duration, shown, untold


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_a_note_is_one_line_where_there_is_no_terminal(capsys):
    clock = Clock()
    with shown(True, clock) as told:
        told("squares", 0.0)
        clock.now = 10.0
        told("squares", 0.5, "epoch 1/2, loss 0.5 [nats]")
        clock.now = 20.0
        told("squares", 1.0, "epoch 2/2, loss 0.1 [nats]")
    assert capsys.readouterr().err.splitlines() == [
        "squares: epoch 1/2, loss 0.5 [nats], about 10 s left",
        "squares: epoch 2/2, loss 0.1 [nats]",
    ]


def test_what_was_done_before_makes_the_time_left_no_shorter(capsys):
    clock = Clock()
    with shown(True, clock) as told:
        told("trainings", 0.9, "3/4 were in the store")
        clock.now = 1.0
        told("trainings", 0.9, "nothing new")
        clock.now = 100.0
        told("trainings", 0.95, "half of the last one")
    first, second, third = capsys.readouterr().err.splitlines()
    assert "left" not in first + second
    assert third.endswith("about 100 s left")


def test_a_long_stage_without_news_speaks_now_and_then(capsys):
    clock = Clock()
    with shown(True, clock) as told:
        for share in range(101):
            clock.now = float(share)
            told("alignments", share / 100)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "alignments: 15%, about 85 s left"
    assert len(said) == 6


def test_what_is_quick_prints_nothing_where_there_is_no_terminal(capsys):
    with shown(True, Clock()) as told:
        told("reading", 0.0)
        told("reading", 1.0)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("seconds", "said"), [(3.0, "3 s"), (119.0, "119 s"), (150.0, "2 min"), (9000.0, "2 h"), (4e5, "5 days")]
)
def test_times_are_as_coarse_as_guesses_are(seconds, said):
    assert duration(seconds) == said


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
