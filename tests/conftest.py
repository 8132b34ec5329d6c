"""Shapes are checked in every test: jaxtyping annotations by beartype; warnings are errors (pyproject)."""

import os
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("COVALIGN_CACHE", tempfile.mkdtemp(prefix="covalign-cache-"))

from jaxtyping import install_import_hook

HOOK = install_import_hook("covalign", "beartype.beartype")

import pytest
import torch
from hypothesis import settings

import covalign  # noqa: F401  sets the environment before torch computes anything
from samples import synthetic

torch.set_num_threads(1)
settings.register_profile("covalign", deadline=None, max_examples=25, derandomize=True)
settings.load_profile("covalign")

SLOW_FIXTURES = {
    "built",
    "cross",
    "exported",
    "installed",
    "keys",
    "opened",
    "predictions",
    "smoke",
    "trained",
}
"""Fixtures that take seconds: tests that ask for one are slow."""

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if SLOW_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real images and networks kept beside the repository."""
    if not SHARED.is_dir():
        pytest.skip(f"no real images and networks at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def factorized():
    return synthetic.comparison()


@pytest.fixture(scope="session")
def joint():
    return synthetic.comparison(form="joint")


@pytest.fixture(scope="session")
def hostile():
    return synthetic.comparison(names=synthetic.HOSTILE)
