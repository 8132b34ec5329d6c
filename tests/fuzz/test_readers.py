"""Whatever is done to a file, its reader gives what is in it or one line that says why not; a few dozen of each."""

from contextlib import suppress

import pytest

from covalign.errors import InputError
from fuzz.mutations import mutated
from fuzz.targets import RUN, TARGETS, Target

COUNT = 40


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_mutant_is_read_or_refused_in_one_line(target: Target, tmp_path, monkeypatch):
    monkeypatch.setenv("COVALIGN_MAX_DECODED", str(2**28))
    monkeypatch.setenv("COVALIGN_MAX_UNPACKED", str(2**28))
    path = tmp_path / target.name
    path.write_bytes(target.whole)
    target.read(path)
    for seed in range(COUNT):
        path.write_bytes(mutated(target.whole, seed))
        with suppress(InputError):
            target.read(path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("target", RUN, ids=lambda target: target.name)
def test_a_mutant_that_is_read_is_run_or_refused_in_one_line(target: Target, tmp_path):
    path = tmp_path / target.name
    path.write_bytes(target.whole)
    assert target.read(path)
    for seed in range(
        4 if path.suffix == ".onnx" else COUNT
    ):  # a graph has a process of its own, which takes seconds
        path.write_bytes(mutated(target.whole, seed))
        with suppress(InputError):
            target.read(path)


def test_mutants_are_the_same_for_the_same_seed():
    for target in TARGETS:
        assert [mutated(target.whole, seed) for seed in range(5)] == [
            mutated(target.whole, seed) for seed in range(5)
        ]
