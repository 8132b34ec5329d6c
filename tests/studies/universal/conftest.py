import pytest

from covalign.studies.universal.measure import universal_encoding
from samples.pictures import corners
from samples.trainings import run_of


@pytest.fixture(scope="session")
def members():
    return [run_of(seed) for seed in range(3)]


@pytest.fixture(scope="session")
def encoding(members):
    return universal_encoding(
        members, corners(40, 3, "train"), by=["one", "two", "two"], licences={"corners": "CC0"}
    )


@pytest.fixture(scope="session")
def joint_encoding():
    return universal_encoding([run_of(0, "joint", norm=False)], corners(40, 3, "train"))
