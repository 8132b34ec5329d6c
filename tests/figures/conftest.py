"""The synthetic comparison, for every test of a figure."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import synthetic


@pytest.fixture(scope="session")
def factorized():
    return synthetic.comparison()


@pytest.fixture(scope="session")
def joint():
    return synthetic.comparison(form="joint")


@pytest.fixture(scope="session")
def hostile():
    return synthetic.comparison(names=synthetic.HOSTILE)
